// CausewayTunnelCore: the tunnel protocol, version 3, without sockets or clocks. A `Session` multiplexes streams with credit, fair
// interleaving and replay over whatever carries its frames; records give HTTP a shape inside a stream; handshake and reconnect
// policy stand beside it. docs/protocol.md describes the wire. Start with Session, then Records.
public import CausewayBase

public typealias StreamID = UInt32

/// The header that begins each frame of version 3 (big-endian):
/// ```
///  0               1               2               3
/// +---------------+---------------+-------------------------------+
/// |     type      |     flags     |        payload length         |
/// +---------------+---------------+-------------------------------+
/// |                stream (0: the session itself)                 |
/// +---------------------------------------------------------------+
/// ```
/// A data frame's payload begins with its 64-bit stream offset.
public struct FrameHeader: Equatable, Sendable {
  public static let byteCount = 8
  public static let offsetByteCount = 8
  /// No frame is longer than 64 KiB, header included.
  public static let maximumFrameByteCount = 65_536
  public static let maximumDataByteCount = maximumFrameByteCount - byteCount - offsetByteCount

  public enum Kind: UInt8, Sendable {
    /// Stream bytes at an offset; with `Flags.end` the direction ends behind them.
    case data = 1
    /// Entries of (stream, received, credit): see `AckEntry`.
    case acknowledge = 2
    /// The stream is dead in both directions; payload: `ResetCode`.
    case reset = 3
    /// Payload: 8 opaque bytes, echoed in a pong.
    case ping = 4
    case pong = 5
    /// A MessagePack map with `Type`: see ControlMessage.
    case control = 6
    /// After a resume: every stream this side still knows, as `AckEntry`s. `Flags.end` marks the last one; its stream field holds
    /// the highest stream ever opened.
    case synchronize = 7
  }

  public struct Flags: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let end = Flags(rawValue: 1)
  }

  public var kind: Kind
  public var flags: Flags
  public var payloadByteCount: Int
  public var stream: StreamID

  init(_ kind: Kind, flags: Flags = [], payloadByteCount: Int, stream: StreamID = 0) {
    self.kind = kind
    self.flags = flags
    self.payloadByteCount = payloadByteCount
    self.stream = stream
  }

  /// Reads the header at `offset`, where at least `byteCount` bytes are. Throws on an unknown type: versions are agreed at login,
  /// so it is damage or an attack.
  init(_ bytes: Span<UInt8>, at offset: Int) throws(SessionError) {
    guard let kind = Kind(rawValue: bytes[offset]) else { throw .malformedFrame("unknown frame type \(bytes[offset])") }
    self.kind = kind
    flags = Flags(rawValue: bytes[offset + 1])
    payloadByteCount = Int(bytes.integer(at: offset + 2, as: UInt16.self))
    stream = bytes.integer(at: offset + 4, as: UInt32.self)
    if payloadByteCount > Self.maximumFrameByteCount - Self.byteCount { throw .malformedFrame("frame over 64 KiB") }
  }

  func write(to out: ByteBuffer) {
    out.append(kind.rawValue)
    out.append(flags.rawValue)
    out.appendBigEndian(UInt16(payloadByteCount))
    out.appendBigEndian(stream)
  }
}

extension FrameHeader {
  /// Appends a control frame around `message`, which must fit one.
  public static func appendControl(_ message: Span<UInt8>, to out: ByteBuffer) {
    precondition(message.count <= maximumFrameByteCount - byteCount, "control message over a frame")
    FrameHeader(.control, payloadByteCount: message.count).write(to: out)
    out.append(message)
  }

  /// The length of the control frame that `bytes` begin with, or nil when it isn't one or isn't whole.
  public static func controlFrameByteCount(_ bytes: Span<UInt8>) -> Int? {
    guard bytes.count >= byteCount, bytes[0] == Kind.control.rawValue else { return nil }
    let count = byteCount + Int(bytes.integer(at: 2, as: UInt16.self))
    return bytes.count >= count ? count : nil
  }
}

/// One stream's progress as its receiver sees it. An `end` counts as one byte of offset, so that it is acknowledged like data.
public struct AckEntry: Equatable, Sendable {
  static let byteCount = 20
  public var stream: StreamID
  /// Everything before this offset has arrived: the sender may forget its copy.
  public var received: UInt64
  /// The sender may send up to this offset. Never moves back.
  public var credit: UInt64

  init(stream: StreamID, received: UInt64, credit: UInt64) {
    self.stream = stream
    self.received = received
    self.credit = credit
  }

  init(_ bytes: Span<UInt8>, at offset: Int) {
    stream = bytes.integer(at: offset, as: UInt32.self)
    received = bytes.integer(at: offset + 4, as: UInt64.self)
    credit = bytes.integer(at: offset + 12, as: UInt64.self)
  }

  func write(to out: ByteBuffer) {
    out.appendBigEndian(stream)
    out.appendBigEndian(received)
    out.appendBigEndian(credit)
  }
}

/// Why a stream died. Unknown codes from a newer peer are kept and shown as numbers.
public struct ResetCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// The visitor or the local program went away; nobody is at fault.
  public static let cancelled = ResetCode(rawValue: 1)
  /// Nothing listens at the local address.
  public static let originRefused = ResetCode(rawValue: 2)
  /// The local name or network can't be reached.
  public static let originUnreachable = ResetCode(rawValue: 3)
  /// The local service did not answer in time.
  public static let originTimeout = ResetCode(rawValue: 4)
  /// The local service died in the middle.
  public static let originAborted = ResetCode(rawValue: 5)
  /// The local service's answer was not valid HTTP.
  public static let originMalformed = ResetCode(rawValue: 6)
  /// TLS to the local service failed.
  public static let originTLS = ResetCode(rawValue: 7)
  /// One of those before: the local service is at fault.
  public var isOriginFault: Bool { (Self.originRefused.rawValue...Self.originTLS.rawValue).contains(rawValue) }
  /// The peer broke the rules inside this stream.
  public static let protocolViolation = ResetCode(rawValue: 8)
  /// A named limit was reached.
  public static let overloaded = ResetCode(rawValue: 9)
  /// The tunnel that the stream was for is gone.
  public static let tunnelGone = ResetCode(rawValue: 10)
  /// The session ended with the stream still open.
  public static let sessionEnded = ResetCode(rawValue: 11)

  public var description: String {
    switch self {
    case .cancelled: "cancelled"
    case .originRefused: "local service refused the connection"
    case .originUnreachable: "local service unreachable"
    case .originTimeout: "local service timed out"
    case .originAborted: "local service closed in the middle"
    case .originMalformed: "local service sent an invalid answer"
    case .originTLS: "TLS to the local service failed"
    case .protocolViolation: "protocol violation"
    case .overloaded: "limit reached"
    case .tunnelGone: "tunnel closed"
    case .sessionEnded: "session ended"
    default: "code \(rawValue)"
    }
  }
}

/// What ends the connection (never the process): the peer broke the protocol.
public enum SessionError: Error, Equatable, Sendable {
  case malformedFrame(String)
  /// More bytes than were granted.
  case creditExceeded(StreamID)
  /// Bytes that do not continue the stream.
  case offsetMismatch(StreamID)
  /// More streams at once than agreed.
  case tooManyStreams
  /// A frame that this side, or this moment, does not allow.
  case unexpectedFrame(String)
}

extension Span where Element == UInt8 {
  /// A big-endian integer; the caller has checked the bounds.
  @inline(__always) func integer<T: FixedWidthInteger & UnsignedInteger>(at offset: Int, as type: T.Type) -> T {
    var value: T = 0
    for index in 0..<MemoryLayout<T>.size { value = value &<< 8 | T(truncatingIfNeeded: self[offset &+ index]) }
    return value
  }
}
