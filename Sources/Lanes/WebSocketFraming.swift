internal import CausewayBase
internal import CausewayCrypto
internal import CausewayTunnelCore
internal import CausewayWire

/// Frames' bytes inside binary WebSocket messages (RFC 6455): one message for each batch; the messages' payloads joined are the lane's bytes.
///
/// The first message of each direction is a bare MessagePack map, as the published clients speak it; it is shown to the lane as a control
/// frame and taken from one, so that the rooms above see a single form.
public final class WebSocketFraming {
  struct Failure: Error { var reason: String }

  /// Messages to a client carry no mask, messages to a relay do.
  private let isClient: Bool
  /// A close frame has come: nothing more will.
  private(set) var isClosing = false
  /// Our own close frame is written or waits: nothing more may follow it (RFC 6455 §5.5.1).
  private(set) var hasSentClose = false
  /// Status codes of RFC 6455 §7.4.1.
  static let normalClosure: UInt16 = 1000
  static let protocolError: UInt16 = 1002
  /// How long the peer's close frame is waited for after our own.
  static let closeLimit = Duration.seconds(5)
  private var first = (receive: true, send: true)
  private var header: WebSocketFrameHeader?
  /// A data frame without FIN came last.
  private var isInsideMessage = false
  private var remaining: UInt64 = 0
  private var mask: WebSocketMask?
  private let payload = ByteBuffer()
  private let controlPayload = ByteBuffer()
  private let controlOutput = ByteBuffer()
  private let scratch = ByteBuffer()
  private var maskSource = MaskSource()

  public init(isClient: Bool) { self.isClient = isClient }

  var hasControlOutput: Bool { !controlOutput.isEmpty }
  /// Something was unmasked that the lane's owner has not taken yet.
  var hasPayload: Bool { !payload.isEmpty }

  // MARK: Receiving

  /// Takes all whole parts of `input`, unmasks them and delivers the payload; `deliver` returns what it used.
  func receive(_ input: ByteBuffer, _ deliver: (Span<UInt8>) -> Int) throws(Failure) {
    do throws(WebSocketError) {
      // What the owner does not take waits in `input`, which the lane bounds.
      while !input.isEmpty && !isClosing && payload.count < Lane.inputLimit {
        if header == nil { guard try readHeader(input) else { break } }
        takePayload(input)
        if remaining == 0 { try frameEnded() }
      }
    } catch {
      throw Failure(reason: "\(error)")
    }
    var previous = -1
    while !payload.isEmpty && payload.count != previous && !(first.receive) {
      previous = payload.count
      let payload = self.payload
      payload.consume(deliver(payload.bytes))
    }
    if payload.isEmpty { payload.trim(above: 4096) }
  }

  private func readHeader(_ input: ByteBuffer) throws(WebSocketError) -> Bool {
    guard let (header, count) = try WebSocketFrameHeader.parse(input.bytes, expectsMask: !isClient) else { return false }
    guard header.opcode != .text else { throw .reservedOpcode }
    if !header.opcode.isControl {
      guard (header.opcode == .continuation) == isInsideMessage else {
        throw isInsideMessage ? .continuationMissing : .continuationUnexpected
      }
      isInsideMessage = !header.isFinal
      // The first message comes from a peer that has proven nothing, and it is kept until it is whole.
      let limit = UInt64(ControlExchange.messageByteLimit)
      if first.receive && (header.payloadByteCount > limit || UInt64(payload.count) + header.payloadByteCount > limit) {
        throw .messageTooLarge
      }
    }
    input.consume(count)
    self.header = header
    remaining = header.payloadByteCount
    mask = header.mask.map { WebSocketMask(key: $0) }
    return true
  }

  private func takePayload(_ input: ByteBuffer) {
    guard let header, remaining > 0 else { return }
    let count = min(Int(clamping: remaining), input.count)
    let target = header.opcode.isControl ? controlPayload : payload
    let start = target.count
    target.append(input.bytes.extracting(0..<count))
    mask?.apply(to: target, in: start..<start + count)
    input.consume(count)
    remaining -= UInt64(count)
  }

  private func frameEnded() throws(WebSocketError) {
    guard let header else { return }
    self.header = nil
    switch header.opcode {
    case .ping:
      // A flood is answered by its latest few.
      if controlOutput.count < 4096 { appendFrame(.pong, controlPayload.count, to: controlOutput) { $0.append(controlPayload) } }
      controlPayload.removeAll()
    case .pong: controlPayload.removeAll()
    case .close:
      isClosing = true
      // The status is echoed; one that must not be sent, or half of one, is answered as a broken frame.
      let controlPayload = self.controlPayload
      let close = try? WebSocketClose(controlPayload.bytes)
      controlPayload.removeAll()
      sendClose(close.map { $0.code } ?? Self.protocolError)
    case .binary, .continuation, .text:
      guard first.receive, header.isFinal else { break }
      first.receive = false
      // A bare map: make a control frame of it.
      let payload = self.payload
      let message = payload.bytes.array(in: 0..<payload.count)
      payload.removeAll()
      FrameHeader.appendControl(message.span, to: payload)
    }
  }

  // MARK: Sending

  /// Our close frame goes out behind what was produced so far; again does nothing.
  func sendClose(_ code: UInt16?) {
    guard !hasSentClose else { return }
    hasSentClose = true
    WebSocketClose(code: code).append(to: controlOutput, mask: isClient ? maskSource.next() : nil)
  }

  /// Appends what `fill` produces as one message, and answers to pings before it.
  func produce(into out: ByteBuffer, _ fill: (ByteBuffer) -> Void) {
    if !controlOutput.isEmpty {
      out.append(controlOutput)
      controlOutput.removeAll()
    }
    guard !hasSentClose else { return }
    let scratch = self.scratch
    scratch.removeAll()
    fill(scratch)
    guard !scratch.isEmpty else { return }
    if first.send {
      first.send = false
      // The first control frame travels as its bare payload, alone in its message.
      let count = FrameHeader.controlFrameByteCount(scratch.bytes) ?? scratch.count
      appendFrame(.binary, count - FrameHeader.byteCount, to: out) { $0.append(scratch, FrameHeader.byteCount..<count) }
      scratch.consume(count)
      guard !scratch.isEmpty else { return }
    }
    appendFrame(.binary, scratch.count, to: out) { $0.append(scratch) }
    scratch.removeAll()
    scratch.trim(above: 128 * 1024)
  }

  private func appendFrame(_ opcode: WebSocketOpcode, _ count: Int, to out: ByteBuffer, _ fill: (ByteBuffer) -> Void) {
    let key = isClient ? maskSource.next() : nil
    WebSocketFrameHeader(opcode: opcode, payloadByteCount: UInt64(count), mask: key).append(to: out)
    let start = out.count
    fill(out)
    if let key {
      var mask = WebSocketMask(key: key)
      mask.apply(to: out, in: start..<out.count)
    }
  }

  /// Masks from the kernel's randomness (RFC 6455 §10.3), drawn a block at a time.
  private struct MaskSource {
    private var block = InlineArray<64, UInt8>(repeating: 0)
    private var position = 64

    mutating func next() -> UInt32 {
      if position == 64 {
        block = SecureRandom.bytes()
        position = 0
      }
      defer { position += 4 }
      return UInt32(block[position]) | UInt32(block[position + 1]) << 8 | UInt32(block[position + 2]) << 16 | UInt32(block[position + 3])
        << 24
    }
  }
}
