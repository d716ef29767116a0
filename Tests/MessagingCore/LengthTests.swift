import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct LengthTests {
  static let lengths: [Int] = [31, 32, 40].flatMap { [(1 << $0) - 1, 1 << $0, (1 << $0) + 1] }

  @Test("lengths at both sides of 2^31 and 2^32 match, truncate and count as they are", arguments: lengths)
  func arrives(_ length: Int) throws {
    var one = MessagingCore(seed: 1)
    var other = MessagingCore(seed: 2)
    let (from, to) = (one.openMailbox(.client), other.openMailbox(.server))
    let (out, back) = (one.openConnection(in: from, check: 1)!, other.openConnection(in: to, check: 2)!)
    one.establish(out, peer: other.address(of: back), eagerLimit: 8192)
    other.establish(back, peer: one.address(of: out), eagerLimit: 8192)
    let sent = one.send(on: out, tag: 5, length: length, synchronous: false)
    guard case .rendezvous(let id, let header) = sent else {
      Issue.record("\(sent)")
      return
    }
    // A receive that is one byte too short fails with the true length, and the next one takes the message.
    _ = other.receive(in: to, tag: 5, capacity: length - 1)
    let stored = other.arrive(header, length: length, rendezvous: true)
    guard case .stored = stored, case .receiveFailed(_, .truncated(let info)) = other.nextEffect() else {
      Issue.record("\(stored)")
      return
    }
    #expect(info.length == length)
    #expect(other.counters(of: back).unreceivedByteCount == 1280)
    let taken = other.receive(in: to, tag: 5, capacity: length)
    guard case .matched(let receive, _, let matched) = taken else {
      Issue.record("\(taken)")
      return
    }
    #expect(matched.length == length)
    other.finishReceive(receive)
    let finished = one.sendFinished(id)
    #expect(finished == .done(.ok))
    #expect(one.counters(of: out).bytesSent == UInt64(length))
    #expect(other.counters(of: back).bytesReceived == UInt64(length))
  }
}
