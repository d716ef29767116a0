/// WireGuard messages on a TCP connection: each direction starts with a magic of 4 bytes, then every message has its length before it.
///
///     magic  "CwB1"
///     0      length, 16 bits, big-endian, 32...65535 (not counting itself)
///     2      message
///
/// A stranger gets very little: before its first authenticated message a connection may bring the magic and one message, which must look
/// like the start of a handshake or like a transport message, in `unauthenticatedByteLimit` bytes. Everything else closes the connection
/// without a word. One value for each connection's receiving side; the bytes wait in the caller's buffer.
public struct TCPFraming: Sendable, BitwiseCopyable {
  public enum Role: UInt8, Sendable, BitwiseCopyable {
    /// The first message is an initiation (148 bytes), or a transport message of a known index.
    case accepting
    /// The first message is a response (92 bytes), a cookie reply (64 bytes) or a transport message.
    case connecting
  }

  /// Why to close the connection, silently.
  public enum Violation: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case wrongMagic
    /// Shorter than any message, or, from a stranger, of no length that the first message may have.
    case wrongLength
    /// From a stranger: a message type that may not come first.
    case wrongType
    /// From a stranger: more than one message.
    case tooMany
  }

  public enum Event: Equatable, Sendable {
    /// The rest is not there yet.
    case incomplete
    /// A message, as a range of the bytes passed in.
    case message(Range<Int>)
    case violation(Violation)
  }

  public static let magic: [4 of UInt8] = [0x43, 0x77, 0x42, 0x31]
  public static let magicByteCount = 4
  public static let lengthByteCount = 2
  /// The largest number of bytes before a message: magic and length.
  public static let headerByteLimit = magicByteCount + lengthByteCount
  /// Bytes that a connection may have in the buffer before it is authenticated.
  public static let unauthenticatedByteLimit = 512
  /// The shortest message: a keepalive (16 bytes of header, 16 of tag).
  static let messageByteMinimum = 32
  static let initiationByteCount = 148
  static let responseByteCount = 92
  static let cookieReplyByteCount = 64

  public let role: Role
  public private(set) var isAuthenticated = false
  private var hasMagic = false
  private var messageCount: UInt8 = 0

  public init(_ role: Role) { self.role = role }

  /// Finds the next message.
  /// - Parameters:
  ///   - bytes: What has arrived, from the caller's buffer.
  ///   - offset: Where the unread part begins; moved behind the magic and behind each message that is returned.
  public mutating func next(_ bytes: Span<UInt8>, at offset: inout Int) -> Event {
    if !hasMagic {
      let there = min(Self.magicByteCount, bytes.count &- offset)
      // Wrong from the first byte: don't wait for four.
      for index in 0..<there where bytes[offset &+ index] != Self.magic[index] { return .violation(.wrongMagic) }
      guard there == Self.magicByteCount else { return .incomplete }
      offset &+= Self.magicByteCount
      hasMagic = true
    }
    let available = bytes.count &- offset
    guard available >= Self.lengthByteCount else { return .incomplete }
    let length = Int(bytes[offset]) &<< 8 | Int(bytes[offset &+ 1])
    guard length >= Self.messageByteMinimum else { return .violation(.wrongLength) }
    if !isAuthenticated, let violation = judge(bytes, offset &+ Self.lengthByteCount, length) { return .violation(violation) }
    guard available &- Self.lengthByteCount >= length else { return .incomplete }
    let start = offset &+ Self.lengthByteCount
    offset = start &+ length
    if !isAuthenticated { messageCount = 1 }
    return .message(start..<offset)
  }

  /// What a stranger may not do; looks at the type as soon as its byte is there.
  private func judge(_ bytes: Span<UInt8>, _ start: Int, _ length: Int) -> Violation? {
    guard messageCount == 0 else { return .tooMany }
    guard length <= Self.unauthenticatedByteLimit &- Self.headerByteLimit else { return .wrongLength }
    guard start < bytes.count else { return nil }
    let expected: Int
    switch (bytes[start], role) {
    case (1, .accepting): expected = Self.initiationByteCount
    case (2, .connecting): expected = Self.responseByteCount
    case (3, .connecting): expected = Self.cookieReplyByteCount
    case (4, _): expected = length
    default: return .wrongType
    }
    return length == expected ? nil : .wrongLength
  }

  /// A message of the connection was authentic: from now on it may send what it likes.
  public mutating func authenticate() { isAuthenticated = true }

  /// The first message was answered with a cookie, or was one: another may follow, in the same time.
  public mutating func allowAnotherFirstMessage() { messageCount = 0 }

  /// How many bytes to read at most when `buffered` wait unread.
  public func readLimit(buffered: Int, capacity: Int) -> Int {
    max(0, min(capacity, isAuthenticated ? capacity : Self.unauthenticatedByteLimit) &- buffered)
  }

  /// Writes what goes before a message of `byteCount` bytes: with `isFirst` also the magic.
  /// - Parameter output: At least `headerByteLimit` bytes.
  /// - Returns: Bytes written: 2 or 6.
  public static func writeHeader(byteCount: Int, isFirst: Bool, into output: inout MutableSpan<UInt8>) -> Int {
    precondition((messageByteMinimum...0xFFFF).contains(byteCount), "a message has 32 to 65535 bytes")
    var offset = 0
    if isFirst {
      for index in 0..<magicByteCount { output[index] = magic[index] }
      offset = magicByteCount
    }
    output[offset] = UInt8(byteCount &>> 8)
    output[offset &+ 1] = UInt8(byteCount & 0xFF)
    return offset &+ lengthByteCount
  }
}
