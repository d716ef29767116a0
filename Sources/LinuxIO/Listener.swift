internal import CLinux
internal import CausewayBase
internal import Glibc

/// A listening stream socket on one event loop. It accepts up to 64 connections a turn and hands each over, non-blocking.
///
/// When the process has no descriptor left it sheds what waits (those peers see a closed connection at once, instead of hanging)
/// and pauses for 100 ms, so that the loop does not spin on a listener that stays readable.
public final class Listener: EventHandler {
  /// Connections accepted in one turn, at most.
  public static let acceptsPerTurn = 64
  /// How long it pauses without descriptors or memory.
  public static let exhaustionPause = Duration.milliseconds(100)

  public struct Options: Sendable {
    /// Several loops listen on the same port, the kernel spreads connections (SO_REUSEPORT). All of them must set it.
    public var sharesPort = false
    /// Wake only for connections that have sent something within so many seconds (TCP_DEFER_ACCEPT); 0 is off. Never for protocols
    /// where the server speaks first.
    public var deferSeconds: CInt = 0
    /// An IPv6 listener that takes no IPv4.
    public var onlyIPv6 = false
    /// Connections the kernel keeps for us; it caps this at net.core.somaxconn.
    public var backlog: CInt = 4096
    public init() {}
  }

  /// Where it listens; the real port where 0 was asked for.
  public let address: SocketAddress
  /// Connections handed over, and connections shed for want of descriptors.
  public private(set) var acceptedCount: UInt64 = 0
  public private(set) var shedCount: UInt64 = 0
  public private(set) var isPaused = false

  private let loop: EventLoop
  private let accepted: (consuming FileDescriptor, SocketAddress) -> Void
  private var descriptor: CInt
  private var registration: EventLoop.Registration?
  private var acceptor = Acceptor()
  private var resumption: LoopTimer?
  private var pausedByCaller = false
  /// The socket file that we made, so that `close` removes no other.
  private var socketFile: (device: UInt64, inode: UInt64)?

  /// Listens at once. `accepted` runs on the loop with the peer's address (unmapped). TCP_NODELAY is on and inherited.
  public init(
    _ address: SocketAddress, options: Options = Options(), on loop: EventLoop,
    _ accepted: @escaping (consuming FileDescriptor, SocketAddress) -> Void
  ) throws(SystemError) {
    let socket = try Self.open(address, options)
    self.loop = loop
    self.accepted = accepted
    if address.family == .unix {
      self.address = address
      if let path = address.path, let status = FileStatus(path: path) { socketFile = (status.device, status.inode) }
    } else {
      // Not `unmapped`: it shows what was bound.
      self.address = SocketAddress.local(of: socket.rawValue) ?? address
    }
    descriptor = socket.release()
    registration = try loop.register(descriptor, self, levelTriggered: true)
    resumption = LoopTimer(loop) { [unowned self] _ in resumeAfterExhaustion() }
  }

  deinit {
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
  }

  public var isOpen: Bool { descriptor >= 0 }

  /// Leaves new connections in the kernel's backlog until `resume`.
  public func pause() {
    pausedByCaller = true
    updatePause()
  }

  public func resume() {
    pausedByCaller = false
    updatePause()
  }

  /// Stops listening; what waits in the backlog is reset. The callback is not called again.
  public func close() {
    guard descriptor >= 0 else { return }
    if let registration { loop.deregister(registration) }
    registration = nil
    resumption = nil
    removeSocketFile()
    _ = Glibc.close(descriptor)
    descriptor = -1
  }

  // MARK: Accepting

  public func handle(_ readiness: Readiness) {
    var left = Self.acceptsPerTurn
    while left > 0 && descriptor >= 0 && !isPaused {
      left -= 1
      switch acceptor.next(from: descriptor) {
      case .connection(let connection, let peer):
        acceptedCount += 1
        accepted(connection, peer)
      case .empty: return
      case .noDescriptors:
        shed(left)
        return pauseForExhaustion()
      case .failed: return pauseForExhaustion()
      }
    }
  }

  /// Closes up to `limit` waiting connections.
  private func shed(_ limit: Int) {
    for _ in 0..<limit {
      guard acceptor.shed(from: descriptor) else { return }
      shedCount += 1
    }
  }

  private func pauseForExhaustion() {
    resumption?.set(after: Self.exhaustionPause)
    updatePause()
  }

  private func resumeAfterExhaustion() {
    acceptor.restoreSpare()
    updatePause()
  }

  private func updatePause() {
    guard let registration else { return }
    let mustPause = pausedByCaller || resumption?.isArmed == true
    guard mustPause != isPaused else { return }
    isPaused = mustPause
    loop.setPaused(registration, mustPause)
  }

  // MARK: Opening

  private static func open(_ address: SocketAddress, _ options: Options) throws(SystemError) -> FileDescriptor {
    func check(_ result: CInt, _ call: StaticString) throws(SystemError) {
      if result < 0 { throw SystemError(-result, "\(call) \(address)") }
    }
    let raw = shim_socket(address.domain, CInt(SOCK_STREAM.rawValue), 0)
    try check(raw, "socket for")
    let socket = FileDescriptor(adopting: raw)
    if address.family == .unix {
      // Its file gets the descriptor's mode at bind: no moment in which others may connect.
      try check(CInt(shim_result(Int(fchmod(raw, 0o600)))), "fchmod of")
      removeStaleFile(address)
    } else {
      try check(shim_set_int_option(raw, SOL_SOCKET, SO_REUSEADDR, 1), "SO_REUSEADDR on")
      if options.sharesPort { try check(shim_set_int_option(raw, SOL_SOCKET, SO_REUSEPORT, 1), "SO_REUSEPORT on") }
      if address.family == .ipv6 {
        try check(shim_set_int_option(raw, CInt(IPPROTO_IPV6), IPV6_V6ONLY, options.onlyIPv6 ? 1 : 0), "IPV6_V6ONLY on")
      }
      if options.deferSeconds > 0 {
        try check(shim_set_int_option(raw, CInt(IPPROTO_TCP), TCP_DEFER_ACCEPT, options.deferSeconds), "TCP_DEFER_ACCEPT on")
      }
      try check(shim_set_int_option(raw, CInt(IPPROTO_TCP), TCP_NODELAY, 1), "TCP_NODELAY on")
    }
    try check(address.bind(raw), "bind to")
    try check(CInt(shim_result(Int(listen(raw, options.backlog)))), "listen on")
    return socket
  }

  /// Removes the file of a socket that nobody listens on any more, as a killed process leaves it; a live one makes `bind` fail.
  private static func removeStaleFile(_ address: SocketAddress) {
    guard let path = address.path, let status = FileStatus(path: path), status.isSocket else { return }
    let probe = shim_socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    guard probe >= 0 else { return }
    if address.connect(probe) == -ECONNREFUSED { _ = unsafe unlink(path) }
    _ = Glibc.close(probe)
  }

  private func removeSocketFile() {
    guard let socketFile, let path = address.path, let status = FileStatus(path: path) else { return }
    if status.device == socketFile.device && status.inode == socketFile.inode { _ = unsafe unlink(path) }
  }
}
