internal import CLinux
public import CausewayBase
internal import Glibc

/// What the kernel knows of a TCP connection that carries a path (TCP_INFO).
public struct TCPPathInfo: Equatable, Sendable, BitwiseCopyable {
  /// Bytes per second that the peer acknowledged lately; 0 when unknown.
  public var deliveryRate: UInt64
  /// That rate was ours, not the path's: it bounds the capacity from below only.
  public var isApplicationLimited: Bool
  public var roundTripTime: Duration
  public var roundTripVariation: Duration
  /// Zero when unknown.
  public var minimumRoundTripTime: Duration
  /// Bytes that wait in the kernel and were never sent.
  public var unsentByteCount: Int
  public var congestionWindowByteCount: Int
  public var unacknowledgedByteCount: Int
  public var retransmissionCount: UInt32
  /// Bytes that the peer has got, those behind a gap included, which are counted in full segments.
  public var deliveredByteCount: UInt64
  public var isEstablished: Bool
}

/// A non-blocking TCP connection as a path of a bond: little is queued in the kernel, so that its queue does not become the delay. The
/// packets' framing is not its business. Sending and receiving allocate nothing. Belongs to one thread at a time.
@safe public final class TCPPathSocket {
  public struct Options: Sendable {
    /// SO_BINDTODEVICE, 1 to 15 bytes.
    public var device: String?
    /// The address to connect from; its port is usually 0.
    public var source: DatagramAddress?
    /// SO_MARK; 0: none.
    public var mark: UInt32 = 0

    public init() {}
  }

  /// Unsent bytes that the kernel may hold at least (TCP_NOTSENT_LOWAT): below, throughput suffers from the many wake-ups.
  public static let unsentLimitMinimum = 16 << 10
  /// Unacknowledged data older than this end the connection (TCP_USER_TIMEOUT).
  public static let userTimeout: Duration = .seconds(5)

  /// For a poll; the socket keeps it. Writable means: connected (then ask `takeError`), and less than the limit is unsent.
  public let descriptor: CInt

  /// Starts to connect.
  public init(connectingTo address: DatagramAddress, options: Options = Options()) throws(SystemError) {
    let subject = "\(SocketAddress(address))" + (options.device.map { " on \($0)" } ?? "")
    let domain = address.family == .ipv4 ? AF_INET : AF_INET6
    let socket = FileDescriptor(
      adopting: CInt(try SystemError.check(Int(shim_socket(domain, CInt(SOCK_STREAM.rawValue), 0)), "TCP socket")))
    let fd = socket.rawValue
    if let device = options.device {
      guard (1...15).contains(device.utf8.count), !device.utf8.contains(0) else { throw SystemError(ENODEV, "SO_BINDTODEVICE \(device)") }
      try SystemError.check(unsafe Int(shim_bind_to_device(fd, device)), "SO_BINDTODEVICE for TCP \(subject)")
    }
    if options.mark != 0 {
      try SystemError.check(Int(shim_set_int_option(fd, SOL_SOCKET, SO_MARK, CInt(bitPattern: options.mark))), "SO_MARK for TCP \(subject)")
    }
    if let source = options.source {
      try SystemError.check(Int(SocketAddress(source).bind(fd)), "bind TCP \(SocketAddress(source)) to reach \(subject)")
    }
    Self.prepare(fd)
    let result = SocketAddress(address).connect(fd)
    if result < 0 && result != -EINPROGRESS { throw SystemError(-result, "connect TCP \(subject)") }
    descriptor = socket.release()
  }

  /// Takes over an accepted connection.
  public init(adopting descriptor: CInt) {
    self.descriptor = descriptor
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    Self.prepare(descriptor)
  }

  deinit { if isOwned { _ = Glibc.close(descriptor) } }

  private var isOwned = true

  /// Gives the descriptor away: this object must not be used any more.
  public func release() -> CInt {
    isOwned = false
    return descriptor
  }

  /// BBR keeps its rate under random loss, where CUBIC would starve the path and an inner TCP above it.
  private static func prepare(_ fd: CInt) {
    let tcp = CInt(IPPROTO_TCP)
    _ = shim_set_int_option(fd, tcp, TCP_NODELAY, 1)
    _ = shim_set_int_option(fd, tcp, TCP_NOTSENT_LOWAT, CInt(unsentLimitMinimum))
    _ = shim_set_int_option(fd, tcp, TCP_USER_TIMEOUT, CInt(userTimeout.wholeNanoseconds / 1_000_000))
    _ = unsafe shim_set_tcp_congestion(fd, "bbr")
  }

  /// The connection is writable while less than this is unsent: 2 ms of the path's rate, at least `unsentLimitMinimum`.
  public func setUnsentLimit(_ byteCount: Int) {
    let limit = CInt(clamping: max(Self.unsentLimitMinimum, byteCount))
    _ = shim_set_int_option(descriptor, CInt(IPPROTO_TCP), TCP_NOTSENT_LOWAT, limit)
  }

  /// The errno that ended or refused the connection; nil when there is none. Clears it.
  public func takeError() -> CInt? {
    let code = shim_int_option(descriptor, SOL_SOCKET, SO_ERROR)
    return code > 0 ? code : nil
  }

  public var localAddress: DatagramAddress? { SocketAddress.local(of: descriptor)?.datagram }
  /// nil until connected.
  public var peerAddress: DatagramAddress? { SocketAddress.peer(of: descriptor)?.datagram }

  /// The next close sends RST: what is queued is worth nothing any more.
  public func abortOnClose() { _ = shim_set_abortive_close(descriptor) }

  /// nil when the connection is gone.
  public func info() -> TCPPathInfo? {
    var info = shim_tcp_path_info()
    guard unsafe shim_tcp_path_info(descriptor, &info) == 0 else { return nil }
    let segment = Int(info.segment_bytes)
    return TCPPathInfo(
      deliveryRate: info.delivery_rate, isApplicationLimited: info.application_limited != 0, roundTripTime: .microseconds(Int(info.rtt)),
      roundTripVariation: .microseconds(Int(info.rtt_variation)), minimumRoundTripTime: .microseconds(Int(info.minimum_rtt)),
      unsentByteCount: Int(info.notsent_bytes), congestionWindowByteCount: Int(info.congestion_window) * segment,
      unacknowledgedByteCount: Int(info.unacknowledged) * segment, retransmissionCount: info.retransmissions,

      deliveredByteCount: info.acknowledged_bytes &+ UInt64(info.sacked) &* UInt64(info.segment_bytes), isEstablished: info.state == 1
    )
  }

  /// What a call on the stream gave.
  public enum Transfer: Equatable, Sendable, BitwiseCopyable {
    case bytes(Int)
    case wouldBlock
    /// The peer closed (receive only).
    case end
    /// An errno: the connection is over.
    case failed(CInt)
  }

  /// Up to `count` > 0 bytes.
  @unsafe public func receive(into bytes: UnsafeMutablePointer<UInt8>, count: Int) -> Transfer {
    let result = unsafe shim_receive(descriptor, bytes, count)
    return result == 0 ? .end : Self.transfer(result)
  }

  /// Writes what the kernel takes.
  @unsafe public func send(_ bytes: UnsafePointer<UInt8>, count: Int) -> Transfer {
    Self.transfer(unsafe shim_send(descriptor, bytes, count, 0))
  }

  /// Writes what the kernel takes of several pieces, in order. At most `pieceLimit`; SIGPIPE must be ignored.
  @unsafe public func send(_ pieces: UnsafePointer<MemoryPiece>, count: Int) -> Transfer {
    Self.transfer(unsafe shim_write_pieces(descriptor, pieces, CInt(count)))
  }

  /// Pieces that one call takes (IOV_MAX).
  public static let pieceLimit = 1024

  private static func transfer(_ result: Int) -> Transfer {
    if result >= 0 { return .bytes(result) }
    return result == -Int(EAGAIN) ? .wouldBlock : .failed(CInt(truncatingIfNeeded: -result))
  }
}
