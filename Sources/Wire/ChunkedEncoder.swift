public import CausewayBase

/// Writes `chunked` (RFC 9112 §7.1): `appendHead`, the data, `appendEnd`, and once `appendLast`.
public enum ChunkedEncoder {
  /// The longest `appendHead` and `appendEnd` together: 16 digits and two line ends.
  public static let overheadByteCount = 20

  /// The size line of a chunk. `byteCount` must be above 0, because 0 ends the body.
  public static func appendHead(byteCount: Int, to buffer: ByteBuffer) {
    precondition(byteCount > 0, "an empty chunk would end the body")
    buffer.append(hexadecimal: UInt64(byteCount))
    buffer.append("\r\n")
  }

  public static func appendEnd(to buffer: ByteBuffer) { buffer.append("\r\n") }

  /// A whole chunk; nothing when `data` is empty.
  public static func appendChunk(_ data: Span<UInt8>, to buffer: ByteBuffer) {
    if data.isEmpty { return }
    appendHead(byteCount: data.count, to: buffer)
    buffer.append(data)
    appendEnd(to: buffer)
  }

  /// The last chunk, with trailers. A body that was cut short must never get one.
  public static func appendLast(_ trailers: Trailers = Trailers(), to buffer: ByteBuffer) {
    buffer.append("0\r\n")
    let bytes = trailers.bytes
    for line in trailers.fields { buffer.appendField(line, of: bytes.span) }
    buffer.append("\r\n")
  }
}
