import CausewayBase

@testable import CausewayMessagingCore

/// Draws operations from a seed, does each to the core and to its naive twin, and says where they differ.
struct TwinDriver: ~Copyable {
  var random: SeededRandom
  var core: MessagingCore
  var twin: NaiveTwin
  var now: UInt64 = 0
  var deadlines: UInt64 = 0
  var difference: String?
  /// Kept only on request, since it costs more than the operations.
  var log: [String] = []
  let keepsLog: Bool
  let keepsTally: Bool
  let start: UInt32
  /// Figures that show that a run reaches what it should.
  var tally: [String: Int] = [:]

  init(seed: UInt64, keepsLog: Bool = false, keepsTally: Bool = false) {
    random = SeededRandom(seed: seed)
    var limits = MessagingLimits()
    limits.inFlight = Int.random(in: 6...24, using: &random)
    limits.unreceivedByteCount = 32 << 10
    limits.minimumGrant = 1 << 10
    limits.maximumGrant = 16 << 10
    limits.initialCapacity = 4
    start = Bool.random(using: &random) ? 0 : UInt32.max - UInt32.random(in: 0...40, using: &random)
    limits.counterStart = start
    core = MessagingCore(limits: limits, seed: random.next())
    twin = NaiveTwin(start: start, limits: limits)
    self.keepsLog = keepsLog
    self.keepsTally = keepsTally
    for isClient in [false, true] {
      twin.mailboxes.append(NaiveTwin.Mailbox(core.openMailbox(isClient ? .client : .server), isClient: isClient))
    }
    open(twin.mailboxes[0])
    open(twin.mailboxes[1])
    if Bool.random(using: &random) { open(twin.mailboxes[0]) }
    for connection in twin.connections where Int.random(in: 0..<8, using: &random) > 0 { establish(connection) }
  }

  /// Runs 10 to 60 operations, more often few than many.
  mutating func run() {
    let count = 10 + min(pick(51), pick(51), pick(51))
    for index in 0..<count where difference == nil {
      step()
      if core.inFlight != twin.inFlight { expect(core.inFlight, twin.inFlight, "in flight") }
      if index & 7 == 7 { expect(core.nextDeadline, twin.nextDeadline, "next deadline") }
      switch pick(10) {
      case 0..<6: drain(.max)
      case 6: drain(pick(3))
      default: break
      }
    }
    drain(.max)
    for connection in twin.connections where difference == nil {
      let counters = core.counters(of: connection.id)
      expect(counters.unreceivedByteCount, (connection.accepted - connection.freed) * 64, "unreceived cost")
      expect(counters.unreceivedMessages, twin.stored.count { $0.connection === connection } + connection.parked.count, "unreceived")
      expect(counters.sendsQueued, twin.sends.count { $0.connection === connection && $0.state == .queued }, "queued")
    }
  }

  mutating func pick(_ count: Int) -> Int { Int(truncatingIfNeeded: random.next() >> 33) % count }
  mutating func chance(_ percent: Int) -> Bool { pick(100) < percent }

  mutating func expect<T: Equatable>(_ core: T, _ twin: T, _ what: @autoclosure () -> String) {
    if core != twin && difference == nil { difference = "\(what()): the core says \(core), the twin \(twin)" }
  }

  mutating func note(_ text: @autoclosure () -> String) { if keepsLog { log.append(text()) } }
  mutating func count(_ what: @autoclosure () -> String) { if keepsTally { tally[what(), default: 0] += 1 } }

  private mutating func step() {
    let connection = twin.connections.isEmpty ? nil : twin.connections[pick(twin.connections.count)]
    switch pick(100) {
    case 0..<20: receive()
    case 20..<45: if let connection { arrive(connection) }
    case 45..<57: if let connection { send(connection) }
    case 57..<66: finishSend()
    case 66..<71: finishReceive()
    case 71: if let connection { endOffer(connection) }
    case 72..<75: cancel()
    case 75..<83: if let connection { control(connection) }
    case 83..<87: flush(connection)
    case 87..<92: advance()
    case 92..<94: probe()
    default: change(connection)
    }
  }

  // MARK: Receives

  private mutating func mask() -> UInt64 { [.max, .max, .max, 0, 1, 2, ~1, 1 << 63][pick(8)] }
  mutating func tag() -> UInt64 { [0, 1, 2, 3, 1 << 63 | 1][pick(5)] }
  mutating func length() -> Int { [0, 1, 63, 64, 65, 500, 2048, 2049, 9000][pick(9)] }

  mutating func deadline() -> Instant {
    if chance(60) { return .distantFuture }
    deadlines += 1
    let distance = UInt64(pick(200)) << 32
    return Instant(nanoseconds: now + distance + deadlines)
  }

  private mutating func receive() {
    let mailbox = twin.mailboxes[pick(2)]
    let candidates = twin.connections.filter { $0.mailbox === mailbox }
    let from = candidates.isEmpty || chance(60) ? nil : candidates[pick(candidates.count)]
    let tag = tag()
    let mask = mask()
    let capacity = chance(70) ? Int.max : length()
    let drops = capacity < Int.max && chance(30)
    let deadline = deadline()
    let got = core.receive(in: mailbox.id, from: from?.id, tag: tag, mask: mask, capacity: capacity, drops: drops, deadline: deadline)
    note("receive from \(String(describing: from?.id)) tag \(tag) mask \(mask) capacity \(capacity): \(got)")
    if case .posted(let id) = got { checkFresh(id) }
    if case .matched(let id, _, _) = got { checkFresh(id) }
    if case .truncated = got { count("truncated at once") }
    let expected = twin.receive(mailbox, from, tag, mask, capacity, drops: drops, deadline, got: got)
    expect(got, expected, "receive")
  }

  private mutating func checkFresh(_ id: ReceiveID) {
    for receive in twin.posted + twin.matched where receive.id!.slot == id.slot { expect(id, receive.id!, "a slot given out twice") }
  }

  private mutating func finishReceive() {
    guard !twin.matched.isEmpty else { return }
    let receive = twin.matched[pick(twin.matched.count)]
    note("finish \(receive.id!)")
    core.finishReceive(receive.id!)
    twin.finish(receive)
  }

  private mutating func cancel() {
    if chance(50) {
      let all = twin.posted + twin.matched
      guard !all.isEmpty else { return }
      let receive = all[pick(all.count)]
      note("cancel \(receive.id!)")
      let got = core.cancel(receive.id!)
      let expected = twin.cancel(receive)
      expect(got, expected, "cancel a receive")
    } else {
      let all = twin.sends + twin.awaiting
      guard !all.isEmpty else { return }
      let send = all[pick(all.count)]
      note("cancel \(send.id!)")
      let got = core.cancel(send.id!)
      let expected = twin.cancel(send)
      expect(got, expected, "cancel a send")
    }
  }

  private mutating func probe() {
    let mailbox = twin.mailboxes[pick(2)]
    let tag = tag()
    let mask = mask()
    let from = twin.connections.first { $0.mailbox === mailbox }
    let expected = twin.firstStored(mailbox, from, tag, mask).map { twin.stored[$0].info }
    expect(core.probe(in: mailbox.id, from: from?.id, tag: tag, mask: mask), expected, "probe")
  }

  private mutating func arrive(_ connection: NaiveTwin.Connection) {
    let offset = [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, -1, -2, 1024, 1025][pick(14)]
    let sequence = max(0, connection.expected + offset)
    let length = length()
    let isRendezvous = length > 0 && chance(30)
    let info = MessageInfo(tag: tag(), length: length, connection: connection.id, isRendezvous: isRendezvous)
    let isSynchronous = chance(25)
    let header = MessageHeader(
      kind: .data, tag: info.tag, connection: connection.id.rawValue, sequence: start &+ UInt32(sequence),
      credit: credit(connection), flags: isSynchronous ? .wantsAcknowledgement : [], check: connection.check)
    let got = core.arrive(header, length: length, rendezvous: isRendezvous)
    note("arrive \(sequence) on \(connection.id) \(info) sync \(isSynchronous): \(got)")
    if case .dropped(let reason) = got { count("dropped \(reason)") }
    if connection.isLiving && takeCredit(connection, header.credit) { twin.startQueued(connection) }
    let expected = twin.arrive(connection, sequence: sequence, info, synchronous: isSynchronous, got: got)
    expect(got, expected, "arrive")
  }

  // MARK: Sends

  private mutating func send(_ connection: NaiveTwin.Connection) {
    let send = NaiveTwin.Send(connection, tag(), length(), chance(30), deadline())
    let got = core.send(
      on: connection.id, tag: send.tag, length: send.length, synchronous: send.isSynchronous, deadline: send.deadline)
    note("send on \(connection.id) length \(send.length) sync \(send.isSynchronous): \(got)")
    if case .rendezvous = got, send.length <= connection.eagerLimit { count("rendezvous for want of credit") }
    if case .queued = got { count("queued") }
    let expected = twin.send(send, got: got)
    expect(got, expected, "send")
    guard let id = send.id else { return }
    if case .rendezvous = got { offer(id) }
    for other in twin.sends + twin.awaiting where other !== send && other.id!.slot == id.slot {
      expect(id, other.id!, "a slot given out twice")
    }
  }

  private mutating func finishSend() {
    let started = twin.sends.filter {
      ($0.state == .started || $0.state == .reported) && !$0.isStartOnWay && !$0.isOffered && !$0.isReturnOnWay
    }
    guard !started.isEmpty else { return }
    finish(started[pick(started.count)], failed: chance(10))
  }

  mutating func finish(_ send: NaiveTwin.Send, failed hasFailed: Bool) {
    note("finished \(send.id!) failed \(hasFailed)")
    let got = core.sendFinished(send.id!, failed: hasFailed)
    count("finish \(got)")
    let expected = twin.finished(send, failed: hasFailed)
    expect(got, expected, "send finished")
  }

  /// Some of the rendezvous that start are offered.
  mutating func offer(_ id: SendID) {
    guard chance(50), let send = twin.sends.first(where: { $0.id == id }) else { return }
    note("offer \(id)")
    core.offer(id)
    send.isOffered = true
  }

  /// One of the peer's was read, or let go.
  private mutating func endOffer(_ connection: NaiveTwin.Connection) {
    let number = pick(connection.expected + 1) + (chance(20) ? pick(200) : 0)
    note("offer ended \(number) on \(connection.id)")
    core.offerEnded(connection.id, sequence: start &+ UInt32(truncatingIfNeeded: number))
    if connection.isLiving { connection.returns.append(number) }
  }

  private mutating func flush(_ connection: NaiveTwin.Connection?) {
    if chance(25), !twin.flushes.isEmpty {
      let flush = twin.flushes[pick(twin.flushes.count)]
      let got = core.cancel(flush.id!)
      expect(got, .cancelled, "cancel a flush")
      twin.flushes.removeAll { $0 === flush }
      return
    }
    let deadline = deadline()
    let picksOne = chance(60)
    if let connection, picksOne {
      let got = core.flush(connection.id, deadline: deadline)
      note("flush \(connection.id): \(got)")
      expect(got, connection.isLiving ? twin.flush([connection], deadline, got: got) : .refused(connection.refusal), "flush")
    } else {
      let mailbox = twin.mailboxes[pick(2)]
      let got = core.flush(mailbox.id, deadline: deadline)
      note("flush all: \(got)")
      count("flush \(got == .done)")
      let targets = twin.connections.filter { $0.mailbox === mailbox }
      let refusal: Refusal? = mailbox.isClosed ? .closed : mailbox.ended
      var expected = FlushOutcome.done
      if let refusal { expected = .refused(refusal) } else { expected = twin.flush(targets, deadline, got: got) }
      expect(got, expected, "flush all")
    }
  }

  private mutating func advance() {
    let step = UInt64(pick(60)) << 32
    let now = self.now + step
    self.now = now
    note("advance to \(now)")
    core.advance(to: Instant(nanoseconds: now))
    twin.advance(Instant(nanoseconds: now))
  }
}
