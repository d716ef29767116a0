public import CausewayBase

/// The payload of a close frame (RFC 6455 §5.5.1, §7.4).
public struct WebSocketClose: Equatable, Sendable {
  public static let reasonByteLimit = WebSocketFrameHeader.controlPayloadLimit - 2

  /// Nil when the payload was empty.
  public var code: UInt16?
  public var reason: String

  public init(code: UInt16?, reason: String = "") {
    self.code = code
    self.reason = reason
  }

  /// 1000-1003, 1007-1014 and 3000-4999; 1004-1006 and 1015 are never on the wire.
  public static func isValid(_ code: UInt16) -> Bool {
    switch code {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
  }

  /// - Parameter payload: unmasked, at most 125 bytes.
  public init(_ payload: Span<UInt8>) throws(WebSocketError) {
    guard payload.count > 0 else {
      self.init(code: nil)
      return
    }
    guard payload.count >= 2, payload.count <= WebSocketFrameHeader.controlPayloadLimit else { throw .closePayloadInvalid }
    let code: UInt16 = payload.bigEndian(at: 0)
    guard Self.isValid(code) else { throw .closeCodeInvalid }
    guard UTF8Validator.isValid(payload.extracting(2..<payload.count)) else { throw .textInvalid }
    self.init(code: code, reason: payload.string(in: 2..<payload.count))
  }

  /// Appends a close frame; a reason that is too long loses its last characters.
  public func append(to buffer: ByteBuffer, mask: UInt32? = nil) {
    var payload: [UInt8] = []
    if let code {
      precondition(Self.isValid(code), "close code \(code) must not be on the wire")
      payload = [UInt8(code >> 8), UInt8(code & 0xFF)]
      for character in reason.unicodeScalars {
        let bytes = Array(String(character).utf8)
        if payload.count + bytes.count > WebSocketFrameHeader.controlPayloadLimit { break }
        payload += bytes
      }
    }
    buffer.appendFrame(.close, payload.span, mask: mask)
  }
}
