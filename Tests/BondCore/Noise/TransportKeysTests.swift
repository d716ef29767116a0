import CausewayBase
import CausewayCrypto
import CausewayPaths
import Testing

@testable import CausewayBondCore

/// Both ends of a session, in clear or sealed.
private func sessionPair(plain: Bool = false) -> (TransportKeys, TransportKeys) {
  let (one, two) = (seededKey(1), seededKey(2))
  let a = SessionKeys(sending: one, receiving: two, localIndex: 0x100, remoteIndex: 0x200, role: .initiator, birth: .seconds(10))
  let b = SessionKeys(sending: two, receiving: one, localIndex: 0x200, remoteIndex: 0x100, role: .responder, birth: .seconds(10))
  return plain ? (TransportKeys(plainForSimulation: a), TransportKeys(plainForSimulation: b)) : (TransportKeys(a), TransportKeys(b))
}

private func seal(_ keys: TransportKeys, on path: UInt8 = 0, _ text: [UInt8]) -> [UInt8] {
  var message = [UInt8](repeating: 0, count: text.count + TransportHeader.overhead)
  var span = message.mutableSpan
  _ = keys.seal(on: PathID(path), text.span, into: &span)
  return message
}

private func open(_ keys: TransportKeys, _ message: inout [UInt8]) -> TransportKeys.Opening? {
  guard let header = TransportHeader(message.span) else { return nil }
  var span = message.mutableSpan
  return keys.open(header, &span)
}

@Suite("TransportKeys")
struct TransportKeysTests {
  @Test("what one end seals the other opens, of every size, on every path", arguments: [false, true])
  func roundTrip(_ isPlain: Bool) {
    let (a, b) = sessionPair(plain: isPlain)
    b.allowsPaths = true
    for (step, count) in [0, 1, 15, 16, 63, 64, 65, 1400, 1408, 9000, 65000].enumerated() {
      let text = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ step) }
      for path in [0, 1, 63] as [UInt8] {
        var message = seal(a, on: path, text)
        let header = TransportHeader(message.span)
        #expect(header?.index == 0x200 && header?.path == PathID(path) && header?.counter == UInt64(step))
        let result = open(b, &message)
        #expect(result == .opened)
        #expect(Array(message[16..<16 + count]) == text)
      }
    }
    #expect(a.sentCount == 33)
    #expect(a.nextCounter(on: PathID(63)) == 11 && a.nextCounter(on: PathID(5)) == 0)
    #expect(b.newestCounter(on: PathID(1)) == 10)
  }

  @Test("a message counts once, and a forged one moves nothing", arguments: [false, true])
  func replaysAndForgeries(_ isPlain: Bool) {
    let (a, b) = sessionPair(plain: isPlain)
    let message = seal(a, [UInt8](repeating: 3, count: 96))
    for index in message.indices where index >= 8 {
      var bad = message
      bad[index] ^= 0x10
      let before = bad
      let result = open(b, &bad)
      #expect(result == .forged, "byte \(index)")
      #expect(bad == before, "byte \(index)")
    }
    for count in TransportHeader.overhead..<message.count {
      var short = Array(message.prefix(count))
      let result = open(b, &short)
      #expect(result == .forged, "\(count) bytes")
    }
    #expect(b.newestCounter(on: .handshake) == 0)
    var first = message
    var second = message
    #expect(open(b, &first) == .opened)
    #expect(open(b, &second) == .replayed)
    #expect(second == message)
  }

  @Test("a message of one path is none of another")
  func pathsAreApart() {
    let (a, b) = sessionPair()
    b.allowsPaths = true
    var message = seal(a, on: 3, [UInt8](repeating: 3, count: 64))
    message[4] = message[4] & ~63 | 4
    #expect(open(b, &message) == .forged)
    message[4] = message[4] & ~63 | 3
    #expect(open(b, &message) == .opened)
  }

  @Test("before HELLO there is path 0 only, and a stock window")
  func stockPeer() {
    let (a, b) = sessionPair()
    var other = seal(a, on: 2, [])
    #expect(open(b, &other) == .foreignPath)
    var messages: [[UInt8]] = []
    for _ in 0...8129 { messages.append(seal(a, [])) }
    #expect(open(b, &messages[8129]) == .opened)
    #expect(open(b, &messages[0]) == .replayed)
    #expect(open(b, &messages[1]) == .opened)
    b.allowsPaths = true
    #expect(open(b, &messages[0]) == .opened)
    #expect(open(b, &other) == .opened)
  }

  @Test("no (key, path, counter) is used twice, over closed paths, threads and new sessions")
  func noncesAreUnique() {
    struct Nonce: Hashable { let receiver: UInt32, counter: UInt64 }
    var random = SeededRandom(seed: 3)
    let (one, two) = (seededKey(1), seededKey(2))
    for session in 0..<3 as Range<UInt32> {
      var seen: Set<Nonce> = []
      let keys = SessionKeys(
        sending: one, receiving: two, localIndex: 64 * session, remoteIndex: 64 * session, role: .initiator, birth: .zero)
      let threads = [TransportKeys(keys), TransportKeys(keys)]
      for _ in 0..<5000 {
        // Threads share no path: even ones here, odd ones there. A path that opens again is just used again.
        let thread = Int(random.next() % 2)
        let path = UInt8(random.next() % 32) * 2 + UInt8(thread)
        let message = seal(threads[thread], on: path, [])
        let header = TransportHeader(message.span)!
        #expect(seen.insert(Nonce(receiver: header.receiver, counter: header.counter)).inserted)
      }
    }
  }

  @Test("keys end after 180 s")
  func age() {
    let (a, _) = sessionPair()
    #expect(a.isUsable(at: .seconds(189.9)))
    #expect(!a.isUsable(at: .seconds(190)))
    #expect(!a.isWornOut)
  }

  @Test("sealing in place leaves no trace of the text", arguments: [0, 16])
  func overlap(_ shift: Int) {
    let (a, b) = sessionPair()
    let text = (0..<100).map { UInt8($0) }
    var buffer = [UInt8](repeating: 0, count: 200)
    buffer.replaceSubrange(shift..<shift + 100, with: text)
    // SAFETY: 132 of 200 bytes are written; the source lies inside.
    unsafe buffer.withUnsafeMutableBufferPointer {
      let base = unsafe $0.baseAddress.unsafelyUnwrapped
      _ = unsafe a.seal(on: .handshake, from: base + shift, count: 100, to: base)
    }
    var message = Array(buffer.prefix(132))
    #expect(open(b, &message) == .opened)
    #expect(Array(message[16..<116]) == text)
  }
}
