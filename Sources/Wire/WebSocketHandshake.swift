internal import CausewayBase

/// What the opening handshake (RFC 6455 §4) needs of this room. SHA-1 is not here: whoever has it computes
/// `base64(SHA-1(acceptInput(key)))`.
public enum WebSocketHandshake {
  public static let version: StaticString = "13"
  public static let guid: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
  /// Random bytes behind a key.
  public static let keyByteCount = 16

  /// The bytes to hash for `Sec-WebSocket-Accept`.
  public static func acceptInput(_ key: Span<UInt8>) -> [UInt8] {
    let buffer = ByteBuffer()
    buffer.append(key)
    buffer.append(guid)
    return buffer.bytes.array(in: 0..<buffer.count)
  }

  /// Base64 of exactly 16 bytes.
  public static func isValidKey(_ key: Span<UInt8>) -> Bool {
    guard key.count == 24, key[22] == UInt8(ascii: "="), key[23] == UInt8(ascii: "=") else { return false }
    return Base64.decode(key)?.count == keyByteCount
  }
}
