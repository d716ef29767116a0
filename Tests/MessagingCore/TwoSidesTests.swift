import Testing

@testable import CausewayMessagingCore

@Suite struct TwoSidesTests {
  @Test("two cores keep order, credit, flushes and matches over a wire that keeps or roughly keeps order", arguments: [1, 5], 0..<150)
  func agree(reach: Int, seed: Int) {
    var run = TwoSides(seed: UInt64(seed) << 8 | UInt64(reach), reach: reach)
    run.run(steps: 400)
    for side in run.sides {
      #expect(side.problems == [])
      // The grants were never above the whole limit.
      #expect(side.mostHeld <= side.core.limits.unreceivedByteCount)
    }
  }

  @Test("a flood of small messages is held at the grant and goes on as they are received")
  func flood() {
    var limits = MessagingLimits()
    limits.unreceivedByteCount = 64 << 10
    let sender = Side(limits: limits, seed: 1)
    let receiver = Side(limits: limits, seed: 2)
    sender.core.establish(sender.connection, peer: receiver.core.address(of: receiver.connection), eagerLimit: 8192)
    receiver.core.establish(receiver.connection, peer: sender.core.address(of: sender.connection), eagerLimit: 8192)
    var started = 0
    var wire: [MessageHeader] = []
    for _ in 0..<2000 {
      guard case .eager(let id, let header) = sender.core.send(on: sender.connection, tag: 1, length: 64) else { continue }
      #expect(sender.core.sendFinished(id) == .done(.ok))
      wire.append(header)
      started += 1
    }
    // 192 bytes each.
    #expect(started == 341)
    #expect(sender.credit.sendsQueued == 2000 - 341)
    var received = 0
    while received < 2000 {
      for header in wire {
        let arrival = receiver.core.arrive(header, length: 64, rendezvous: false)
        guard case .stored = arrival else {
          Issue.record("\(arrival)")
          return
        }
      }
      wire = []
      #expect(receiver.credit.unreceivedByteCount <= 64 << 10)
      for _ in 0..<37 {
        if case .matched(let id, _, _) = receiver.core.receive(in: receiver.mailbox, tag: 1, capacity: 64) {
          receiver.core.finishReceive(id)
          received += 1
        } else if received < 2000, receiver.credit.unreceivedMessages > 0 {
          Issue.record("nothing to receive after \(received)")
          return
        } else {
          break
        }
      }
      for (us, them) in [(sender, receiver), (receiver, sender), (sender, receiver)] {
        while let effect = us.core.nextEffect() {
          switch effect {
          case .control(_, let header): _ = them.core.arrive(header, length: 0, rendezvous: false)
          case .start(let id, _, let header):
            wire.append(header)
            _ = us.core.sendFinished(id)
          default: Issue.record("\(effect)")
          }
        }
      }
      if wire.isEmpty && receiver.credit.unreceivedMessages == 0 { break }
    }
    #expect(received == 2000)
  }
}
