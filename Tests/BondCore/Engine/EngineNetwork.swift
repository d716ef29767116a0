import CausewayBase
import CausewayCrypto
import CausewayPaths
import CausewayWire
import Testing

@testable import CausewayBondCore

/// A way between the two ends, without a limit of rate.
struct TestLink {
  var delay = Duration.milliseconds(10)
  var isUp = true
  /// Bytes of the largest IP packet that passes; larger ones vanish, as behind a router that tells nobody.
  var byteLimit = 1500
  /// Where the server sees the client.
  var clientAddress: DatagramAddress
}

/// A datagram on its way.
struct Flight {
  let bytes: [UInt8]
  let link: Int
  let toServer: Bool
  /// The client's address when it was sent, or where the server sent it.
  let clientAddress: DatagramAddress
  let trafficClass: UInt8
  let sentAt: Instant

  var isTransport: Bool { bytes[0] == 4 }
  var path: Int { Int(bytes[4] & 63) }
  /// First byte of the payload where ciphers are simulated; 0 for a keep-alive.
  var kind: UInt8 { isTransport && bytes.count > 32 ? bytes[16] : 0 }
  var isData: Bool { kind & 0xF8 == 0xC0 }
  var isFragment: Bool { kind == FrameKind.fragment }
}

/// One engine, and what it gave.
final class EngineEnd {
  let engine: BondEngine
  let isServer: Bool
  /// Inner packets in the order of delivery, with their time.
  var delivered: [(packet: [UInt8], at: Instant)] = []
  var events: [BondEvent] = []
  /// Receiver index with path and counter of all that was encrypted.
  private var nonces: Set<UInt128> = []
  private(set) var repeatedNonces = 0

  static let peer = PeerID(1)

  init(_ engine: BondEngine, isServer: Bool) {
    self.engine = engine
    self.isServer = isServer
  }

  var link: PeerLink { engine.peers[Self.peer]! }
  /// But for the handshake's.
  var pathIDs: [Int] { link.paths.map { Int($0.id.rawValue) }.filter { $0 != 0 }.sorted() }
  var kind: PeerKind { link.kind }
  var statistics: PeerStatistics { link.statistics }
  var handshakeCount: Int { events.reduce(0) { if case .handshakeCompleted = $1 { $0 + 1 } else { $0 } } }
  /// The last state that each path was told to have.
  var usablePathCount: Int { link.paths.reduce(0) { $0 + ($1.id != .handshake && $1.isUsable ? 1 : 0) } }

  func note(_ flight: Flight) {
    guard flight.isTransport else { return }
    var index: UInt128 = 0
    for place in (4..<16).reversed() { index = index << 8 | UInt128(flight.bytes[place]) }
    if !nonces.insert(index).inserted { repeatedNonces += 1 }
  }
}

/// Two engines back to back in virtual time. Chance comes from the seed.
final class EngineNetwork {
  struct Setting {
    var seed: UInt64 = 1
    var links = 2
    /// Whose static public key is the smaller, so whose paths have even ids.
    var clientIsSmaller = true
    /// Off: real encryption, and tests can't look into packets.
    var showsPayloads = true
    var scheduler = SchedulerKind.auto
    var repairs = true
    var parity = false
    var duplicates = false
    var innerMTU = 1400
  }

  static let clientHost: [UInt8] = [10, 66, 0, 2]
  static let serverHost: [UInt8] = [10, 66, 0, 1]
  static let serverAddress = DatagramAddress.ipv4(0xC000_0201, port: 51820)
  private static let epoch: UInt64 = 1_750_000_000_000_000_000

  let setting: Setting
  var client: EngineEnd
  var server: EngineEnd
  var links: [TestLink]
  /// Links whose datagrams come over a connection, as the client sees it.
  var streams: Set<Int> = []
  private(set) var now = Instant.seconds(1)
  var random: SeededRandom
  /// Whether a datagram is lost, besides what links do.
  var loses: (Flight) -> Bool = { _ in false }
  /// Sees every datagram that is sent, lost ones too.
  var watch: (Flight) -> Void = { _ in }
  /// Sees every datagram that arrives, before the engine does.
  var arrived: (Flight) -> Void = { _ in }
  /// Takes what is for somebody else than the two ends: true when it was.
  var elsewhere: ([UInt8], OutgoingRun) -> Bool = { _, _ in false }
  /// Instants at which something was to do.
  private(set) var stepCount = 0
  private var flights: [(at: Instant, flight: Flight)] = []
  private var runBuffer = [UInt8](repeating: 0, count: BondEngine.runByteCapacity)
  private let keys: (client: SecretKey, server: SecretKey)

  init(_ setting: Setting = Setting()) {
    self.setting = setting
    random = SeededRandom(seed: setting.seed)
    links = (0..<setting.links).map { TestLink(clientAddress: .ipv4(0xCB00_7100 + UInt32($0), port: 40000)) }
    let pair = [seededKey(setting.seed &* 2 &+ 11), seededKey(setting.seed &* 2 &+ 12)]
    let isAscending = PublicKey(of: pair[0]) < PublicKey(of: pair[1])
    keys = isAscending == setting.clientIsSmaller ? (pair[0], pair[1]) : (pair[1], pair[0])
    client = Self.end(setting, keys, isServer: false, life: 0, at: now)
    server = Self.end(setting, keys, isServer: true, life: 0, at: now)
    connect()
  }

  private static func end(
    _ setting: Setting, _ keys: (client: SecretKey, server: SecretKey), isServer: Bool, life: UInt64, at now: Instant
  ) -> EngineEnd {
    var configuration = EngineConfiguration(
      identity: StaticIdentity(privateKey: isServer ? keys.server : keys.client),
      bootID: setting.seed &* 100 &+ life &* 2 &+ (isServer ? 1 : 0))
    configuration.innerMTU = setting.innerMTU
    configuration.scheduler = setting.scheduler
    configuration.repairs = setting.repairs
    configuration.parity = setting.parity
    configuration.duplicates = setting.duplicates
    configuration.simulatesCiphers = setting.showsPayloads
    let engine = BondEngine(configuration, entropy: seededEntropy(setting.seed &* 7 &+ life &* 2 &+ (isServer ? 1 : 0)), at: now)
    engine.unixOffset = epoch
    let end = EngineEnd(engine, isServer: isServer)
    var settings = PeerSettings(publicKey: PublicKey(of: isServer ? keys.client : keys.server))
    settings.allowedIPs = [IPNetwork(masking: IPAddress(ipv4: isServer ? 0x0A42_0002 : 0x0A42_0001), prefixLength: 32)]
    if !isServer { settings.uplinks = (0..<setting.links).map { UplinkSettings(name: "uplink \($0)") } }
    try! engine.setPeer(EngineEnd.peer, settings, at: now)
    return end
  }

  private func connect() {
    for link in links.indices { client.engine.setUplink(link, of: EngineEnd.peer, route: clientRoute(link), at: now) }
    client.engine.connect(EngineEnd.peer, at: now)
  }

  func clientRoute(_ link: Int) -> Route {
    Route(socket: UInt32(link), remote: Self.serverAddress, isStream: streams.contains(link))
  }

  /// The server starts again and knows nothing but its configuration. What was under way is lost.
  func restartServer(life: UInt64 = 1) {
    flights.removeAll()
    server = Self.end(setting, keys, isServer: true, life: life, at: now)
  }

  /// Changes the client's list of uplinks, as a reload does.
  func reload(_ change: (inout [UplinkSettings]) -> Void) {
    var settings = client.link.settings
    change(&settings.uplinks)
    try! client.engine.setPeer(EngineEnd.peer, settings, at: now)
    for link in settings.uplinks.indices where !settings.uplinks[link].isRemoved {
      client.engine.setUplink(link, of: EngineEnd.peer, route: clientRoute(link), at: now)
    }
  }

  // MARK: Time

  func run(for duration: Duration) { _ = run(until: { false }, atMost: duration) }

  /// - Returns: Whether `condition` held before the time was over. It is asked after each step.
  @discardableResult
  func run(until condition: () -> Bool, atMost limit: Duration) -> Bool {
    let end = now + limit
    var stepsWithoutTime = 0
    while true {
      pump()
      if condition() { return true }
      let next = min(flights.first?.at ?? .distantFuture, client.engine.nextDeadline, server.engine.nextDeadline)
      guard next <= end else {
        now = end
        return condition()
      }
      stepsWithoutTime = next > now ? 0 : stepsWithoutTime + 1
      precondition(stepsWithoutTime < 10_000, "an engine asks for the present time again and again")
      now = max(now, next)
      stepCount += 1
      while let first = flights.first, first.at <= now {
        flights.removeFirst()
        arrive(first.flight)
      }
      for end in [client, server] where end.engine.nextDeadline <= now {
        end.engine.advance(to: now)
        take(end)
      }
    }
  }

  /// Both ends know each other as ours, and all paths carry data both ways.
  func open() {
    let isOpen = run(
      until: { [client, server].allSatisfy { $0.kind == .bond && $0.usablePathCount == setting.links } }, atMost: .seconds(10))
    precondition(isOpen, "the bond did not come up")
  }

  private func pump() {
    for end in [client, server] {
      while oneRun(of: end) {}
      end.engine.drainEvents { end.events.append($0) }
    }
  }

  /// Sends what an end has next.
  func oneRun(of end: EngineEnd) -> Bool {
    guard
      let run = unsafe runBuffer.withUnsafeMutableBufferPointer({
        unsafe end.engine.nextRun(into: $0.baseAddress!, capacity: $0.count, at: now)
      })
    else { return false }
    var offset = 0
    while offset < run.byteCount {
      let count = min(run.segmentByteCount, run.byteCount - offset)
      send(Array(runBuffer[offset..<offset + count]), run, from: end)
      offset += count
    }
    return true
  }

  private func send(_ bytes: [UInt8], _ run: OutgoingRun, from end: EngineEnd) {
    if elsewhere(bytes, run) { return }
    let link = end.isServer ? links.firstIndex { $0.clientAddress == run.route.remote } : Int(run.route.socket)
    guard let link else { return }  // to an address that the client has left
    let flight = Flight(
      bytes: bytes, link: link, toServer: !end.isServer, clientAddress: links[link].clientAddress, trafficClass: run.trafficClass,
      sentAt: now)
    end.note(flight)
    watch(flight)
    let isTooLong = bytes.count + 28 > links[link].byteLimit && run.dontFragment
    guard links[link].isUp, !isTooLong, !loses(flight) else { return }
    inject(flight, after: links[link].delay)
  }

  /// Puts a datagram on its way, also one that nobody sent.
  func inject(_ flight: Flight, after delay: Duration) {
    let at = now + delay
    let place = flights.lastIndex { $0.at <= at }.map { $0 + 1 } ?? 0
    flights.insert((at, flight), at: place)
  }

  private func arrive(_ flight: Flight) {
    arrived(flight)
    let end = flight.toServer ? server : client
    let route = flight.toServer ? Route(socket: 0, remote: flight.clientAddress) : clientRoute(flight.link)
    feed(flight.bytes, to: end, from: route, trafficClass: flight.trafficClass)
  }

  /// Gives an end a datagram now.
  func feed(_ bytes: [UInt8], to end: EngineEnd, from route: Route, trafficClass: UInt8 = 0) {
    var bytes = bytes
    let now = now
    unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      unsafe end.engine.receive(
        base, count: buffer.count, segmentByteCount: buffer.count, from: route, trafficClass: trafficClass, at: now)
      take(end)
    }
  }

  private func take(_ end: EngineEnd) {
    for index in 0..<end.engine.deliveryCount {
      let delivery = unsafe end.engine[delivery: index]
      unsafe end.delivered.append((Array(UnsafeBufferPointer(start: delivery.start, count: delivery.count)), now))
    }
    end.engine.releaseDeliveries()
    end.engine.drainEvents { end.events.append($0) }
  }

  // MARK: Inner packets

  /// Gives an end a UDP packet of `byteCount` bytes whose payload begins with `number`.
  func offer(to end: EngineEnd, flow: UInt16 = 1000, number: Int, byteCount: Int = 1000, port: UInt16 = 7000) {
    var packet = Self.packet(fromServer: end.isServer, flow: flow, number: number, byteCount: byteCount, port: port)
    var span = packet.mutableSpan
    end.engine.offer(&span, VirtioHeader(), at: now)
    take(end)
  }

  static func packet(fromServer: Bool, flow: UInt16, number: Int, byteCount: Int, port: UInt16) -> [UInt8] {
    var packet = [UInt8](repeating: 0x55, count: byteCount)
    let udp = byteCount - 20
    packet.replaceSubrange(
      0..<12, with: [0x45, 0, UInt8(byteCount >> 8), UInt8(byteCount & 255), 0, 0, 0x40, 0, 64, 17, 0, 0])
    packet.replaceSubrange(12..<16, with: fromServer ? serverHost : clientHost)
    packet.replaceSubrange(16..<20, with: fromServer ? clientHost : serverHost)
    var sum: UInt32 = 0
    for place in stride(from: 0, to: 20, by: 2) { sum += UInt32(packet[place]) << 8 | UInt32(packet[place + 1]) }
    while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
    (packet[10], packet[11]) = (UInt8(~sum >> 8 & 255), UInt8(~sum & 255))
    packet.replaceSubrange(
      20..<28, with: [UInt8(flow >> 8), UInt8(flow & 255), UInt8(port >> 8), UInt8(port & 255), UInt8(udp >> 8), UInt8(udp & 255), 0, 0])
    for place in 0..<4 { packet[28 + place] = UInt8(truncatingIfNeeded: number >> (24 - 8 * place)) }
    return packet
  }

  /// Numbers of the flow's packets as an end delivered them.
  func numbers(at end: EngineEnd, flow: UInt16 = 1000) -> [Int] {
    end.delivered.compactMap { packet, _ in
      packet.count >= 32 && UInt16(packet[20]) << 8 | UInt16(packet[21]) == flow
        ? packet[28..<32].reduce(0) { $0 << 8 | Int($1) } : nil
    }
  }

  /// Which of so many packets of the flow an end did not get, and which it got more than once: short, for messages of tests.
  func faults(at end: EngineEnd, flow: UInt16 = 1000, of count: Int) -> (missing: [Int], repeated: [Int]) {
    var seen = [Int](repeating: 0, count: count)
    for number in numbers(at: end, flow: flow) where number < count { seen[number] += 1 }
    return (seen.indices.filter { seen[$0] == 0 }, seen.indices.filter { seen[$0] > 1 })
  }

  /// What is wrong with the flow's packets 0..<count at an end, in a few words; nil when each came once, and in order if asked for.
  func complaint(at end: EngineEnd, flow: UInt16 = 1000, of count: Int, isOrdered: Bool = true) -> String? {
    let (missing, repeated) = faults(at: end, flow: flow, of: count)
    if !missing.isEmpty { return "\(missing.count) of \(count) are missing, the first is \(missing[0])" }
    if !repeated.isEmpty { return "\(repeated.count) of \(count) came twice, the first is \(repeated[0])" }
    let numbers = numbers(at: end, flow: flow)
    guard isOrdered, let place = numbers.indices.dropFirst().first(where: { numbers[$0] < numbers[$0 - 1] }) else { return nil }
    return "\(numbers[place]) came after \(numbers[place - 1])"
  }

  /// The longest time between two deliveries of an end since `start`.
  func longestGap(at end: EngineEnd, since start: Instant) -> Duration {
    var last = start
    var longest: UInt64 = 0
    for (_, at) in end.delivered where at >= start {
      longest = max(longest, at.nanoseconds(since: last))
      last = at
    }
    return .nanoseconds(Int64(max(longest, now.nanoseconds(since: last))))
  }

  /// Both ends send a packet of each flow each `interval`, numbered from 0.
  func exchange(for duration: Duration, every interval: Duration, byteCount: Int = 1000, flows: [UInt16] = [1000], from first: Int = 0)
    -> Int
  {
    let end = now + duration
    var number = first
    while now < end {
      for flow in flows { for side in [client, server] { offer(to: side, flow: flow, number: number, byteCount: byteCount) } }
      number += 1
      run(for: interval)
    }
    return number
  }

  /// What must hold at the end of every story: no nonce was used twice, and once nothing is under way no packet buffer is kept.
  func expectNothingKept(after wait: Duration = .seconds(3), _ location: SourceLocation = #_sourceLocation) {
    run(for: wait)
    for end in [client, server] {
      let lent = end.engine.pool.lentCount
      #expect(lent == 0, "\(end.isServer ? "server" : "client") keeps packets", sourceLocation: location)
      #expect(end.repeatedNonces == 0, "a nonce was used twice", sourceLocation: location)
    }
  }
}
