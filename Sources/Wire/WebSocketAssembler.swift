public import CausewayBase

/// Turns frames into messages: unmasks, checks every rule of RFC 6455 §5 and §8, and bounds what it holds. It copies each payload
/// once, into its own buffer; a lane that wants no copy parses `WebSocketFrameHeader` and unmasks in place.
public struct WebSocketAssembler: ~Copyable {
  public static let messageByteLimit = 16 * 1024 * 1024
  public static let fragmentLimit = 4096

  public enum Event: Equatable, Sendable {
    /// The message is in `message` until the next call.
    case text, binary
    /// The payload is in `control` until the next call.
    case ping, pong
    case close(WebSocketClose)
  }

  public let message = ByteBuffer()
  public let control = ByteBuffer()

  private let expectsMask: Bool
  private let frameByteLimit: UInt64
  private let messageByteLimit: Int
  /// Text or binary while a message is unfinished.
  private var messageOpcode: WebSocketOpcode?
  private var fragments = 0
  private var validator = UTF8Validator()
  private var isMessageReported = false
  private var frame: (header: WebSocketFrameHeader, mask: WebSocketMask?, remaining: Int)?
  private var isClosed = false

  /// - Parameter isServer: a server expects masks, a client expects none.
  public init(
    isServer: Bool, frameByteLimit: UInt64 = WebSocketFrameHeader.frameByteLimit,
    messageByteLimit: Int = WebSocketAssembler.messageByteLimit
  ) {
    expectsMask = isServer
    self.frameByteLimit = frameByteLimit
    self.messageByteLimit = messageByteLimit
  }

  /// Consumes frames from `offset` on until something is complete. `offset` moves over what was consumed; an incomplete frame head
  /// stays, at most 13 bytes, and must come again with more behind it. After a close or an error nothing is consumed any more.
  public mutating func next(_ bytes: Span<UInt8>, from offset: inout Int) throws(WebSocketError) -> Event? {
    if isMessageReported {
      message.removeAll()
      isMessageReported = false
    }
    while !isClosed {
      if frame == nil {
        guard
          let (header, byteCount) = try WebSocketFrameHeader.parse(
            bytes, at: offset, expectsMask: expectsMask, limit: frameByteLimit)
        else { return nil }
        try begin(header)
        offset &+= byteCount
      }
      try readPayload(bytes, &offset)
      if let event = try finishFrame() { return event }
      if frame != nil { return nil }
    }
    return nil
  }

  private mutating func begin(_ header: WebSocketFrameHeader) throws(WebSocketError) {
    if header.opcode.isControl {
      control.removeAll()
    } else {
      if header.opcode == .continuation {
        guard messageOpcode != nil else { throw .continuationUnexpected }
      } else {
        guard messageOpcode == nil else { throw .continuationMissing }
        messageOpcode = header.opcode
        validator = UTF8Validator()
        fragments = 0
      }
      fragments += 1
      guard fragments <= Self.fragmentLimit else { throw .tooManyFragments }
      guard header.payloadByteCount <= UInt64(messageByteLimit - message.count) else { throw .messageTooLarge }
    }
    frame = (header, header.mask.map { WebSocketMask(key: $0) }, Int(header.payloadByteCount))
  }

  private mutating func readPayload(_ bytes: Span<UInt8>, _ offset: inout Int) throws(WebSocketError) {
    guard var current = frame else { return }
    let count = min(current.remaining, bytes.count &- offset)
    guard count > 0 else { return }
    let target = current.header.opcode.isControl ? control : message
    let start = target.count
    target.append(bytes.extracting(offset..<offset &+ count))
    current.mask?.apply(to: target, in: start..<start + count)
    current.remaining -= count
    offset &+= count
    frame = current
    if !current.header.opcode.isControl, messageOpcode == .text {
      let isText = validator.accept(target.bytes.extracting(start..<start + count))
      guard isText else { throw .textInvalid }
    }
  }

  private mutating func finishFrame() throws(WebSocketError) -> Event? {
    guard let current = frame, current.remaining == 0 else { return nil }
    frame = nil
    switch current.header.opcode {
    case .ping: return .ping
    case .pong: return .pong
    case .close:
      isClosed = true
      return .close(try WebSocketClose(control.bytes))
    case .continuation, .text, .binary:
      guard current.header.isFinal else { return nil }
      let isText = messageOpcode == .text
      guard !isText || validator.isComplete else { throw .textInvalid }
      messageOpcode = nil
      isMessageReported = true
      return isText ? .text : .binary
    }
  }
}
