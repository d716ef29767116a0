// CausewayLanes: the shell that Relay and Tunnel share. A lane is a connection that carries a session's frames; a `SessionDriver` joins
// the pure `Session` to its present lane, the event loop and the objects behind its streams. It decides nothing about HTTP, names
// or accounts. Start with SessionDriver.
public import CausewayTunnelCore

/// What stands behind one stream of a session: a visitor's connection at the relay, a local connection at the client.
/// Called on the loop's thread; the stream's number is known from `SessionDriver.open` or the opener.
public protocol StreamHandler: AnyObject {
  /// Bytes of the stream, in order. They are gone after the call: keep what cannot be passed on, and report what drained.
  func streamReceived(_ bytes: Span<UInt8>)
  /// The same for several pieces of `bytes` that arrived together, in order: a chance to pass them on in one system call.
  /// - Returns: false when it took none: they then come one by one, each to whoever handles the stream by then.
  func streamReceived(_ bytes: Span<UInt8>, pieces: [Range<Int>]) -> Bool
  /// The peer finished its direction.
  func streamEnded()
  /// The stream is dead and forgotten.
  func streamReset(_ code: ResetCode)
  /// `SessionDriver.sendCapacity` is above zero again.
  func streamWritable()
}

extension StreamHandler {
  public func streamReceived(_ bytes: Span<UInt8>, pieces: [Range<Int>]) -> Bool { false }
}

/// Who owns a session: accepts streams and control messages, and decides what a lost lane means.
public protocol SessionDriverOwner: AnyObject {
  /// The relay opened a stream (client only): return what will handle it. Its first bytes follow at once.
  func sessionOpened(_ stream: StreamID) -> any StreamHandler
  /// A control message (one MessagePack map).
  func sessionReceivedControl(_ message: Span<UInt8>)
  /// The lane is lost; the session is detached. `reason` is for people.
  func sessionLostLane(_ reason: String)
  /// After a resume, both sides know what the other has.
  func sessionSynchronized()
}
