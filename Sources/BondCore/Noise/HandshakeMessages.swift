internal import CausewayWire

/// A complete handshake message as it goes on the wire: 148, 92 or 64 bytes.
public struct HandshakeMessage: Hashable, Sendable {
  public let bytes: [UInt8]
}

/// The first four bytes of every message: type and three reserved zeros, as one little-endian number.
public enum MessageType {
  public static let initiation: UInt32 = 1
  public static let response: UInt32 = 2
  public static let cookieReply: UInt32 = 3
  public static let transport: UInt32 = 4
}

/// Message 1 (§5.4.2).
/// ```
///   0               4                8
///  +---------------+----------------+---------------------------------+
///  | 1, 0, 0, 0    | sender         | ephemeral (32)                  |
///  +---------------+-+--------------+-----------+----------+----------+
///  | static (32 + 16) | timestamp (12 + 16)     | mac1 (16)| mac2 (16)|
///  +------------------+-------------------------+----------+----------+
/// ```
package struct Initiation {
  static let byteCount = 4 + 4 + 32 + 48 + 28 + MACs.byteCount
  var sender: UInt32
  var ephemeral: InlineArray<32, UInt8>
  var encryptedStatic: InlineArray<48, UInt8>
  var encryptedTimestamp: InlineArray<28, UInt8>

  init(sender: UInt32, ephemeral: InlineArray<32, UInt8>) {
    self.sender = sender
    self.ephemeral = ephemeral
    encryptedStatic = InlineArray(repeating: 0)
    encryptedTimestamp = InlineArray(repeating: 0)
  }

  /// - Returns: nil for another type or length.
  package init?(_ bytes: Span<UInt8>) {
    guard bytes.count == Self.byteCount, bytes.littleEndian(at: 0, as: UInt32.self) == MessageType.initiation else { return nil }
    sender = bytes.littleEndian(at: 4)
    ephemeral = bytes.inlineArray(at: 8)
    encryptedStatic = bytes.inlineArray(at: 40)
    encryptedTimestamp = bytes.inlineArray(at: 88)
  }

  /// All but the MACs.
  package var body: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    bytes.append(littleEndian: MessageType.initiation)
    bytes.append(littleEndian: sender)
    bytes.append(ephemeral.span)
    bytes.append(encryptedStatic.span)
    bytes.append(encryptedTimestamp.span)
    return bytes
  }
}

/// Message 2 (§5.4.3).
/// ```
///   0            4         8           12
///  +------------+---------+-----------+-----------------+
///  | 2, 0, 0, 0 | sender  | receiver  | ephemeral (32)  |
///  +------------+---------+-+---------+-+---------------+
///  | empty (0 + 16)         | mac1 (16) | mac2 (16)     |
///  +------------------------+-----------+---------------+
/// ```
package struct Response {
  static let byteCount = 4 + 4 + 4 + 32 + 16 + MACs.byteCount
  var sender: UInt32
  var receiver: UInt32
  var ephemeral: InlineArray<32, UInt8>
  var encryptedNothing: InlineArray<16, UInt8>

  init(sender: UInt32, receiver: UInt32, ephemeral: InlineArray<32, UInt8>) {
    self.sender = sender
    self.receiver = receiver
    self.ephemeral = ephemeral
    encryptedNothing = InlineArray(repeating: 0)
  }

  /// - Returns: nil for another type or length.
  package init?(_ bytes: Span<UInt8>) {
    guard bytes.count == Self.byteCount, bytes.littleEndian(at: 0, as: UInt32.self) == MessageType.response else { return nil }
    sender = bytes.littleEndian(at: 4)
    receiver = bytes.littleEndian(at: 8)
    ephemeral = bytes.inlineArray(at: 12)
    encryptedNothing = bytes.inlineArray(at: 44)
  }

  /// All but the MACs.
  package var body: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    bytes.append(littleEndian: MessageType.response)
    bytes.append(littleEndian: sender)
    bytes.append(littleEndian: receiver)
    bytes.append(ephemeral.span)
    bytes.append(encryptedNothing.span)
    return bytes
  }
}

/// Message 3 (§5.4.7).
/// ```
///   0            4           8             32
///  +------------+-----------+-------------+------------------+
///  | 3, 0, 0, 0 | receiver  | nonce (24)  | cookie (16 + 16) |
///  +------------+-----------+-------------+------------------+
/// ```
package struct CookieReply {
  static let byteCount = 4 + 4 + 24 + 32
  /// The sender index of the message that was refused.
  var receiver: UInt32
  var nonce: InlineArray<24, UInt8>
  var encryptedCookie: InlineArray<32, UInt8>

  init(receiver: UInt32, nonce: InlineArray<24, UInt8>, encryptedCookie: InlineArray<32, UInt8>) {
    self.receiver = receiver
    self.nonce = nonce
    self.encryptedCookie = encryptedCookie
  }

  /// - Returns: nil for another type or length.
  package init?(_ bytes: Span<UInt8>) {
    guard bytes.count == Self.byteCount, bytes.littleEndian(at: 0, as: UInt32.self) == MessageType.cookieReply else { return nil }
    receiver = bytes.littleEndian(at: 4)
    nonce = bytes.inlineArray(at: 8)
    encryptedCookie = bytes.inlineArray(at: 32)
  }

  package var message: HandshakeMessage {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    bytes.append(littleEndian: MessageType.cookieReply)
    bytes.append(littleEndian: receiver)
    bytes.append(nonce.span)
    bytes.append(encryptedCookie.span)
    return HandshakeMessage(bytes: bytes)
  }
}

/// The last 32 bytes of messages 1 and 2.
enum MACs {
  static let byteCount = 16 + 16
}

extension Span<UInt8> {
  /// The bytes from `offset` on; the caller has checked the length.
  func inlineArray<let count: Int>(at offset: Int) -> InlineArray<count, UInt8> {
    InlineArray { self[offset + $0] }
  }
}

extension [UInt8] {
  mutating func append(littleEndian value: UInt32) {
    for byte: UInt32 in 0..<4 { append(UInt8(truncatingIfNeeded: value &>> (8 * byte))) }
  }

  mutating func append(_ bytes: Span<UInt8>) {
    for index in bytes.indices { append(bytes[index]) }
  }
}
