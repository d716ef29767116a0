import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct MessageHeaderTests {
  @Test("a header is 24 little-endian bytes at fixed places")
  func layout() {
    let header = MessageHeader(
      kind: .data, tag: 0x0807_0605_0403_0201, connection: 0x0C0B_0A09, sequence: 0x100F_0E0D, credit: 0x1413_1211,
      flags: .wantsAcknowledgement, check: 0x1817)
    #expect(encoded(header) == Array(1...20) + [1, 1, 0x17, 0x18])
  }

  @Test("every kind with every set of known flags survives encoding and decoding", arguments: MessageKind.allCases)
  func roundTrip(_ kind: MessageKind) throws {
    var random = SeededRandom(seed: UInt64(kind.rawValue))
    for flags in 0...7 as ClosedRange<UInt8> {
      for bound in [0, 1, UInt64(UInt32.max), UInt64(1) << 63, .max, random.next()] {
        let header = MessageHeader(
          kind: kind, tag: bound, connection: UInt32(truncatingIfNeeded: bound), sequence: UInt32(truncatingIfNeeded: ~bound),
          credit: UInt32(truncatingIfNeeded: bound >> 7), flags: MessageFlags(rawValue: flags), check: UInt16(truncatingIfNeeded: bound))
        #expect(decoded(encoded(header)) == header)
        #expect(MessageHeader(words: header.words) == header)
      }
    }
  }

  @Test("unknown kinds, unknown flags and other lengths are no header")
  func strangers() {
    var bytes = encoded(MessageHeader(kind: .data))
    for kind in 0...255 as ClosedRange<UInt8> {
      bytes[20] = kind
      #expect((decoded(bytes) != nil) == (1...7).contains(kind), "kind \(kind)")
    }
    bytes[20] = 1
    for flags in 0...255 as ClosedRange<UInt8> {
      bytes[21] = flags
      #expect((decoded(bytes) != nil) == (flags < 8), "flags \(flags)")
    }
    for count in 0...48 where count != 24 { #expect(decoded(Array(repeating: 1, count: count)) == nil) }
  }

  @Test("random bytes that decode encode to themselves")
  func randomBytes() {
    var random = SeededRandom(seed: 24)
    for _ in 0..<2000 {
      var bytes = (0..<24).map { _ in UInt8.random(in: 0...255, using: &random) }
      bytes[20] %= 9
      bytes[21] %= 9
      if let header = decoded(bytes) { #expect(encoded(header) == bytes) }
    }
  }

  private func encoded(_ header: MessageHeader) -> [UInt8] {
    unsafe Array(unsafeUninitializedCapacity: MessageHeader.byteCount) { buffer, count in
      // SAFETY: the span covers the array's own fresh memory and ends before it is used.
      var output = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
      header.encode(into: &output)
      count = unsafe output.finalize(for: buffer)
    }
  }

  private func decoded(_ bytes: [UInt8]) -> MessageHeader? { MessageHeader(bytes.span) }
}
