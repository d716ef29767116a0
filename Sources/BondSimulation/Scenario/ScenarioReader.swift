internal import CausewayBase
internal import CausewaySimulation
package import CausewaySupport

extension Scenario {
  static let seedKeys = ["links", "flows", "schedulers", "seconds", "seed", "mtu", "steady_from"]

  /// Reads a scenario; unknown keys are errors that name the closest one, every error its line and key.
  package init(reading root: YAMLNode) throws(YAMLError) {
    self.init()
    let mapping = try root.mapping(keys: Self.seedKeys)
    let list = try mapping.required("links")
    let items = try list.sequence()
    guard (1...Self.mostLinks).contains(items.count) else { throw list.error("expected 1-\(Self.mostLinks) links, got \(items.count)") }
    for item in items { try addLink(item) }
    if let node = mapping.optional("flows") {
      for item in try node.sequence() { flows.append(try FlowSpecification(reading: item)) }
      let count = flows.reduce(0) { $0 + $1.count }
      guard (1...Self.mostFlows).contains(count) else { throw node.error("expected 1-\(Self.mostFlows) flows, got \(count)") }
    } else {
      flows = [FlowSpecification(.tcp), FlowSpecification(.ping)]
    }
    if let node = mapping.optional("schedulers") {
      schedulers = []
      for item in try node.names() {
        let name = try item.oneOf(Self.schedulerNames)
        if !schedulers.contains(name) { schedulers.append(name) }
      }
      if schedulers.isEmpty { throw node.error("expected at least one scheduler") }
    } else {
      schedulers = Self.schedulerNames
    }
    if let node = mapping.optional("seconds") { duration = .seconds(try node.integer(in: 1...Int(Self.longest.inSeconds))) }
    if let node = mapping.optional("seed") { seed = UInt64(try node.integer(in: 0...Int.max)) }
    if let node = mapping.optional("mtu") { mtu = try node.integer(in: 1280...9000) }
    if let node = mapping.optional("steady_from") { steadyFrom = try node.fineDuration() }
    for flow in flows where (flow.packetByteCount ?? 0) > mtu {
      throw root.error("a flow's size is more than the inner MTU of \(mtu)")
    }
  }

  /// Those of the bond, then what it is compared with.
  package static let bondSchedulerNames = ["auto", "cfs", "earliest", "redundant", "backup"]
  package static let schedulerNames = bondSchedulerNames + Baseline.names

  private static let linkKeys = [
    "name", "rate", "delay", "jitter", "jitter_reorders", "loss", "loss_burst", "queue", "burst", "mtu", "overhead", "duplicate", "reorder",
    "reorder_delay", "corrupt", "truncate", "mark_above", "events",
  ]

  private mutating func addLink(_ node: YAMLNode) throws(YAMLError) {
    let mapping = try node.mapping(keys: Self.linkKeys)
    let number = links.count
    let name = try mapping.optional("name")?.string("a name") ?? "link\(number + 1)"
    guard name.count <= 20 else { throw node.error("a link's name has at most 20 characters") }
    if links.contains(where: { $0.name == name }) { throw node.error("two links are named '\(name)'") }
    var both = LinkParameters()
    both.overheadByteCount = Self.datagramOverhead
    if let node = mapping.optional("delay") { both.delay = try node.fineDuration() }
    if let node = mapping.optional("jitter") { both.jitter = try node.fineDuration() }
    if let node = mapping.optional("jitter_reorders") { both.jitterReorders = try node.boolean() }
    if let node = mapping.optional("loss") {
      var burst = 1.0
      if let node = mapping.optional("loss_burst") { burst = Double(try node.integer(in: 1...10_000)) }
      both.loss = .share(try node.share(), meanBurst: burst)
    } else if let node = mapping.optional("loss_burst") {
      throw node.error("has no meaning without 'loss'")
    }
    if let node = mapping.optional("queue") { both.queueByteCount = try node.byteCount() }
    if let node = mapping.optional("burst") { both.burstByteCount = try node.byteCount() }
    if let node = mapping.optional("mtu") { both.mtu = try node.outerMTU() }
    if let node = mapping.optional("overhead") { both.overheadByteCount = try node.integer(in: 0...500) }
    if let node = mapping.optional("duplicate") { both.duplication = try node.share() }
    if let node = mapping.optional("reorder") { both.reordering = try node.share() }
    if let node = mapping.optional("reorder_delay") { both.reorderingDelay = try node.fineDuration() }
    if let node = mapping.optional("corrupt") { both.corruption = try node.share() }
    if let node = mapping.optional("truncate") { both.truncation = try node.share() }
    if let node = mapping.optional("mark_above") { both.markingThreshold = try node.fineDuration() }
    var pair = LinkPair(name: name, both)
    if let node = mapping.optional("rate") {
      let rates = try node.rates()
      (pair.upward.bytesPerSecond, pair.downward.bytesPerSecond) = (rates.up, rates.down)
    }
    for node in try mapping.optional("events")?.sequence() ?? [] { try addEvent(node, to: &pair, number) }
    links.append(pair)
  }

  private static let eventKeys = ["at", "rate", "delay", "jitter", "loss", "loss_burst", "queue", "mtu", "blackhole", "rebind", "address"]

  private mutating func addEvent(_ node: YAMLNode, to pair: inout LinkPair, _ number: Int) throws(YAMLError) {
    let mapping = try node.mapping(keys: Self.eventKeys)
    let at = Instant.zero + (try mapping.required("at").fineDuration())
    guard mapping.entries.count > 1 else { throw node.error("says when, but not what changes") }
    var up: [LinkChange] = []
    var down: [LinkChange] = []
    func both(_ change: LinkChange) {
      up.append(change)
      down.append(change)
    }
    if let node = mapping.optional("rate") {
      let rates = try node.rates()
      up.append(.rate(bytesPerSecond: rates.up))
      down.append(.rate(bytesPerSecond: rates.down))
    }
    if let node = mapping.optional("delay") { both(.delay(try node.fineDuration())) }
    if let node = mapping.optional("jitter") { both(.jitter(try node.fineDuration())) }
    if let node = mapping.optional("loss") {
      var burst = 1.0
      if let node = mapping.optional("loss_burst") { burst = Double(try node.integer(in: 1...10_000)) }
      both(.loss(.share(try node.share(), meanBurst: burst)))
    }
    if let node = mapping.optional("queue") { both(.queue(byteCount: try node.byteCount())) }
    if let node = mapping.optional("mtu") { both(.mtu(try node.outerMTU())) }
    if let node = mapping.optional("blackhole") {
      let which = try node.oneOf(["both", "up", "down", "off", "true", "false"])
      up.append(.blackhole(["both", "up", "true"].contains(which)))
      down.append(.blackhole(["both", "down", "true"].contains(which)))
    }
    if let node = mapping.optional("rebind"), try node.boolean() { addressEvents.append(AddressEvent(at: at, link: number, kind: .rebind)) }
    if let node = mapping.optional("address"), try node.boolean() {
      addressEvents.append(AddressEvent(at: at, link: number, kind: .address))
    }
    if !up.isEmpty {
      pair.upwardEvents.append(LinkEvent(at: at, changes: up))
      pair.downwardEvents.append(LinkEvent(at: at, changes: down))
    }
  }
}

extension YAMLNode {
  /// Of the outer IP packet; here of its UDP payload.
  fileprivate func outerMTU() throws(YAMLError) -> Int { try integer(in: 576...9_756) - Scenario.ipOverhead }

  /// One name or a list of them.
  fileprivate func names() throws(YAMLError) -> [YAMLNode] {
    guard case .sequence = content else { return [self] }
    return try sequence()
  }
}

extension FlowSpecification {
  private static let keys = [
    "type", "count", "direction", "rate", "size", "interval", "start", "stop", "ecn", "congestion", "window",
  ]

  package init(reading node: YAMLNode) throws(YAMLError) {
    let mapping = try node.mapping(keys: Self.keys)
    self.init(Kind(rawValue: try mapping.required("type").oneOf(Kind.allCases.map(\.rawValue)))!)
    if let node = mapping.optional("count") { count = try node.integer(in: 1...Scenario.mostFlows) }
    if let node = mapping.optional("direction") {
      direction = Direction(rawValue: try node.oneOf(Direction.allCases.map(\.rawValue)))!
    }
    try only([.udp], mapping, "rate")
    if let node = mapping.optional("rate") { bytesPerSecond = Double(try node.rate()) }
    try only([.udp, .ping, .echo], mapping, "size")
    if let node = mapping.optional("size") { packetByteCount = try node.integer(in: 64...9000) }
    try only([.ping, .echo], mapping, "interval")
    if let node = mapping.optional("interval") {
      interval = try node.fineDuration()
      guard interval >= .milliseconds(1) else { throw node.error("expected 1ms or more") }
    }
    if let node = mapping.optional("start") { start = try node.fineDuration() }
    if let node = mapping.optional("stop") {
      stop = try node.fineDuration()
      guard stop! > start else { throw node.error("a flow stops after it starts") }
    }
    try only([.tcp, .udp], mapping, "ecn")
    if let node = mapping.optional("ecn") { usesECN = try node.boolean() }
    try only([.tcp], mapping, "congestion")
    if let node = mapping.optional("congestion") {
      congestion = Congestion(rawValue: try node.oneOf(Congestion.allCases.map(\.rawValue)))!
    }
    try only([.tcp], mapping, "window")
    if let node = mapping.optional("window") {
      windowByteCount = try node.byteCount()
      guard (16_384...16_000_000).contains(windowByteCount) else { throw node.error("expected 16KiB-15MiB") }
    }
  }

  private func only(_ kinds: [Kind], _ mapping: YAMLMapping, _ key: String) throws(YAMLError) {
    guard let node = mapping.optional(key), !kinds.contains(kind) else { return }
    throw node.error("only for type \(kinds.map(\.rawValue).joined(separator: " and ")), this one is \(kind.rawValue)")
  }
}
