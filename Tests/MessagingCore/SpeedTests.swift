import CausewayBase
import Testing

@testable import CausewayMessagingCore

/// Prints what an operation costs. Figures mean something in release builds on a quiet machine; rules are checked in any.
@Suite(.serialized) struct SpeedTests {
  #if DEBUG
    static let windows = 2
  #else
    static let windows = 400
  #endif

  /// Operations in a window: short enough that many run undisturbed.
  static let rounds = 12_800

  struct Bench: ~Copyable {
    var core = MessagingCore(seed: 0x1234_5678_9ABC_DEF1)
    let mailbox: MailboxID
    let connection: ConnectionID
    var sequence: UInt32 = 0

    init() {
      mailbox = core.openMailbox(.server)
      connection = core.openConnection(in: mailbox, check: 7)!
      core.establish(connection, peer: ConnectionAddress(identifier: 9, check: 8, grant: 1 << 20), eagerLimit: 8192)
    }

    @inline(__always) mutating func header(_ tag: UInt64) -> MessageHeader {
      defer { sequence &+= 1 }
      return MessageHeader(kind: .data, tag: tag, connection: connection.rawValue, sequence: sequence, check: 7)
    }
    mutating func post(_ tag: UInt64, mask: UInt64 = .max) { _ = core.receive(in: mailbox, tag: tag, mask: mask, capacity: 4096) }
    mutating func store(_ tag: UInt64) { _ = core.arrive(header(tag), length: 64, rendezvous: false) }

    @inline(never) mutating func postAndMatch(_ rounds: Int) -> Int {
      var matches = 0
      for round in 0..<rounds {
        let tag = UInt64(truncatingIfNeeded: round & 63)
        _ = core.receive(in: mailbox, tag: tag, capacity: 4096)
        if case .matched(let id, _) = core.arrive(header(tag), length: 1024, rendezvous: false) {
          core.finishReceive(id)
          matches += 1
        }
        if round & 63 == 63 { while core.nextEffect() != nil {} }
      }
      return matches
    }

    @inline(never) mutating func storeAndTake(_ rounds: Int, mask: UInt64 = .max) -> Int {
      var matches = 0
      for round in 0..<rounds {
        let tag = UInt64(truncatingIfNeeded: round & 63)
        _ = core.arrive(header(tag), length: 1024, rendezvous: false)
        if case .matched(let id, _, _) = core.receive(in: mailbox, tag: tag, mask: mask, capacity: 4096) {
          core.finishReceive(id)
          matches += 1
        }
        if round & 63 == 63 { while core.nextEffect() != nil {} }
      }
      return matches
    }

    /// What the machine gives at the moment: others may share its cores, and their clock varies.
    @inline(never) mutating func multiply(_ rounds: Int) -> Int {
      var product = UInt64(sequence) | 1
      for round in 0..<rounds { for _ in 0..<25 { product = product &* (product ^ UInt64(truncatingIfNeeded: round)) } }
      sequence = UInt32(truncatingIfNeeded: product)
      return rounds
    }

    @inline(never) mutating func sendAndFinish(_ rounds: Int) -> Int {
      var sent = 0
      for round in 0..<rounds {
        if case .eager(let id, let header) = core.send(on: connection, tag: UInt64(round), length: 1024) {
          if case .done(.ok) = core.sendFinished(id) { sent += 1 }
          // The peer frees it at once.
          if round & 15 == 15 {
            _ = core.arrive(
              MessageHeader(kind: .credit, connection: connection.rawValue, credit: (header.sequence &+ 1) &* 17, check: 7), length: 0,
              rendezvous: false)
          }
        }
      }
      return sent
    }
  }

  private func measure(_ what: String, after prepare: (inout Bench) -> Void = { _ in }, of body: (inout Bench, Int) -> Int) {
    var best = Duration.seconds(1000)
    var bench = Bench()
    prepare(&bench)
    let clock = SuspendingClock()
    for _ in 0..<Self.windows {
      let began = clock.now
      let count = body(&bench, Self.rounds)
      best = min(best, clock.now - began)
      if count != Self.rounds { Issue.record("\(count) of \(Self.rounds) went their way") }
    }
    let tenths = best.wholeNanoseconds * 10 / Int64(Self.rounds)
    print("\(what): \(tenths / 10).\(tenths % 10) ns")
  }

  @Test("post and match, store and take, send and finish")
  func speed() {
    measure("a chain of 25 multiplications, about 100 cycles", of: { $0.multiply($1) })
    measure("post + match, 64 tags", of: { $0.postAndMatch($1) })
    measure("post + match, 4000 others posted", after: { for tag in 0..<4000 { $0.post(UInt64(1000 + tag)) } }, of: { $0.postAndMatch($1) })
    measure(
      "post + match, 16 older masked", after: { for tag in 0..<16 { $0.post(UInt64(1 << 40 + tag), mask: .max << 1) } },
      of: { $0.postAndMatch($1) })
    measure("store + take, 64 tags", of: { $0.storeAndTake($1) })
    measure(
      "store + take, 20000 others stored", after: { for tag in 0..<20_000 { $0.store(UInt64(1000 + tag)) } }, of: { $0.storeAndTake($1) })
    measure("store + take, 20000 of one other tag", after: { for _ in 0..<20_000 { $0.store(1000) } }, of: { $0.storeAndTake($1) })
    measure("store + take, masked", of: { $0.storeAndTake($1, mask: .max << 8) })
    measure("send + finish", of: { $0.sendAndFinish($1) })
  }
}
