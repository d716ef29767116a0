internal import CLinux
public import CausewayBase

/// Whoever reads and writes a stream. Called on the loop's thread.
public protocol TCPStreamOwner: AnyObject {
  /// Something may be possible again: look at `isReadable`, write what waits. Called after readiness events and, when the owner
  /// asked with `continueSoon()`, once more in the next turn. Spurious calls are allowed.
  func streamIsReady(_ stream: TCPStream)
}

/// What a read brought.
public enum ReadOutcome: Equatable, Sendable {
  case bytes(Int)
  /// Nothing now; `streamIsReady` follows.
  case wouldBlock
  /// The peer finished its direction in order.
  case end
  /// The connection is broken: reset, timed out, or (TLS) cut without close_notify.
  case failed(SystemError)
}

/// What a write took.
public enum WriteOutcome: Equatable, Sendable {
  /// So many bytes are with the kernel; fewer than offered means: wait for `streamIsReady`.
  case bytes(Int)
  case failed(SystemError)
}

/// A non-blocking connected stream socket (TCP or unix-domain) on one event loop, plain or under TLS.
///
/// Reads and writes are direct system calls into and out of the caller's memory: no buffer is held for an idle plain stream. Back-pressure
/// is the caller's: it stops reading, and keeps what a write did not take.
public final class TCPStream: EventHandler {
  /// Bytes that one call of `read` asks of the kernel at most.
  public static let readByteCount = 64 * 1024

  public let loop: EventLoop
  /// Who is called when something may be possible. Held strongly until `close`: a weak reference would cost every event, and an open
  /// stream without an owner is a leak anyway.
  public var owner: (any TCPStreamOwner)?
  /// The layer between, or nil for a plain stream.
  public private(set) var tls: TLSLayer?
  private var descriptor: CInt
  private var registration: EventLoop.Registration?
  private var socketIsReadable = false
  private var socketIsWritable = true
  private var sawPeerEnd = false
  private var willContinue = false
  private var isAborting = false

  /// Takes over a connected, non-blocking descriptor.
  public init(adopting descriptor: consuming FileDescriptor, on loop: EventLoop) throws(SystemError) {
    self.loop = loop
    self.descriptor = descriptor.release()
    registration = nil
    registration = try loop.register(self.descriptor, self)
  }

  deinit {
    if descriptor >= 0 { _ = CLinux.close(descriptor) }
  }

  /// A read may bring bytes or an end. Cleared when a read finds nothing.
  public var isReadable: Bool { tls.map(\.isReadable) ?? socketIsReadable }
  /// A write may take bytes. Cleared when the kernel took fewer than offered.
  public var isWritable: Bool { tls.map(\.isWritable) ?? socketIsWritable }
  public var isOpen: Bool { descriptor >= 0 }
  /// The kernel reported an error. Behind an end that was read already nothing else tells: reads go on finding that end.
  public private(set) var hasFailed = false
  public var fileDescriptor: CInt { descriptor }

  public func handle(_ readiness: Readiness) {
    guard descriptor >= 0 else { return }
    if readiness.isEmpty { willContinue = false }
    if readiness.contains(.failed) { hasFailed = true }
    if let tls {
      tls.handle(readiness)
      if !tls.isHandshaking { owner?.streamIsReady(self) }
      return tls.settle()
    }
    if !readiness.isDisjoint(with: [.readable, .failed, .hungUp, .peerFinished]) {
      socketIsReadable = true
      if !readiness.isDisjoint(with: [.peerFinished, .failed, .hungUp]) { sawPeerEnd = true }
    }
    if !readiness.isDisjoint(with: [.writable, .failed, .hungUp]) { socketIsWritable = true }
    owner?.streamIsReady(self)
  }

  /// Calls the owner again in the next turn: for one that stopped at its budget with more to do.
  public func continueSoon() {
    guard !willContinue, descriptor >= 0 else { return }
    willContinue = true
    loop.runSoon(self)
  }

  /// Reads once into `memory` (not empty).
  public func read(into memory: UnsafeMutableRawBufferPointer) -> ReadOutcome {
    guard descriptor >= 0 else { return .end }
    if let tls { return unsafe tls.read(into: memory) }
    // SAFETY: the caller's memory, for the length of the call.
    let result = unsafe shim_receive(descriptor, memory.baseAddress, memory.count)
    if result > 0 {
      // A short read has drained the socket, unless an end is queued behind it (epoll(7), edge-triggered).
      if result < memory.count && !sawPeerEnd { socketIsReadable = false }
      return .bytes(result)
    }
    if result == 0 { return .end }
    if result == -Int(EAGAIN) {
      socketIsReadable = false
      return .wouldBlock
    }
    return .failed(SystemError(CInt(-result), "recv"))
  }

  /// Reads once, appending at most `maximum` bytes to `buffer`.
  public func read(into buffer: ByteBuffer, atMost maximum: Int = TCPStream.readByteCount) -> ReadOutcome {
    unsafe buffer.withFreeSpace(atLeast: maximum) { space in
      let outcome = unsafe read(into: UnsafeMutableRawBufferPointer(rebasing: space.prefix(maximum)))
      if case .bytes(let count) = outcome { return (count, outcome) }
      return (0, outcome)
    }
  }

  /// Writes as much of `bytes` as the kernel takes.
  public func write(_ bytes: Span<UInt8>, more: Bool = false) -> WriteOutcome {
    guard descriptor >= 0 else { return .failed(SystemError(EPIPE, "send")) }
    if bytes.isEmpty { return .bytes(0) }
    if let tls { return unsafe bytes.withUnsafeBytes { unsafe tls.write($0, UnsafeRawBufferPointer(start: nil, count: 0)) } }
    // SAFETY: the span outlives the call.
    let result = unsafe bytes.withUnsafeBufferPointer { unsafe shim_send(descriptor, $0.baseAddress, $0.count, more ? 1 : 0) }
    return outcome(of: result, offered: bytes.count)
  }

  /// Writes two pieces in one system call: a head and a body, without joining them first.
  public func write(_ first: Span<UInt8>, _ second: Span<UInt8>) -> WriteOutcome {
    guard descriptor >= 0 else { return .failed(SystemError(EPIPE, "sendmsg")) }
    if first.isEmpty { return write(second) }
    if second.isEmpty { return write(first) }
    if let tls { return unsafe first.withUnsafeBytes { a in unsafe second.withUnsafeBytes { b in unsafe tls.write(a, b) } } }
    // SAFETY: both spans outlive the call.
    let result = unsafe first.withUnsafeBufferPointer { a in
      unsafe second.withUnsafeBufferPointer { b in unsafe shim_send_two(descriptor, a.baseAddress, a.count, b.baseAddress, b.count) }
    }
    return outcome(of: result, offered: first.count + second.count)
  }

  /// Pieces that one call of `write(_:pieces:)` takes at most.
  public static let pieceLimit = 64

  /// Writes pieces of one buffer in one system call (up to `pieceLimit`): what arrived together but with something in between.
  public func write(_ bytes: Span<UInt8>, pieces: [Range<Int>]) -> WriteOutcome {
    guard descriptor >= 0 else { return .failed(SystemError(EPIPE, "sendmsg")) }
    if tls != nil || pieces.count == 1 { return writeOneByOne(bytes, pieces) }
    var offered = 0
    for piece in pieces.prefix(Self.pieceLimit) {
      precondition(piece.upperBound <= bytes.count, "piece outside the buffer")
      offered += piece.count
    }
    // SAFETY: every piece lies inside the span (checked), which outlives the call; a Range<Int> is its two bounds, in order.
    let result = unsafe bytes.withUnsafeBytes { base in
      unsafe pieces.withUnsafeBytes { bounds in
        unsafe shim_send_pieces(
          descriptor, base.baseAddress, bounds.assumingMemoryBound(to: Int.self).baseAddress, CInt(clamping: pieces.count))
      }
    }
    return outcome(of: result, offered: offered)
  }

  private func writeOneByOne(_ bytes: Span<UInt8>, _ pieces: [Range<Int>]) -> WriteOutcome {
    var total = 0
    for piece in pieces {
      guard case .bytes(let count) = write(bytes.extracting(piece)) else {
        return total > 0 ? .bytes(total) : .failed(SystemError(EPIPE, "send"))
      }
      total += count
      if count < piece.count { break }
    }
    return .bytes(total)
  }

  private func outcome(of result: Int, offered: Int) -> WriteOutcome {
    if result >= 0 {
      if result < offered { socketIsWritable = false }
      return .bytes(result)
    }
    if result == -Int(EAGAIN) {
      socketIsWritable = false
      return .bytes(0)
    }
    return .failed(SystemError(CInt(-result), "send"))
  }

  /// Ends our direction (FIN) once the kernel has sent what it took; the other direction goes on.
  public func finishWriting() {
    guard descriptor >= 0 else { return }
    if let tls { return tls.finishWriting() }
    _ = CLinux.shutdown(descriptor, CInt(SHUT_WR))
  }

  /// Closes. Unread input makes the kernel send RST: see lingering close where that matters.
  public func close() {
    guard descriptor >= 0 else { return }
    if let registration { loop.deregister(registration) }
    registration = nil
    if let tls, !isAborting, !tls.prepareToClose() {
      TLSLinger.start(tls, descriptor, loop)
    } else {
      tls?.detach()
      _ = CLinux.close(descriptor)
    }
    descriptor = -1
    socketIsReadable = false
    socketIsWritable = false
    let last = owner
    owner = nil
    withExtendedLifetime(last) {}  // its deinit must not run inside the write to `owner`
  }

  /// Closes with RST: the peer sees a cut connection, not an end.
  public func abort() {
    guard descriptor >= 0 else { return }
    _ = shim_set_abortive_close(descriptor)
    isAborting = true
    close()
  }

  // MARK: TLS

  /// Puts TLS between this stream and its socket, from here on. Server or client as `context` says.
  ///
  /// Until the handshake is done the stream is neither readable nor writable and its owner is not called; then, or when it failed,
  /// `streamIsReady` comes and `tlsState` tells which. Reads and writes of a failed stream fail. Time limits are the caller's.
  /// - Parameters:
  ///   - serverName: Of a client: the name or address that the certificate must have and, unless an address, the SNI.
  ///   - alpn: Application protocols, best first. A server that has some refuses clients that offer only others.
  public func startTLS(_ context: TLSContext, serverName: String? = nil, alpn: [String] = []) throws(TLSError) {
    precondition(tls == nil, "TLS was started twice")
    guard descriptor >= 0 else { throw TLSError(.connectionCut, "cannot start TLS: the connection is closed") }
    let layer = try TLSLayer(
      context, serverName: serverName, applicationProtocols: alpn, descriptor: descriptor, pool: loop.tlsBuffers)
    tls = layer
    layer.progress()
    if !layer.isHandshaking { continueSoon() }
  }

  /// Nil on a plain stream.
  public var tlsState: TLSState? { tls?.state }

  // MARK: What the kernel knows

  /// Bytes taken by `write` that the peer's TCP has not acknowledged yet. Under TLS it counts ciphertext, which is never less.
  public var unacknowledgedByteCount: Int {
    descriptor >= 0 ? max(0, Int(shim_unacknowledged_bytes(descriptor))) + (tls?.waitingByteCount ?? 0) : 0
  }

  /// The least round-trip time that the kernel saw lately, in nanoseconds; 0 when unknown. Not the smoothed one, which holds our own queue.
  public var minimumRTTNanoseconds: UInt64 { descriptor >= 0 ? UInt64(shim_tcp_minimum_rtt_us(descriptor)) * 1000 : 0 }

  public func setNoDelay(_ on: Bool = true) { setOption(CInt(IPPROTO_TCP), TCP_NODELAY, on ? 1 : 0) }
  /// Bytes not yet sent that the kernel may hold before it stops being writable (TCP_NOTSENT_LOWAT).
  public func setNotSentLowWater(_ byteCount: Int) { setOption(CInt(IPPROTO_TCP), TCP_NOTSENT_LOWAT, CInt(clamping: byteCount)) }
  /// How long sent bytes may stay unacknowledged before the connection fails (TCP_USER_TIMEOUT).
  public func setUserTimeout(_ limit: Duration) {
    setOption(CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, CInt(clamping: limit.wholeNanoseconds / 1_000_000))
  }

  private func setOption(_ level: CInt, _ name: CInt, _ value: CInt) {
    guard descriptor >= 0 else { return }
    _ = shim_set_int_option(descriptor, level, name, value)
  }
}
