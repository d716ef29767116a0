public import CausewayLinuxIO

/// How a client asked for a lane.
public enum LaneUpgrade {
  /// `Upgrade: causeway/3`: raw frames follow the 101.
  case raw
  /// A WebSocket; the value of Sec-WebSocket-Key, already checked to be base64 of 16 bytes.
  case webSocket(key: [UInt8])
}

/// What the ingress hands to the rest of the relay: requests on the relay's own host that become lanes.
public protocol ControlPath: AnyObject {
  /// A client's upgrade at `/api/v1/ws/tunnel`, head already read. The receiver writes the 101 and owns the stream from now on.
  /// - Parameters:
  ///   - peer: its address without the port, for people.
  ///   - received: bytes that came behind the head.
  func acceptLane(_ stream: TCPStream, from peer: String, upgrade: LaneUpgrade, received: Span<UInt8>)
}
