import CausewayBase

@testable import CausewayMessagingCore

extension TwinDriver {
  /// What the peer says it has freed: mostly true, sometimes late or impossible.
  mutating func credit(_ connection: NaiveTwin.Connection) -> UInt32 {
    var total = connection.returned
    switch pick(20) {
    case 0..<7:
      let more = pick(connection.charged - connection.returned + 1)
      total += more
    case 7: total -= 3
    case 8: total = connection.charged + 1 + pick(1000)
    default: break
    }
    return start &+ UInt32(truncatingIfNeeded: total)
  }

  /// The twin's side of it. Returns whether there is more credit.
  mutating func takeCredit(_ connection: NaiveTwin.Connection, _ credit: UInt32) -> Bool {
    let total = Int(Int32(bitPattern: credit &- start))
    guard total > connection.returned, total <= connection.charged else { return false }
    connection.returned = total
    return true
  }

  mutating func control(_ connection: NaiveTwin.Connection) {
    let kinds: [MessageKind] = [
      .credit, .credit, .acknowledgement, .acknowledgement, .rejection, .flush, .flushAcknowledgement, .returned, .returned,
    ]
    var header = MessageHeader(
      kind: kinds[pick(9)], connection: connection.id.rawValue, credit: credit(connection), check: connection.check)
    var number = 0
    switch header.kind {
    case .credit:
      if chance(40) { header.tag = UInt64([8, 16, 150, 300, 1 << 30][pick(5)]) }
      if chance(50) {
        header.flags = .wantsCredit
        number = connection.freed + pick(60) - 5
        header.tag |= UInt64(start &+ UInt32(truncatingIfNeeded: number)) << 32
      }
    case .acknowledgement, .rejection, .returned:
      number = pick(connection.nextSequence + 2)
      header.tag = chance(50) ? 1 : random.next()
      if chance(70), let send = (twin.awaiting + twin.sends).first(where: { $0.connection === connection && $0.state != .queued }) {
        number = send.sequence
        header.tag |= 1
      }
    case .flush: number = pick(connection.expected + 4)
    default: number = chance(70) ? connection.nextSequence : pick(connection.nextSequence + 2)
    }
    header.sequence = start &+ UInt32(truncatingIfNeeded: number)
    let got = core.arrive(header, length: 0, rendezvous: false)
    note("control \(header.kind) on \(connection.id) number \(number) tag \(header.tag): \(got)")
    guard connection.isLiving else {
      expect(got, .dropped(connection.state == .failed ? .peerLost : .closed), "control")
      return
    }
    expect(got, .control, "control")
    _ = takeCredit(connection, header.credit)
    switch header.kind {
    case .credit:
      let grant = UInt32(truncatingIfNeeded: header.tag)
      if grant != 0 { connection.grant = min(Int(grant), 1 << 26) }
      if header.flags == .wantsCredit { connection.wanted = connection.reported < number ? number : nil }
    case .acknowledgement, .rejection, .returned:
      let sequences = (0..<64).filter { header.tag >> UInt64($0) & 1 == 1 }.map { number + $0 }
      twin.answer(connection, sequences, header.kind)
    case .flush:
      if connection.expected >= number {
        connection.owesFlushAnswer = true
      } else {
        connection.flushWanted = max(connection.flushWanted ?? 0, number)
      }
    default:
      if number >= connection.confirmed && number <= connection.nextSequence { connection.confirmed = number }
      twin.advanceFlushes(connection)
    }
    twin.startQueued(connection)
  }

  // MARK: What the core wants sent and done

  mutating func drain(_ limit: Int) {
    var creditMessages: Set<ConnectionID> = []
    for _ in 0..<limit {
      guard let effect = core.nextEffect() else {
        let expected = twin.nextEffect()
        expect(nil, expected, "a missing effect")
        checkSilence()
        return
      }
      note("  effect \(effect)")
      if case .control(let id, let header) = effect {
        if header.kind == .credit && !creditMessages.insert(id).inserted { expect(1, 2, "credit messages of a turn") }
        checkControl(id, header)
        continue
      }
      if case .release = effect {
        for connection in twin.connections { expect(connection.rejections, [], "rejections before the release") }
      }
      switch effect {
      case .deliver: count("deliver")
      case .receiveFailed(_, let failure): if case .truncated = failure { count("truncated on the way") }
      case .receiveOverdue: count("overdue")
      case .release: count("release")
      case .sendDone(_, let result, let pinned): count("send done \(result) pinned \(pinned)")
      case .flushDone(_, let result): count("flush done \(result)")
      case .start: count("start")
      case .returned(_, let failed): count("returned failed \(failed)")
      case .control: break
      }
      let expected = twin.nextEffect()
      expect(effect, expected, "effect")
      if difference != nil { return }
      if case .start(let id, rendezvous: true, _) = effect { offer(id) }
      if case .returned(let id, let failed) = effect, let send = twin.sends.first(where: { $0.id == id }) {
        send.isReturnOnWay = false
        finish(send, failed: failed)
      }
    }
  }

  private mutating func checkControl(_ id: ConnectionID, _ header: MessageHeader) {
    guard let connection = twin.connections.first(where: { $0.id == id }) else { return expect(1, 0, "control of nobody") }
    expect(header.connection, connection.peer.identifier, "peer")
    expect(header.check, connection.peer.check, "check")
    expect(header.credit, start &+ UInt32(connection.freed), "credit")
    count("control \(header.kind)")
    connection.reported = connection.freed
    if let wanted = connection.wanted, connection.freed >= wanted { connection.wanted = nil }
    let number = Int(Int32(bitPattern: header.sequence &- start))
    if header.kind != .rejection { expect(connection.state, .open, "control of an ended connection") }
    switch header.kind {
    case .data: expect(1, 0, "data as control")
    case .acknowledgement, .rejection, .returned:
      for index in 0..<64 where header.tag >> UInt64(index) & 1 == 1 {
        if header.kind == .acknowledgement {
          expect(connection.acknowledgements.contains(number + index), true, "an acknowledgement too many")
          connection.acknowledgements.removeAll { $0 == number + index }
        } else if header.kind == .returned {
          expect(connection.returns.contains(number + index), true, "a return too many")
          connection.returns.removeAll { $0 == number + index }
        } else {
          expect(connection.rejected.contains(number + index), true, "a rejection too many")
          connection.rejections.removeAll { $0 == number + index }
        }
      }
    case .credit:
      let grant = Int(UInt32(truncatingIfNeeded: header.tag))
      if grant != 0 {
        expect(grant, twin.share, "grant")
        connection.announced = grant
        connection.greatest = max(connection.greatest, grant)
      }
      if header.flags.contains(.wantsCredit) { connection.lastAsk = Int(Int32(bitPattern: UInt32(header.tag >> 32) &- start)) }
    case .flush: expect(number, connection.askedFlush, "flush")
    case .flushAcknowledgement:
      expect(connection.owesFlushAnswer, true, "a flush answer too many")
      expect(number, connection.expected, "flush answer")
      connection.owesFlushAnswer = false
    }
  }

  /// After everything was drained nothing that the peer must know may be left unsaid.
  private mutating func checkSilence() {
    let share = twin.share
    for connection in twin.connections where connection.state != .connecting {
      if !connection.rejections.isEmpty { expect(connection.rejections, [], "rejections left") }
      guard connection.state == .open else { continue }
      if !connection.acknowledgements.isEmpty { expect(connection.acknowledgements, [], "acknowledgements left") }
      if !connection.returns.isEmpty { expect(connection.returns, [], "returns left") }
      if connection.owesFlushAnswer { expect(false, true, "flush answer left") }
      if connection.announced != share { expect(connection.announced, share, "grant left") }
      let unreported = connection.freed - connection.reported
      if unreported >= max(connection.announced / 4, 1) { expect(unreported, 0, "a quarter of the grant left unreported") }
      if let wanted = connection.wanted { expect(connection.freed < wanted, true, "wanted credit left unreported") }
      guard let send = twin.sends.first(where: { $0.connection === connection && $0.state == .queued }) else { continue }
      let cost = send.length <= connection.eagerLimit ? min(20, NaiveTwin.cost(send.length, false)) : 20
      expect(connection.lastAsk, connection.charged + cost - connection.grant, "asked for credit")
    }
  }
}
