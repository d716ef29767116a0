internal import CLinux
public import CausewayBase

/// What one message of a `DatagramReceiver` is: one datagram, or several of equal size that the kernel put together (UDP_GRO).
public struct ReceivedMessage: BitwiseCopyable, Sendable {
  public var source: DatagramAddress
  /// Where it was sent to (port 0) and on which interface it came in; nil and 0 when the socket was not asked to tell.
  public var destination: DatagramAddress?
  public var interface: UInt32
  /// Bytes in all, 0...65535.
  public var byteCount: Int
  /// Bytes of each datagram; the last may be shorter. Equal to `byteCount` for a single one; 0 only for an empty one.
  public var segmentByteCount: Int
  /// Datagrams that the socket lost for want of room since its creation (SO_RXQ_OVFL); 0 when the kernel did not say.
  public var dropCount: UInt32
  /// When the kernel got it, in nanoseconds by CLOCK_REALTIME, however late it is read; 0 when the kernel did not say.
  public var unixNanoseconds: UInt64
  /// The TOS or traffic class byte: DSCP above, ECN in the low 2 bits.
  public var typeOfService: UInt8
  /// Longer than the buffer: must not be used.
  public var isTruncated: Bool

  @inlinable public var datagramCount: Int {
    segmentByteCount == 0 ? 1 : (byteCount &+ segmentByteCount &- 1) / segmentByteCount
  }

  /// The bytes of datagram `index` within the message.
  @inlinable public func range(of index: Int) -> Range<Int> {
    let start = index &* segmentByteCount
    return start..<min(start &+ segmentByteCount, byteCount)
  }
}

/// Buffers for `UDPSocket.receive`, allocated once and used again by every call; one receiver for a thread serves all its sockets.
/// Each buffer takes what UDP_GRO gives: up to 64 KiB. Belongs to one thread at a time.
@safe public final class DatagramReceiver {
  /// Most buffers: more than 8 gain nothing, since each holds up to 64 datagrams.
  public static let bufferLimit = 16
  public static let bufferByteCount = 65536

  let receiver: OpaquePointer
  private let messages: UnsafeMutablePointer<shim_received>
  /// Messages of the last call.
  public internal(set) var count = 0

  public init(bufferCount: Int = 8) {
    precondition((1...Self.bufferLimit).contains(bufferCount), "a receiver has 1 to 16 buffers")
    guard let made = unsafe shim_receiver_make(CInt(bufferCount), Self.bufferByteCount) else { fatalError("no memory for receive buffers") }
    unsafe receiver = made
    // SAFETY: part of the receiver's own memory, which lives as long.
    unsafe messages = shim_receiver_messages(made)
  }

  deinit { unsafe shim_receiver_free(receiver) }

  /// What the last call received at `index`.
  public subscript(index: Int) -> ReceivedMessage {
    precondition(index >= 0 && index < count, "no such message")
    // SAFETY: filled by the last call, checked above.
    let message = unsafe messages[index]
    return unsafe ReceivedMessage(
      source: DatagramAddress(message.source),
      destination: message.local.family == 0 ? nil : DatagramAddress(message.local), interface: message.interface,
      byteCount: Int(message.count), segmentByteCount: Int(message.segment), dropCount: message.drops,
      unixNanoseconds: message.unix_ns, typeOfService: message.tos,
      isTruncated: message.truncated != 0)
  }

  /// The first byte of message `index`, `byteCount` of them; writable, valid until the next receive with this receiver.
  @unsafe public func bytes(_ index: Int) -> UnsafeMutablePointer<UInt8> {
    precondition(index >= 0 && index < count, "no such message")
    return unsafe messages[index].bytes
  }

  /// The bytes of message `index`.
  public func withMessage<R>(_ index: Int, _ body: (inout MutableSpan<UInt8>) -> R) -> R {
    precondition(index >= 0 && index < count, "no such message")
    // SAFETY: the kernel filled so many bytes of this buffer; nobody else touches it during the call.
    var span = unsafe MutableSpan(_unsafeStart: messages[index].bytes, count: Int(messages[index].count))
    return body(&span)
  }
}
