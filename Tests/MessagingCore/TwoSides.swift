import CausewayBase

@testable import CausewayMessagingCore

/// Two cores and a wire between them that loses nothing but keeps order only roughly. Each side sends numbered messages and takes
/// whatever comes; the run checks order, credit and what a flush and a synchronous send promise.
final class Side {
  struct Packet {
    var header: MessageHeader
    var length: Int
    var isRendezvous: Bool
    /// The sender's, to be told when a rendezvous was read or let go.
    var send: SendID?
    var isOffered: Bool { header.flags.contains(.offered) }
  }

  var core: MessagingCore
  let mailbox: MailboxID
  let connection: ConnectionID
  /// On the way to this side.
  var inbox: [Packet] = []
  /// Rendezvous of ours that the peer has read.
  var finished: [SendID] = []
  var stored: [MessageID: Packet] = [:]
  var sent = 0
  var received = 0
  var lengths: [Int] = []
  /// By number: matched at the peer, and arrived there.
  var synchronous: [SendID: Int] = [:]
  var rendezvous: [SendID: Int] = [:]
  var arrived: Set<Int> = []
  var matchedAtPeer = 0
  var flushes: [FlushID: Int] = [:]
  var mostHeld = 0
  var problems: [String] = []

  init(limits: MessagingLimits, seed: UInt64) {
    core = MessagingCore(limits: limits, seed: seed)
    mailbox = core.openMailbox(.server)
    connection = core.openConnection(in: mailbox, check: 5)!
  }

  var credit: MessagingCounters { core.counters(of: connection) }
}

struct TwoSides {
  var random: SeededRandom
  let sides: [Side]
  let reach: Int
  var extra: [ConnectionID] = []

  init(seed: UInt64, reach: Int) {
    random = SeededRandom(seed: seed)
    self.reach = reach
    var limits = MessagingLimits()
    limits.inFlight = 400
    limits.unreceivedByteCount = [4096, 16 << 10, 128 << 10][Int.random(in: 0..<3, using: &random)]
    limits.minimumGrant = 1024
    limits.initialCapacity = 8
    limits.counterStart = UInt32.max - UInt32.random(in: 0...100, using: &random)
    sides = [Side(limits: limits, seed: random.next()), Side(limits: limits, seed: random.next())]
    for (us, them) in [(sides[0], sides[1]), (sides[1], sides[0])] {
      us.core.establish(us.connection, peer: them.core.address(of: them.connection), eagerLimit: 8192)
    }
  }

  mutating func run(steps: Int) {
    for _ in 0..<steps {
      let index = Int.random(in: 0..<2, using: &random)
      switch Int.random(in: 0..<20, using: &random) {
      case 0..<6: send(index)
      case 6..<8: receive(index)
      case 8..<16: deliver(index)
      case 16..<17: finish(index)
      case 17: flush(index)
      case 18: changeGrant()
      default: break
      }
      drain(index)
    }
    // Whatever waits goes through once both sides receive.
    var idle = 0
    while idle < 4 {
      let before = sides.map { ($0.received, $0.inbox.count, $0.finished.count) }
      for index in 0..<2 {
        receive(index)
        while !sides[index].inbox.isEmpty {
          deliver(index)
          drain(index)
        }
        while !sides[index].finished.isEmpty { finish(index) }
        drain(index)
      }
      let isSame = zip(before, sides).allSatisfy { $0 == ($1.received, $1.inbox.count, $1.finished.count) }
      idle = isSame ? idle + 1 : 0
    }
    for side in sides {
      let peer = side === sides[0] ? sides[1] : sides[0]
      if side.credit.sendsQueued > 0 { side.problems.append("\(side.credit.sendsQueued) sends stall") }
      if peer.received != side.sent { side.problems.append("\(side.sent) sent, \(peer.received) received") }
      if !side.flushes.isEmpty { side.problems.append("a flush never ends") }
      if !side.synchronous.isEmpty { side.problems.append("a synchronous send never ends") }
      if side.credit.sendsInFlight > 0 { side.problems.append("\(side.credit.sendsInFlight) sends in flight") }
      if side.credit.unreceivedByteCount > 0 { side.problems.append("a cost never freed") }
    }
  }

  private mutating func send(_ index: Int) {
    let side = sides[index]
    let length = [0, 1, 64, 500, 2048, 4096, 9000, 1 << 20].randomElement(using: &random)!
    let isSynchronous = Int.random(in: 0..<4, using: &random) == 0
    let outcome = side.core.send(on: side.connection, tag: UInt64(side.sent), length: length, synchronous: isSynchronous)
    switch outcome {
    case .eager(let id, let header): go(index, id, header, length, false, isSynchronous)
    case .rendezvous(let id, let header): go(index, id, header, length, true, isSynchronous)
    case .queued(let id): if isSynchronous { side.synchronous[id] = side.sent }
    case .refused: return
    }
    side.lengths.append(length)
    side.sent += 1
  }

  private mutating func go(_ index: Int, _ id: SendID, _ header: MessageHeader, _ length: Int, _ isRendezvous: Bool, _ isSynchronous: Bool)
  {
    let side = sides[index]
    if isSynchronous { side.synchronous[id] = Int(header.tag) }
    var packet = Side.Packet(header: header, length: length, isRendezvous: isRendezvous, send: isRendezvous ? id : nil)
    if isRendezvous && length >= 9000 {
      // Read where it is.
      side.core.offer(id)
      packet.header.flags.insert(.offered)
      packet.send = nil
    }
    sides[1 - index].inbox.append(packet)
    if isRendezvous { side.rendezvous[id] = Int(header.tag) } else { sendFinished(side, id) }
  }

  private func sendFinished(_ side: Side, _ id: SendID) {
    side.rendezvous[id] = nil
    switch side.core.sendFinished(id) {
    case .done(.ok): if let number = side.synchronous.removeValue(forKey: id) { checkMatched(side, number) }
    case .awaitsMatch: break
    case let other: side.problems.append("a send ends with \(other)")
    }
  }

  private func checkMatched(_ side: Side, _ number: Int) {
    let peer = side === sides[0] ? sides[1] : sides[0]
    if number >= peer.received { side.problems.append("synchronous \(number) done, \(peer.received) received") }
  }

  private mutating func receive(_ index: Int) {
    let side = sides[index]
    switch side.core.receive(in: side.mailbox, tag: 0, mask: 0, capacity: .max) {
    case .matched(let receive, let message, let info): take(index, receive, side.stored.removeValue(forKey: message), info)
    case .posted, .refused: break
    case .truncated: side.problems.append("truncated for no reason")
    }
  }

  /// The receives take every tag, so the numbers must come one after the other.
  private func take(_ index: Int, _ receive: ReceiveID, _ packet: Side.Packet?, _ info: MessageInfo) {
    let side = sides[index]
    if Int(info.tag) != side.received { side.problems.append("\(info.tag) came, expected \(side.received)") }
    if info.length != sides[1 - index].lengths[side.received] { side.problems.append("a wrong length") }
    side.received += 1
    side.core.finishReceive(receive)
    if let send = packet?.send { sides[1 - index].finished.append(send) }
    if let packet, packet.isOffered { side.core.offerEnded(side.connection, sequence: packet.header.sequence) }
  }

  private mutating func deliver(_ index: Int) {
    let side = sides[index]
    guard !side.inbox.isEmpty else { return }
    let packet = side.inbox.remove(at: Int.random(in: 0..<min(reach, side.inbox.count), using: &random))
    if packet.header.kind == .data { sides[1 - index].arrived.insert(Int(packet.header.tag)) }
    switch side.core.arrive(packet.header, length: packet.length, rendezvous: packet.isRendezvous) {
    case .matched(let receive, let info): take(index, receive, packet, info)
    case .stored(let id): side.stored[id] = packet
    case .control: break
    case .dropped(let reason): side.problems.append("dropped: \(reason)")
    }
    let held = side.credit.unreceivedByteCount
    side.mostHeld = max(side.mostHeld, held)
  }

  private mutating func finish(_ index: Int) {
    let side = sides[index]
    guard !side.finished.isEmpty else { return }
    sendFinished(side, side.finished.remove(at: Int.random(in: 0..<side.finished.count, using: &random)))
  }

  private mutating func flush(_ index: Int) {
    let side = sides[index]
    if case .waiting(let id) = side.core.flush(side.connection) { side.flushes[id] = side.sent }
  }

  /// Other connections come and go, so that the grant shrinks and grows.
  private mutating func changeGrant() {
    let side = sides[0]
    if extra.count < 6, Bool.random(using: &random) {
      extra.append(side.core.openConnection(in: side.mailbox, check: 1)!)
    } else if let id = extra.popLast() {
      side.core.connectionFailed(id)
      side.core.releaseConnection(id)
    }
  }

  private mutating func drain(_ index: Int) {
    let side = sides[index]
    while let effect = side.core.nextEffect() {
      switch effect {
      case .control(_, let header): sides[1 - index].inbox.append(Side.Packet(header: header, length: 0, isRendezvous: false))
      case .start(let id, let isRendezvous, let header):
        go(index, id, header, side.lengths[Int(header.tag)], isRendezvous, side.synchronous[id] != nil)
      case .deliver(let message, let receive, let info): take(index, receive, side.stored.removeValue(forKey: message), info)
      case .sendDone(let id, .ok, false):
        if let number = side.synchronous.removeValue(forKey: id) { checkMatched(side, number) }
      case .returned(let id, false): sendFinished(side, id)
      case .flushDone(let id, .ok):
        let count = side.flushes.removeValue(forKey: id) ?? .max
        if let missing = (0..<count).first(where: { !side.arrived.contains($0) }) {
          side.problems.append("flushed, and \(missing) of \(count) is not there")
        }
        if let unread = side.rendezvous.values.first(where: { $0 < count }) { side.problems.append("flushed, and \(unread) is unread") }
      case let other: side.problems.append("unexpected \(other)")
      }
    }
  }
}
