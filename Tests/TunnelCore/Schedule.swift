import CausewayBase
import CausewaySimulation

@testable import CausewayTunnelCore

/// One seeded schedule: a relay's and a client's session over connections that die, with programs at both ends that write, stall, drain,
/// end and reset. Everything follows from the seed; `run` throws at the first byte, event or number that breaks a rule.
final class Schedule {
  let seed: UInt64
  private var random: SeededRandom
  private var clock = SimulatedClock(startingAt: Instant(nanoseconds: 1_000_000))
  let limits: SessionLimits
  private let relay: ScheduleEnd
  private let client: ScheduleEnd
  private let link: ScheduleLink
  private var unopened: [SchedulePlan] = []
  private var nextOpen: Instant
  /// No program acts before this.
  private var programsDue = Instant.distantFuture
  private var events: [SessionEvent] = []
  private var touched: [ScheduleProgram] = []
  private(set) var coverage = ScheduleCoverage()

  /// A schedule that needs more virtual time hangs: pauses, stalls and connections add up to less.
  static let timeLimit = Duration.seconds(120)
  /// So many rounds without time passing are a spin.
  static let roundLimit = 20_000

  init(seed: UInt64) {
    self.seed = seed
    var random = SeededRandom(seed: seed &* 0x9E37_79B9_7F4A_7C15 &+ 1)
    var limits = SessionLimits()
    limits.growthThreshold = 0  // a schedule is shorter than that
    limits.initialWindow = random.pick(1, 64, 300, 1000, 4096, 8192) + random.number(below: 200)
    limits.maximumWindow = limits.initialWindow * (1 + random.number(below: 8))
    limits.windowBudget = limits.initialWindow * random.number(below: 16)
    limits.sendBacklog = limits.initialWindow / 4 + 1 + random.number(below: 8192)
    limits.sharedFrame = random.pick(100, 1024, 16384)
    limits.sparseBurst = 1 + random.number(below: 4096)
    limits.acknowledgementThreshold = 1 + random.number(below: 4096)
    self.limits = limits
    let now = clock.now
    relay = ScheduleEnd(isRelay: true, limits: limits, at: now)
    client = ScheduleEnd(isRelay: false, limits: limits, at: now)
    link = ScheduleLink(&random, at: now)
    // 4...8 streams share up to 64 KiB unevenly; small windows need many turns for little, so less there.
    var left = 1024 + random.number(below: min(64512, limits.initialWindow * random.pick(10, 20, 60)))
    let streamCount = 4 + random.number(below: 5)
    for _ in 0..<streamCount {
      let share = 1 + random.number(below: max(1, left / 2))
      left -= share
      unopened.append(SchedulePlan(byteCount: share, &random))
    }
    nextOpen = now
    self.random = random
  }

  private var now: Instant { clock.now }

  /// Runs to the end.
  func run() throws(ScheduleFailure) {
    let deadline = now + Self.timeLimit
    while true {
      try settle()
      let isOver = isOver
      // Looking at every stream at every moment would take half of the time.
      if isOver || random.number(below: 4) == 0 {
        try checkInvariants(of: relay, against: client)
        try checkInvariants(of: client, against: relay)
      }
      if isOver { break }
      let next = nextInstant
      guard next <= deadline, next > now else { throw failure("hangs") }
      clock.advance(to: next)
    }
    for (up, down) in zip(relay.programs, client.programs) {
      if let wrong = up.verdict(peer: down) { throw failure("relay: stream \(up.id) \(wrong)") }
      if let wrong = down.verdict(peer: up) { throw failure("client: stream \(up.id) \(wrong)") }
      coverage.bytes += up.incoming.delivered + down.incoming.delivered
    }
    for end in [relay, client] {
      if end.session.unacknowledgedByteCount != 0 { throw failure("\(end.name) holds bytes after the end") }
      if end.session.windowGrowth != 0 { throw failure("\(end.name) holds budget after the end") }
      coverage.replayedBytes += end.session.statistics.bytesReplayed
    }
    coverage.schedules = 1
    coverage.streams = relay.programs.count
    coverage.deaths = link.deathCount
    coverage.deathsInSynchronization = link.deathsInSynchronization
  }

  private var isOver: Bool {
    guard unopened.isEmpty && link.isLast else { return false }
    guard relay.session.streamCount == 0 && client.session.streamCount == 0 else { return false }
    return [relay, client].allSatisfy { $0.session.isAttached && !$0.session.awaitsPeerSynchronization }
  }

  /// The next moment at which anything can happen.
  private var nextInstant: Instant {
    var next = min(programsDue, link.nextInstant(relay, client))
    if !unopened.isEmpty { next = min(next, nextOpen) }
    if let deadline = relay.session.nextDeadline { next = min(next, deadline) }
    if let deadline = client.session.nextDeadline { next = min(next, deadline) }
    return next
  }

  /// Does everything that can be done at this moment.
  private func settle() throws(ScheduleFailure) {
    var rounds = 0
    var isBusy = true
    while isBusy {
      let wereAttached = (relay.session.isAttached, client.session.isAttached)
      link.step(relay, client, &random, at: now)
      if link.deathCount > 0 {
        if !wereAttached.0 && relay.session.isAttached { coverage.resumedStreams += relay.session.streamCount }
        if !wereAttached.1 && client.session.isAttached { coverage.resumedStreams += client.session.streamCount }
      }
      isBusy = try receive(at: relay)
      if try receive(at: client) { isBusy = true }
      try act()
      if try produce(at: relay) { isBusy = true }
      if try produce(at: client) { isBusy = true }
      if programsDue <= now { isBusy = true }
      rounds += 1
      if rounds > Self.roundLimit { throw failure("spins") }
    }
  }

  // MARK: Bytes

  private func receive(at end: ScheduleEnd) throws(ScheduleFailure) -> Bool {
    guard end.session.isAttached else { return false }
    guard end.session.advance(to: now) || !link.connection.isAlive else { throw failure("\(end.name) gave up a live connection") }
    let inbox = end.inbox
    var total = link.connection.receive(into: inbox, at: end.side, at: now)
    guard total > 0 else { return false }
    if random.number(below: 2) == 0 {
      // Several pieces may wait in the kernel and be read at once.
      while true {
        let count = link.connection.receive(into: inbox, at: end.side, at: now)
        if count == 0 { break }
        total += count
      }
    }
    let used: Int
    do throws(SessionError) { used = try end.session.receive(inbox.bytes, at: now, into: &events) } catch {
      throw failure("\(end.name) refused its peer: \(error)")
    }
    for event in events { try handle(event, inbox.bytes, at: end) }
    events.removeAll(keepingCapacity: true)
    inbox.consume(used)
    for program in touched { report(program) }
    touched.removeAll(keepingCapacity: true)
    return true
  }

  private func handle(_ event: SessionEvent, _ bytes: Span<UInt8>, at end: ScheduleEnd) throws(ScheduleFailure) {
    switch event {
    case .opened(let id):
      guard !end.isRelay, end.program(id).presence == .unborn else { throw failure("\(end.name): stream \(id) opened again") }
      end.program(id).begin(at: now)
      programsDue = now
    case .data(let id, let range):
      let program = end.program(id)
      try demandOpen(program, "data")
      if let wrong = program.incoming.deliver(bytes.extracting(range)) { throw failure("\(end.name): stream \(id): \(wrong)") }
      if program.outgoing.isFinished && !program.wasHalfClosed {
        program.wasHalfClosed = true
        coverage.halfClosed[end.isRelay ? 0 : 1] += 1
      }
      program.received += range.count
      program.scheduleDrain(&random, at: now)
      programsDue = min(programsDue, program.nextDrain)
      touched.append(program)
    case .end(let id):
      try demandOpen(end.program(id), "end")
      if let wrong = end.program(id).incoming.deliverEnd() { throw failure("\(end.name): stream \(id): \(wrong)") }
    case .reset(let id, _):
      try demandOpen(end.program(id), "reset")
      end.program(id).presence = .gone
      end.program(id).heardReset = true
      coverage.resetsHeard += 1
    case .writable(let id): try becomeWritable(id, at: end)
    case .control: throw failure("\(end.name): a control message from nowhere")
    case .synchronized: break
    }
  }

  private func demandOpen(_ program: ScheduleProgram, _ event: String) throws(ScheduleFailure) {
    if program.presence != .open { throw failure("\(program.end.name): \(event) for stream \(program.id), which is \(program.presence)") }
  }

  private func becomeWritable(_ id: StreamID, at end: ScheduleEnd) throws(ScheduleFailure) {
    let program = end.program(id)
    try demandOpen(program, "writable")
    guard program.isBlocked else { throw failure("\(end.name): writable event for stream \(id), which did not wait") }
    // A reset behind the event may have ended the stream in the same call.
    guard !end.session.isOpen(id) || end.session.sendCapacity(id) > 0 else {
      throw failure("\(end.name): stream \(id) is writable without capacity")
    }
    program.isBlocked = false
    program.nextWrite = now
    programsDue = now
    coverage.unblocked += 1
  }

  private func produce(at end: ScheduleEnd) throws(ScheduleFailure) -> Bool {
    guard end.session.isAttached else { return false }
    let outbox = end.outbox
    if outbox.isEmpty && end.session.hasOutput(at: now) {
      end.session.produce(into: outbox, upTo: 1 + random.number(below: 4096), at: now)
      if outbox.isEmpty && end.session.hasOutput(at: now) { throw failure("\(end.name) says it has output and makes none") }
      var ids: [StreamID] = []
      end.session.takeWritable { ids.append($0) }
      for id in ids { try becomeWritable(id, at: end) }
    }
    guard !outbox.isEmpty else { return false }
    let sent = link.connection.send(outbox.bytes, from: end.side, at: now)
    outbox.consume(sent)
    return sent > 0
  }

  // MARK: Programs

  private func act() throws(ScheduleFailure) {
    while !unopened.isEmpty && nextOpen <= now { open() }
    while programsDue <= now {
      programsDue = .distantFuture
      act(relay.programs)
      act(client.programs)
    }
  }

  private func act(_ programs: [ScheduleProgram]) {
    let now = now
    var index = 0
    while index < programs.count {
      let program = programs[index]
      index += 1
      guard program.presence == .open else { continue }
      var due = program.due
      if due <= now {
        act(program)
        due = program.due
      }
      if due < programsDue { programsDue = due }
    }
  }

  private func open() {
    let plan = unopened.removeFirst()
    nextOpen = now.later(random.number(below: 100_000))
    let id = StreamID(relay.programs.count + 1)
    let (down, up) = (TwinDirection(), TwinDirection())
    let program = ScheduleProgram(id, at: relay, down, up, plan: plan, &random)
    client.programs.append(ScheduleProgram(id, at: client, up, down, plan: plan, &random))
    relay.programs.append(program)
    // A head may be larger than the window.
    let head = min(program.unwritten, 1 + random.number(below: limits.initialWindow * 3 / 2))
    let pattern = SchedulePattern.bytes
    let bytes = pattern.span.extracting(program.patternStart..<program.patternStart + head)
    down.bytes.append(bytes)
    program.unwritten -= head
    program.begin(at: now)
    programsDue = now
    let opened = relay.session.open(bytes, at: now)
    precondition(opened == id, "streams are numbered in order")
  }

  private func act(_ program: ScheduleProgram) {
    let session = program.end.session
    if program.resetAt <= now {
      program.resetAt = .distantFuture
      // Meanwhile it may have ended well.
      guard session.isOpen(program.id) else { return }
      session.reset(program.id, .cancelled)
      coverage.resets[program.end.isRelay ? 0 : 1] += 1
      program.wasReset = true
      program.presence = .gone
      return
    }
    if program.nextWrite <= now { write(program) }
    if program.nextDrain <= now {
      program.drain(&random)
      program.nextDrain = .distantFuture
      program.scheduleDrain(&random, at: now)
      report(program)
    }
  }

  private func report(_ program: ScheduleProgram) {
    let session = program.end.session
    guard program.drained > program.reported, program.reportsAlways || session.wantsDrainReport(program.id) else { return }
    // What the far TCP has acknowledged may lag behind.
    let acknowledged = UInt64(program.drained - random.number(below: 1 + min(program.drained, random.pick(0, 500))))
    session.drained(program.id, upTo: UInt64(program.drained), acknowledged: acknowledged, pathRoundTrip: program.pathRoundTrip, at: now)
    program.reported = program.drained
    if session.streams[program.id].map({ $0.window.growth > 0 }) ?? false { coverage.grownWindows += 1 }
  }

  private func write(_ program: ScheduleProgram) {
    let session = program.end.session
    program.nextWrite = .distantFuture
    guard program.unwritten > 0 else {
      session.finish(program.id, at: now)
      program.outgoing.isFinished = true
      return
    }
    let capacity = session.sendCapacity(program.id)
    guard capacity > 0 else {
      coverage.blocked += 1
      program.isBlocked = true
      return
    }
    let count = min(capacity, program.unwritten, 1 + random.number(below: 4096))
    let start = program.patternStart + program.outgoing.bytes.count
    let pattern = SchedulePattern.bytes
    let bytes = pattern.span.extracting(start..<start + count)
    var written = count
    if random.number(below: 2) == 0 {
      session.append(program.id, bytes, at: now)
    } else {
      // As a shell does that reads from a socket into the queue: it may get less room than it asked for.
      written =
        unsafe session.appendDirectly(program.id, atMost: count, at: now) { target in
          let part = min(target.count, count)
          // SAFETY: `part` fits both.
          unsafe bytes.withUnsafeBytes { source in unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[0..<part])) }
          return (part, part)
        } ?? 0
    }
    program.outgoing.bytes.append(bytes.extracting(first: written))
    program.unwritten -= written
    program.pause(&random, at: now)
  }

  // MARK: Invariants

  private func checkInvariants(of end: ScheduleEnd, against peer: ScheduleEnd) throws(ScheduleFailure) {
    var growth = 0
    for (id, stream) in end.session.streams {
      growth += stream.window.growth
      let program = end.program(id)
      let written = UInt64(program.outgoing.bytes.count)
      var broken: String?
      if program.presence != .open { broken = "is kept after its end" }
      if stream.queue.endOffset != written { broken = "has other bytes than were written" }
      if stream.acknowledged > stream.sent || stream.sent > stream.sendTotal { broken = "has offsets out of order" }
      if stream.queue.startOffset != min(stream.acknowledged, written) { broken = "holds what was acknowledged" }
      if min(stream.sent, written) > stream.credit { broken = "sent more than granted" }
      if stream.queue.count > limits.maximumWindow + limits.initialWindow * 3 / 2 { broken = "holds more than its window and head" }
      if UInt64(program.incoming.delivered) != stream.received - (stream.endReceived ? 1 : 0) {
        broken = "delivered other than it received"
      }
      if stream.window.credit > stream.window.consumed + UInt64(limits.maximumWindow) { broken = "granted too much" }
      if let other = peer.session.streams[id] {
        if stream.credit > other.window.credit { broken = "has more credit than the peer gave" }
        if stream.acknowledged > other.received { broken = "was acknowledged what never arrived" }
      }
      if let broken { throw failure("\(end.name): stream \(id) \(broken)") }
    }
    if growth != end.session.windowGrowth || growth > limits.windowBudget {
      throw failure("\(end.name): window growth \(end.session.windowGrowth), really \(growth)")
    }
  }

  private func failure(_ message: String) -> ScheduleFailure { ScheduleFailure(seed: seed, message: "\(message)\n\(state)") }

  /// What a reader of a failure wants to see.
  private var state: String {
    var text = "at \(now.nanoseconds / 1000) us, \(unopened.count) unopened, \(link.summary), limits \(limits)"
    for end in [relay, client] {
      let session = end.session
      text +=
        "\n\(end.name): attached \(session.isAttached), must synchronize \(session.mustSynchronize), awaits \(session.awaitsPeerSynchronization)"
      text += ", inbox \(end.inbox.count), outbox \(end.outbox.count)"
      for id in session.streams.keys.sorted() {
        let stream = session.streams[id]!
        text +=
          "\n  \(id): acknowledged \(stream.acknowledged) sent \(stream.sent) queued \(stream.queue.endOffset) credit \(stream.credit)"
        text += " finished \(stream.isFinished) in turn \(stream.isQueued); received \(stream.received) ended \(stream.endReceived)"
        text += " consumed \(stream.window.consumed) granted \(stream.window.credit); program \(end.program(id))"
      }
    }
    return text
  }
}
