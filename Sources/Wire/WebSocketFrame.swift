public import CausewayBase

/// Why a WebSocket connection was failed, as the close code that says so.
public enum WebSocketError: UInt8, Error, Equatable, Sendable, CaseIterable {
  case reservedBits, reservedOpcode
  /// A client's frame without a mask, or a server's with one.
  case maskMissing, maskUnexpected
  case lengthNotShortest, lengthInvalid
  case controlFragmented, controlTooLong
  /// A continuation of nothing, or a new message inside another.
  case continuationUnexpected, continuationMissing
  case closePayloadInvalid, closeCodeInvalid
  case textInvalid
  case frameTooLarge, messageTooLarge, tooManyFragments

  public var closeCode: UInt16 {
    switch self {
    case .textInvalid: 1007
    case .frameTooLarge, .messageTooLarge, .tooManyFragments: 1009
    default: 1002
    }
  }
}

/// RFC 6455 §5.2. The raw value is that of the wire.
public enum WebSocketOpcode: UInt8, Sendable, CaseIterable {
  case continuation = 0
  case text = 1
  case binary = 2
  case close = 8
  case ping = 9
  case pong = 10

  @inlinable public var isControl: Bool { rawValue >= 8 }
}

/// The head of a frame (RFC 6455 §5.2):
///
///      0               1               2               3
///     +-+-+-+-+-------+-+-------------+-------------------------------+
///     |F|R|R|R| opcode|M| length 0-125| 126: 16-bit length            |
///     |I|S|S|S|       |A| 126, 127    | 127: 64-bit length, top bit 0 |
///     |N|V|V|V|       |S|             |                               |
///     |1|2|3| |       |K|             | then 4 bytes of mask, if MASK |
///     +-+-+-+-+-------+-+-------------+-------------------------------+
public struct WebSocketFrameHeader: Equatable, Sendable {
  public static let byteCountLimit = 2 + 8 + 4
  public static let controlPayloadLimit = 125
  public static let frameByteLimit: UInt64 = 1024 * 1024

  public var isFinal: Bool
  /// RSV1 is 4, RSV2 is 2, RSV3 is 1.
  public var reservedBits: UInt8
  public var opcode: WebSocketOpcode
  /// The four mask bytes, first byte lowest; nil without a mask.
  public var mask: UInt32?
  public var payloadByteCount: UInt64

  public init(opcode: WebSocketOpcode, payloadByteCount: UInt64, isFinal: Bool = true, mask: UInt32? = nil, reservedBits: UInt8 = 0) {
    self.opcode = opcode
    self.payloadByteCount = payloadByteCount
    self.isFinal = isFinal
    self.mask = mask
    self.reservedBits = reservedBits
  }

  /// Parses the head at `offset`.
  /// - Parameters:
  ///   - expectsMask: true at a server: clients always mask, servers never do (§5.1).
  ///   - allowedReservedBits: what an extension has negotiated; 4 for permessage-deflate.
  ///   - limit: refuse longer payloads; a length of 2^62 costs nothing but the refusal.
  /// - Returns: the head and its length, or nil when more bytes are needed.
  public static func parse(
    _ bytes: Span<UInt8>, at offset: Int = 0, expectsMask: Bool, allowedReservedBits: UInt8 = 0, limit: UInt64 = frameByteLimit
  ) throws(WebSocketError) -> (header: WebSocketFrameHeader, byteCount: Int)? {
    let available = bytes.count &- offset
    guard available >= 2 else { return nil }
    let first = bytes[offset]
    let second = bytes[offset &+ 1]
    let isFinal = first & 0x80 != 0
    let reservedBits = first &>> 4 & 7
    guard reservedBits & ~allowedReservedBits == 0 else { throw .reservedBits }
    guard let opcode = WebSocketOpcode(rawValue: first & 15) else { throw .reservedOpcode }
    let isMasked = second & 0x80 != 0
    guard isMasked == expectsMask else { throw isMasked ? .maskUnexpected : .maskMissing }
    let short = second & 0x7F
    if opcode.isControl {
      guard isFinal else { throw .controlFragmented }
      guard short <= controlPayloadLimit else { throw .controlTooLong }
      guard reservedBits == 0 else { throw .reservedBits }
    }
    let lengthByteCount = short < 126 ? 0 : short == 126 ? 2 : 8
    let byteCount = 2 &+ lengthByteCount &+ (isMasked ? 4 : 0)
    guard available >= 2 &+ lengthByteCount else { return nil }
    var length = UInt64(short)
    if short == 126 {
      length = UInt64(bytes.bigEndian(at: offset &+ 2, as: UInt16.self))
      guard length > 125 else { throw .lengthNotShortest }
    } else if short == 127 {
      length = bytes.bigEndian(at: offset &+ 2, as: UInt64.self)
      guard length <= UInt64(Int64.max) else { throw .lengthInvalid }
      guard length > 0xFFFF else { throw .lengthNotShortest }
    }
    guard length <= limit else { throw .frameTooLarge }
    guard available >= byteCount else { return nil }
    let mask: UInt32? = isMasked ? bytes.littleEndian(at: offset &+ 2 &+ lengthByteCount) : nil
    let header = WebSocketFrameHeader(
      opcode: opcode, payloadByteCount: length, isFinal: isFinal, mask: mask, reservedBits: reservedBits)
    return (header, byteCount)
  }

  /// The head's length in the shortest form.
  public var byteCount: Int {
    2 + (payloadByteCount < 126 ? 0 : payloadByteCount <= 0xFFFF ? 2 : 8) + (mask == nil ? 0 : 4)
  }

  /// Appends the head in the shortest form. The payload must be below 2^63 bytes, that of a control frame at most 125.
  public func append(to buffer: ByteBuffer) {
    precondition(payloadByteCount <= UInt64(Int64.max), "payload above 2^63 - 1")
    precondition(!opcode.isControl || payloadByteCount <= UInt64(Self.controlPayloadLimit) && isFinal, "invalid control frame")
    buffer.append((isFinal ? 0x80 : 0) | reservedBits &<< 4 | opcode.rawValue)
    let maskBit: UInt8 = mask == nil ? 0 : 0x80
    if payloadByteCount < 126 {
      buffer.append(maskBit | UInt8(payloadByteCount))
    } else if payloadByteCount <= 0xFFFF {
      buffer.append(maskBit | 126)
      buffer.appendBigEndian(UInt16(payloadByteCount))
    } else {
      buffer.append(maskBit | 127)
      buffer.appendBigEndian(payloadByteCount)
    }
    if let mask { buffer.appendBigEndian(mask.byteSwapped) }
  }
}
