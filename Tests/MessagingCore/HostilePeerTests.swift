import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct HostilePeerTests {
  private static let bounds: [UInt64] = [
    0, 1, 2, 63, 64, 1023, 1024, 1025, 1 << 26, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 63, .max - 1, .max,
  ]
  private static let lengths = [Int.min, -1, 0, 1, 2048, 2049, 8704, 1 << 31 - 1, 1 << 31, 1 << 32, Int.max - 1, Int.max]

  @Test("no header traps, costs more than the grant, or disturbs another connection", arguments: MessageKind.allCases)
  func everyHeader(_ kind: MessageKind) {
    var random = SeededRandom(seed: UInt64(kind.rawValue))
    for start in [0, UInt32.max] {
      var limits = MessagingLimits()
      limits.counterStart = start
      limits.initialCapacity = 16
      var core = MessagingCore(limits: limits, seed: 3)
      let mailbox = core.openMailbox(.server)
      guard let hostile = core.openConnection(in: mailbox, check: 1), let honest = core.openConnection(in: mailbox, check: 2) else {
        Issue.record("no connection")
        return
      }
      core.establish(hostile, peer: ConnectionAddress(identifier: 1, check: 1, grant: 100), eagerLimit: 8192)
      core.establish(honest, peer: ConnectionAddress(identifier: 2, check: 2, grant: 1 << 14), eagerLimit: 8192)
      for index in 0..<40 {
        let sent = core.send(on: hostile, tag: 1, length: index * 100 + (index & 2) * 5000, synchronous: index & 1 == 0)
        if case .rendezvous(let id, _) = sent { core.offer(id) }
        _ = core.receive(in: mailbox, from: hostile, tag: UInt64(index), mask: .max << UInt64(index & 7), capacity: index * 100)
      }
      _ = core.flush(hostile)
      for tag in Self.bounds {
        for number in Self.bounds {
          for length in Self.lengths {
            let header = MessageHeader(
              kind: kind, tag: tag, connection: hostile.rawValue, sequence: start &+ UInt32(truncatingIfNeeded: number),
              credit: UInt32(truncatingIfNeeded: random.next()) & UInt32(truncatingIfNeeded: number),
              flags: MessageFlags(rawValue: UInt8(truncatingIfNeeded: random.next()) & 7), check: 1)
            let arrival = core.arrive(header, length: length, rendezvous: random.next() & 1 == 0)
            if case .matched(let id, _) = arrival { core.finishReceive(id) }
            if length < 0 { #expect(arrival == .dropped(.badLength)) }
          }
        }
        #expect(core.counters(of: hostile).unreceivedByteCount <= limits.maximumGrant)
        var controls = 0
        while let effect = core.nextEffect() {
          if case .control(hostile, _) = effect { controls += 1 }
          if case .start(let id, _, _) = effect { _ = core.sendFinished(id) }
          if case .returned(let id, let failed) = effect { _ = core.sendFinished(id, failed: failed) }
        }
        #expect(controls < 64)
      }
      #expect(core.counters(of: honest).messagesReceived == 0)
      #expect(core.counters(of: honest).creditByteCount == (1 << 14) * MessageCost.unit)
      let header = MessageHeader(kind: .data, tag: 1 << 50, connection: honest.rawValue, sequence: start, credit: start, check: 2)
      let arrival = core.arrive(header, length: 10, rendezvous: false)
      guard case .stored(let id) = arrival else {
        Issue.record("\(arrival)")
        return
      }
      let taken = core.receive(in: mailbox, from: honest, tag: 1 << 50, capacity: 10)
      guard case .matched(_, id, let info) = taken else {
        Issue.record("\(taken)")
        return
      }
      #expect(info.length == 10)
    }
  }

  @Test("headers with a wrong id, generation or check touch nothing")
  func strangers() {
    var core = MessagingCore(seed: 3)
    let mailbox = core.openMailbox(.server)
    guard let connection = core.openConnection(in: mailbox, check: 0xBEEF) else { return }
    var random = SeededRandom(seed: 5)
    for _ in 0..<10_000 {
      var words = (random.next(), random.next(), random.next())
      if random.next() & 1 == 0 { words.1 = words.1 & ~0xFFFF_FFFF | UInt64(connection.rawValue) }
      guard let header = MessageHeader(words: words), header.check != 0xBEEF || header.connection != connection.rawValue else { continue }
      let arrival = core.arrive(header, length: 1, rendezvous: false)
      #expect(arrival == .dropped(.unknownConnection))
    }
    core.connectionFailed(connection)
    core.releaseConnection(connection)
    let late = MessageHeader(kind: .data, connection: connection.rawValue, check: 0xBEEF)
    let arrival = core.arrive(late, length: 1, rendezvous: false)
    #expect(arrival == .dropped(.unknownConnection))
    #expect(core.counters == MessagingCounters())
  }

  @Test("a flood of tags that differ in one bit each spreads over the buckets")
  func collidingTags() {
    let hash = TagHash(capacity: 1024, seed: 0x0123_4567_89AB_CDEF)
    var counts: [UInt32: Int] = [:]
    for bit in 0..<64 { for low in 8..<16 { counts[hash.bucket(UInt64(low) &<< UInt64(bit), 0), default: 0] += 1 } }
    // 512 tags, of which those with the low bits shifted out are the same.
    #expect(counts.values.max()! <= 16)
    var step: [UInt32: Int] = [:]
    for index in 0..<1024 { step[hash.bucket(UInt64(index) << 32, 0), default: 0] += 1 }
    #expect(step.values.max()! <= 12)
  }
}
