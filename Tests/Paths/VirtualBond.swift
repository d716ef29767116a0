import CausewayBase
import CausewayPaths

/// Senders over virtual links with receivers that acknowledge: enough of a bond to judge capacity, health and schedulers. Data have no
/// content and are never sent again.
final class VirtualBond {
  enum Event {
    case arrival(path: Int, counter: UInt64, bytes: Int, isData: Bool, probe: UInt32)
    case acknowledge(path: Int)
    case acknowledgement(path: Int, PathAcknowledgement, [CounterRange])
    case echo(path: Int, id: UInt32)
    case wake
    case action(Int)
  }

  var links: [VirtualLink]
  let senders: [PathSender]
  var receivers: [VirtualReceiver]
  var scheduler: AnyScheduler
  var random: SeededRandom
  /// Acknowledgements take so long, whichever path they come by.
  var returnDelay: UInt64
  /// Waiting for the pace is rounded up to this.
  var timerGrain: UInt64 = 500_000
  /// Offered load in bytes per second; 0: more than any path takes.
  var offered = 0.0
  /// What the sending machine can do at most, bytes per second; 0: anything.
  var machineRate = 0.0
  var actions: [(UInt64, (VirtualBond) -> Void)] = []
  private(set) var now: UInt64 = 1_000_000_000
  let origin: UInt64 = 1_000_000_000

  private var events: [(UInt64, UInt64, Event)] = []
  private var order: UInt64 = 0
  private var counters: [UInt64]
  private var outcome = AcknowledgementOutcome()
  private var wakeAt: UInt64 = .max
  private var machineFreeAt: UInt64 = 0
  private var backlog = 0.0
  private var backlogAt: UInt64 = 0

  // What is measured.
  private(set) var changes: [(path: Int, change: PathChange)] = []
  private(set) var perPathBytes: [Int]
  /// Delivered bytes of each path in each 100 ms.
  private(set) var slots: [[Int]]
  /// Our wait in the link's queue, in ms, of each packet sent after `measureFrom`.
  private(set) var waits: [[Double]]
  var measureFrom: UInt64 = 2_000_000_000
  private(set) var lostTokens = 0
  private(set) var spuriousTokens = 0
  private(set) var sentPackets: [Int]
  private var reportedAt: [UInt64]
  let clockOffset: UInt64

  init(_ links: [VirtualLink], _ kind: SchedulerKind = .cfs, seed: UInt64 = 1, returnMilliseconds: Double = 10) {
    self.links = links
    scheduler = AnyScheduler(kind)
    random = SeededRandom(seed: seed)
    senders = links.indices.map { PathSender(id: PathID(UInt8($0)), at: Instant(nanoseconds: 1_000_000_000)) }
    receivers = links.map { _ in VirtualReceiver() }
    returnDelay = UInt64(returnMilliseconds * 1e6)
    counters = links.map { _ in 0 }
    perPathBytes = links.map { _ in 0 }
    slots = links.map { _ in [] }
    waits = links.map { _ in [] }
    sentPackets = links.map { _ in 0 }
    reportedAt = links.map { _ in 0 }
    clockOffset = 4_290_000_000_000  // the peer's microseconds wrap soon after the start
    for index in links.indices { senders[index].isReliable = links[index].isStream }
    for index in links.indices { receivers[index].interval = max(2_000_000, min(10_000_000, (links[index].delay + returnDelay) / 8)) }
    backlogAt = now
  }

  func at(_ seconds: Double, _ action: @escaping (VirtualBond) -> Void) {
    actions.append((origin + UInt64(seconds * 1e9), action))
    push(origin + UInt64(seconds * 1e9), .action(actions.count - 1))
  }

  var instant: Instant { Instant(nanoseconds: now) }
  var elapsed: Double { Double(now - origin) / 1e9 }

  /// Mean Mbit/s that arrived on a path between two times.
  func megabits(_ path: Int, from: Double, to: Double) -> Double {
    let first = Int(from * 10)
    let last = Int(to * 10)
    var sum = 0
    for slot in first..<last where slot < slots[path].count { sum += slots[path][slot] }
    return Double(sum) * 8 / 1e6 / (to - from)
  }

  func waitPercentile(_ path: Int, _ share: Double) -> Double {
    let sorted = waits[path].sorted()
    return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
  }

  func run(seconds: Double) {
    let end = origin + UInt64(seconds * 1e9)
    push(now, .wake)
    var idleTurns = 0
    while let (time, _, event) = events.first, time <= end {
      idleTurns = time > now + 1 ? 0 : idleTurns + 1
      precondition(idleTurns < 100_000, "time stands still: \(senders.map { ($0.state, $0.nextDeadline.nanoseconds, now) }) \(event)")
      pop()
      now = max(now, time)
      handle(event)
      serve()
    }
    now = end
  }

  private func handle(_ event: Event) {
    switch event {
    case .arrival(let path, let counter, let bytes, let isData, let probe):
      if probe != 0 { push(now + links[path].delay, .echo(path: path, id: probe)) }
      let due = receivers[path].due
      let atOnce = receivers[path].receive(counter, bytes, at: now)
      if isData {
        perPathBytes[path] += bytes
        let slot = Int((now - origin) / 100_000_000)
        while slots[path].count <= slot { slots[path].append(0) }
        slots[path][slot] += bytes
      }
      if atOnce { acknowledge(path) } else if due == nil, let due = receivers[path].due { push(due, .acknowledge(path: path)) }
    case .acknowledge(let path):
      if let due = receivers[path].due, due <= now { acknowledge(path) }
    case .acknowledgement(let path, let block, let ranges):
      try! senders[path].receiveAcknowledgement(block, ranges: ranges.span, at: instant, into: &outcome)
    case .echo(let path, let id):
      if !links[path].isDead { senders[path].echoReceived(id, at: instant) }
    case .wake: if wakeAt <= now { wakeAt = .max }
    case .action(let index): actions[index].1(self)
    }
  }

  private func acknowledge(_ path: Int) {
    let receiver = receivers[path]
    let stamp = UInt32(truncatingIfNeeded: (receiver.largestArrival + clockOffset) / 1000)
    let block = PathAcknowledgement(
      largest: receiver.ranges[0].last, arrivalMicroseconds: stamp, delayNanoseconds: now - receiver.largestArrival)
    push(now + returnDelay, .acknowledgement(path: path, block, receiver.ranges))
    receivers[path].acknowledged()
  }

  /// One turn of the packet loop: timers, facts, then as many runs as the paths take.
  private func serve() {
    for (index, sender) in senders.enumerated() {
      let alive = senders.contains { $0.state == .normal && $0.id != sender.id }
      if sender.nextDeadline <= instant { sender.advance(to: instant, anotherPathAlive: alive, into: &outcome) }
      while let fact = sender.nextFact() {
        switch fact {
        case .sendProbe(let id):
          sender.probeSent(id, at: instant)
          transmit(index, 100, token: .max, flags: .control, probe: id)
        case .askTransport: report(index)
        case .changed(let change):
          changes.append((index, change))
          if change.to == .unstable || change.to == .lost { sender.takeAllInFlight(into: &outcome) }
        }
      }
    }
    lostTokens += outcome.lost.count
    spuriousTokens += outcome.spurious.count
    outcome.removeAll()
    let pace = sendRuns()
    var deadline = pace
    for sender in senders { deadline = min(deadline, sender.nextDeadline.nanoseconds) }
    if deadline < wakeAt {
      wakeAt = max(deadline, now + 1)
      push(wakeAt, .wake)
    }
  }

  /// What a stream's kernel says.
  private func report(_ path: Int) {
    reportedAt[path] = now
    senders[path].transportTold(links[path].report(back: returnDelay, at: now), at: instant)
  }

  private func sendRuns() -> UInt64 {
    if offered > 0 {
      backlog = min(backlog + offered * Double(now - backlogAt) / 1e9, 4_000_000)
      backlogAt = now
    }
    var turns = 0
    while true {
      if machineFreeAt > now { return machineFreeAt }
      if offered > 0 && backlog < 1468 { return now + UInt64((1468 - backlog) / offered * 1e9) + 1000 }
      let views = senders.map { $0.view(isOpen: true) }
      let waiting = offered > 0 ? Int(backlog) : 4_000_000
      let decision = scheduler.pick(views.span, Demand(byteCount: 1468, backlogByteCount: waiting), at: instant)
      switch decision {
      case .none: return .max
      case .wait(let until):
        return until.nanoseconds == .max ? .max : max(now + 1, (until.nanoseconds + timerGrain - 1) / timerGrain * timerGrain)
      case .paths(let set):
        for path in senders.indices where set & (1 << UInt64(path)) != 0 { transmit(path, 1468, token: 1, flags: []) }
        if offered > 0 { backlog -= 1468 }
      case .path(let path):
        var bytes = 0
        while bytes + 1468 <= max(1468, views[path].runByteLimit) && (offered == 0 || backlog >= 1468) {
          transmit(path, 1468, token: 1, flags: [])
          bytes += 1468
          if offered > 0 { backlog -= 1468 }
        }
        scheduler.sent(bytes, on: path, views.span)
        if machineRate > 0 { machineFreeAt = now + UInt64(Double(bytes) / machineRate * 1e9) }
      }
      turns += 1
      precondition(turns < 100_000, "a scheduler that never waits")
    }
  }

  private func transmit(_ path: Int, _ bytes: Int, token: UInt32, flags: SentFlags, probe: UInt32 = 0) {
    let counter = counters[path]
    counters[path] += 1
    sentPackets[path] += 1
    senders[path].sent(counter: counter, byteCount: bytes, token: token, flags: flags, at: instant)
    if now - origin >= measureFrom && probe == 0 { waits[path].append(links[path].waiting(at: now) / 1e6) }
    if links[path].isStream, now >= reportedAt[path] + 2_000_000 { report(path) }
    if let arrival = links[path].admit(bytes, at: now, &random) {
      push(arrival, .arrival(path: path, counter: counter, bytes: bytes, isData: probe == 0, probe: probe))
    }
  }

  // MARK: A binary heap by time, then by order of entry

  private func push(_ time: UInt64, _ event: Event) {
    order += 1
    events.append((time, order, event))
    var child = events.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if (events[parent].0, events[parent].1) <= (events[child].0, events[child].1) { return }
      events.swapAt(parent, child)
      child = parent
    }
  }

  private func pop() {
    events.swapAt(0, events.count - 1)
    events.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in (2 * parent + 1)...(2 * parent + 2)
      where child < events.count && (events[child].0, events[child].1) < (events[least].0, events[least].1) {
        least = child
      }
      if least == parent { return }
      events.swapAt(least, parent)
      parent = least
    }
  }
}
