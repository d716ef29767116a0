// CausewayWire: formats that peers speak, on spans. HTTP/1.1 heads and chunks, WebSocket frames, MessagePack, addresses, base64; IP/ has
// packets: headers, checksums, cutting and joining of segments, ECN, ICMP answers.
// Bytes go in as `Span<UInt8>`, results are offsets into that span, output is appended to a `ByteBuffer`. It owns no descriptor,
// reads no clock, keeps no body, and decides no policy: who may do what is said by the rooms above. Everything that a peer
// sends can be refused with an error and nothing can trap. Start with RequestHead, then FieldSection (what all heads share).

/// A run of bytes in the span that was parsed, as two 32-bit offsets: half the size of a `Range<Int>`, and there are many.
public struct ByteRange: Hashable, Sendable {
  public var start: UInt32
  public var end: UInt32

  /// Offsets must be ordered and below 2^32; heads are far smaller.
  @inlinable public init(_ start: Int, _ end: Int) {
    self.start = UInt32(truncatingIfNeeded: start)
    self.end = UInt32(truncatingIfNeeded: end)
  }

  public static let empty = ByteRange(0, 0)

  @inlinable public var count: Int { Int(end) &- Int(start) }
  @inlinable public var isEmpty: Bool { start == end }
  @inlinable public var range: Range<Int> { Int(start)..<Int(end) }
}

extension Span<UInt8> {
  /// The bytes of `range`, which must lie inside this span.
  @_lifetime(copy self)
  @inlinable public func extracting(_ range: ByteRange) -> Span<UInt8> { extracting(range.range) }

  /// The bytes of `range` as a string; what is not UTF-8 becomes U+FFFD. Allocates: not for the hot path.
  public func string(in range: ByteRange) -> String { string(in: range.range) }

  public func string(in range: Range<Int>) -> String {
    String(decoding: array(in: range), as: UTF8.self)
  }

  /// A copy of the bytes of `range`.
  public func array(in range: Range<Int>) -> [UInt8] {
    let part = extracting(range)
    return unsafe [UInt8](unsafeUninitializedCapacity: part.count) { target, count in
      // SAFETY: the target holds `part.count` bytes and each is written before `count` says so.
      for i in part.indices { unsafe target.initializeElement(at: i, to: part[i]) }
      count = part.count
    }
  }

  /// Whether the bytes of `range` are `text` when ASCII letters of both are lower-cased; `text` must be lower case already.
  @inlinable public func matches(_ range: ByteRange, lowercased text: StaticString) -> Bool {
    guard range.count == text.utf8CodeUnitCount else { return false }
    // SAFETY: a static string's storage lives for ever, and the loop stays below its count.
    let expected = unsafe text.utf8Start
    for i in 0..<range.count where unsafe ASCII.lowercased(self[Int(range.start) &+ i]) != expected[i] { return false }
    return true
  }

  /// Whether both ranges of this span hold the same bytes when ASCII letters are lower-cased.
  @inlinable public func matchesIgnoringCase(_ a: ByteRange, _ b: ByteRange) -> Bool {
    guard a.count == b.count else { return false }
    for i in 0..<a.count where ASCII.lowercased(self[Int(a.start) &+ i]) != ASCII.lowercased(self[Int(b.start) &+ i]) { return false }
    return true
  }
}
