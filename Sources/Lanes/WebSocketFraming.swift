internal import CausewayBase

/// Frames' bytes inside binary WebSocket messages (RFC 6455): one message for each batch; messages' payloads joined are the lane's bytes.
public final class WebSocketFraming {
  public struct Failure: Error { public var reason: String }
  public private(set) var isClosing = false
  public private(set) var hasControlOutput = false
  func receive(_ input: ByteBuffer, _ deliver: (Span<UInt8>) -> Int) throws(Failure) { throw Failure(reason: "not built yet") }
  func produce(into out: ByteBuffer, _ fill: (ByteBuffer) -> Void) {}
}
