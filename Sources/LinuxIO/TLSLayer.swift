internal import CLinux
internal import COpenSSL

/// Where a stream's TLS stands.
public enum TLSState: Equatable, Sendable {
  case handshaking
  case established
  case failed(TLSError)
}

/// TLS between a `TCPStream` and its socket: owns one SSL object and, while ciphertext waits for the kernel, one block of memory.
///
/// Reading: OpenSSL asks our BIO for ciphertext and gets as much as its read-ahead buffer holds from one recv(2); the buffer is freed
/// when a read finds nothing more. Writing: records are gathered in a block borrowed from the loop's pool and leave in one send(2);
/// the block returns to the pool once empty. So an idle stream holds the SSL object and no buffer.
@safe public final class TLSLayer {
  /// Plaintext in a full record (RFC 8446 §5.1).
  public static let recordByteCount = 16384
  /// Plaintext encrypted for one send. What the kernel does not take of it waits here: at most so much lies between the caller and
  /// the kernel.
  public static let batchByteCount = 128 * 1024

  public private(set) var isReadable = false
  public private(set) var isWritable = false
  /// What the server name indication asked for (server), or the name that the certificate was checked against (client).
  public private(set) var serverName: String?
  /// The protocol chosen by ALPN.
  public private(set) var applicationProtocol: String?
  /// No certificate was exchanged: the handshake continued an earlier session.
  public private(set) var isResumed = false

  private let ssl: OpaquePointer
  private let context: TLSContext
  private let pool: TLSBufferPool
  private var descriptor: CInt

  private enum Phase { case handshaking, established, failed }
  private var phase = Phase.handshaking
  private var wasEstablished = false
  private var failure: TLSError?
  /// What every read returns from now on.
  private var readEnd: ReadOutcome?
  private var writeError: SystemError?
  private var finishRequested = false
  private var finishSent = false
  /// Inside `handle`: small leftovers of the handshake wait for what the owner writes.
  private var isHandling = false

  // What the socket said.
  private var socketReadable = true
  private var socketWritable = true
  private var sawPeerEnd = false
  private var sawEndOfFile = false
  private var socketError: SystemError?
  private var peerSpeaksTLS: Bool?
  private var peerSpeaksHTTP = false

  // Ciphertext on its way out.
  private var output: UnsafeMutableRawPointer?
  private var outputStart = 0
  private var outputEnd = 0

  // For the callbacks.
  var verificationFailure: TLSError?
  let offeredProtocols: [UInt8]
  private let sessionName: String
  /// A ticket arrived: OpenSSL prepared to answer and would keep that memory until our next write.
  private var hasHandshakeBuffers = false

  init(
    _ context: TLSContext, serverName: String?, applicationProtocols: [String], descriptor: CInt, pool: TLSBufferPool
  ) throws(TLSError) {
    let handle = context.handle
    offeredProtocols = try Self.encode(applicationProtocols)
    guard let ssl = unsafe SSL_new(handle.pointer), let bio = unsafe BIO_new(SocketBIO.method.pointer) else {
      throw TLSError(.configuration, "OpenSSL cannot make a connection (\(QueuedError.drain()?.text ?? "out of memory"))")
    }
    unsafe self.ssl = ssl
    self.context = context
    self.pool = pool
    self.descriptor = descriptor
    sessionName = "\(serverName ?? "")\u{0}\(applicationProtocols.joined(separator: ","))"
    unsafe output = nil
    // SAFETY: the SSL object and its BIO die in this object's deinit, so the unretained address outlives every callback.
    let address = unsafe Unmanaged.passUnretained(self).toOpaque()
    unsafe BIO_set_data(bio, address)
    unsafe BIO_set_init(bio, 1)
    unsafe SSL_set_bio(ssl, bio, bio)
    unsafe SSL_set_ex_data(ssl, 0, address)
    if context.isServer {
      unsafe SSL_set_accept_state(ssl)
    } else {
      unsafe SSL_set_connect_state(ssl)
      try prepareClient(serverName)
    }
  }

  deinit {
    // A cut connection must not make its session unusable for the reconnect, which is OpenSSL's way with connections that it
    // believes were not shut down. Failed handshakes and broken records do end their session.
    if phase == .established || (wasEstablished && failure?.code == .connectionCut) {
      unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
    }
    unsafe SSL_free(ssl)
    if let output = unsafe output { unsafe pool.give(output) }
  }

  private func prepareClient(_ name: String?) throws(TLSError) {
    let host = name.map(TLSHostName.init)
    if let host, !host.isPlausible { throw TLSError(.configuration, "the server's name holds characters that no name has: check the URL") }
    serverName = host?.text
    if context.verifiesPeer {
      guard let host, !host.text.isEmpty else {
        throw TLSError(.configuration, "a verified TLS connection needs the server's name: give one, or connect insecurely")
      }
      let accepted: CInt
      if host.isAddress {
        accepted = unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.text)
      } else {
        unsafe SSL_set_hostflags(ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        accepted = unsafe SSL_set1_host(ssl, host.text)
      }
      guard accepted == 1 else {
        ERR_clear_error()
        throw TLSError(.configuration, "'\(host.text)' is not a valid server name: check the URL")
      }
    }
    if let host, !host.isAddress, !host.text.isEmpty, unsafe shim_ssl_set_server_name(ssl, host.text) != 1 {
      ERR_clear_error()
      throw TLSError(.configuration, "'\(host.text)' is not a valid server name: check the URL")
    }
    if !offeredProtocols.isEmpty { unsafe SSL_set_alpn_protos(ssl, offeredProtocols, UInt32(offeredProtocols.count)) }
    if let session = context.sessions.take(for: sessionName) { unsafe SSL_set_session(ssl, session.pointer) }
  }

  /// ALPN's form: each name behind its length (RFC 7301 §3.1).
  private static func encode(_ protocols: [String]) throws(TLSError) -> [UInt8] {
    var wire: [UInt8] = []
    for name in protocols {
      guard (1...255).contains(name.utf8.count) else { throw TLSError(.configuration, "'\(name)' cannot be an ALPN name: 1 to 255 bytes") }
      wire.append(UInt8(name.utf8.count))
      wire += name.utf8
    }
    return wire
  }

  // MARK: State

  public var state: TLSState {
    switch phase {
    case .handshaking: .handshaking
    case .established: .established
    case .failed: .failed(failure ?? TLSError(.protocolViolation, "TLS failed"))
    }
  }

  var isHandshaking: Bool { phase == .handshaking }
  /// Ciphertext that the kernel has not taken.
  var waitingByteCount: Int { outputEnd &- outputStart }

  /// "TLSv1.3" and the like; for logs.
  public var protocolVersion: String { unsafe String(cString: SSL_get_version(ssl)) }
  public var cipher: String { unsafe String(cString: SSL_CIPHER_get_name(SSL_get_current_cipher(ssl))) }

  // MARK: Readiness

  /// Takes in what epoll said, goes on with the handshake, and sends what waited. The owner is called after this, then `settle`.
  func handle(_ readiness: Readiness) {
    isHandling = true
    if !readiness.isDisjoint(with: [.readable, .failed, .hungUp, .peerFinished]) {
      socketReadable = true
      if !readiness.isDisjoint(with: [.peerFinished, .failed, .hungUp]) { sawPeerEnd = true }
      if phase != .handshaking { isReadable = true }
    }
    if !readiness.isDisjoint(with: [.writable, .failed, .hungUp]) {
      socketWritable = true
      if waitingByteCount > 0 { flush() }
      if phase != .handshaking && socketWritable { isWritable = true }
    }
    if phase == .handshaking { progress() }
  }

  /// Sends what the owner's calls left behind.
  func settle() {
    isHandling = false
    if waitingByteCount > 0 && socketWritable { flush() }
  }

  /// One step of the handshake; at its end, or its failure, the stream becomes readable and writable.
  func progress() {
    clearQueue()
    let result = unsafe SSL_do_handshake(ssl)
    if result == 1 {
      establish()
      return
    }
    let reason = unsafe SSL_get_error(ssl, result)
    if reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE { fail(handshakeError()) }
    flush()
  }

  private func establish() {
    phase = .established
    wasEstablished = true
    isReadable = true
    isWritable = socketWritable
    isResumed = unsafe SSL_session_reused(ssl) == 1
    unsafe SSL_free_buffers(ssl)  // SSL_MODE_RELEASE_BUFFERS leaves the handshake's
    if context.isServer {
      serverName = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { unsafe String(cString: $0) }
    }
    var name: UnsafePointer<UInt8>? = nil
    var count: UInt32 = 0
    unsafe SSL_get0_alpn_selected(ssl, &name, &count)
    // SAFETY: the name belongs to the SSL object and is copied here.
    if let name = unsafe name {
      applicationProtocol = unsafe String(decoding: UnsafeBufferPointer(start: name, count: Int(count)), as: UTF8.self)
    }
    if finishRequested { sendFinish() }
    if !isHandling { flush() }
  }

  private func fail(_ error: TLSError) {
    phase = .failed
    failure = error
    readEnd = readEnd ?? .failed(socketError ?? SystemError(sawEndOfFile ? ECONNRESET : EPROTO, "TLS"))
    writeError = writeError ?? socketError ?? SystemError(EPROTO, "TLS")
    isReadable = true
    isWritable = true
  }

  // MARK: Reading

  func read(into memory: UnsafeMutableRawBufferPointer) -> ReadOutcome {
    if let readEnd { return readEnd }
    if phase == .handshaking { return .wouldBlock }
    clearQueue()
    var total = 0
    while total < memory.count {
      // SAFETY: the caller's memory, from `total` to its end.
      let result = unsafe SSL_read(ssl, memory.baseAddress.unsafelyUnwrapped + total, CInt(clamping: memory.count &- total))
      if result > 0 {
        total &+= Int(result)
        // Nothing is buffered on either side: asking again would only cost a round through OpenSSL.
        if !socketReadable, unsafe SSL_has_pending(ssl) == 0 {
          isReadable = false
          break
        }
        continue
      }
      let reason = unsafe SSL_get_error(ssl, result)
      if reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE {
        isReadable = false
      } else if reason == SSL_ERROR_ZERO_RETURN {
        readEnd = .end
      } else {
        fail(streamError())
      }
      break
    }
    if hasHandshakeBuffers {
      hasHandshakeBuffers = false
      unsafe SSL_free_buffers(ssl)  // does nothing while bytes are in them
    }
    if waitingByteCount > 0 && !isHandling && socketWritable { flush() }  // the answer to a key update
    if total > 0 { return .bytes(total) }
    return readEnd ?? .wouldBlock
  }

  /// Ciphertext for OpenSSL: called by the BIO.
  /// - Returns: Bytes, 0 at the end of the stream, -1 with `mayRetry` when there is nothing now, -1 on errors.
  func receive(into memory: UnsafeMutableRawPointer, count: Int) -> (result: CInt, mayRetry: Bool) {
    guard socketReadable, descriptor >= 0 else { return (-1, true) }
    // SAFETY: OpenSSL's memory, for the length of the call.
    let result = unsafe shim_receive(descriptor, memory, count)
    if result > 0 {
      // A short read has drained the socket, unless an end is queued behind it (epoll(7), edge-triggered).
      if result < count && !sawPeerEnd { socketReadable = false }
      if peerSpeaksTLS == nil { unsafe judgeFirstBytes(UnsafeRawBufferPointer(start: memory, count: result)) }
      return (CInt(result), false)
    }
    if result == 0 {
      sawEndOfFile = true
      return (0, false)
    }
    if result == -Int(EAGAIN) {
      socketReadable = false
      return (-1, true)
    }
    socketError = SystemError(CInt(-result), "recv")
    return (-1, false)
  }

  /// The first byte of a TLS stream is a record type, the second 3 (RFC 8446 §5.1).
  private func judgeFirstBytes(_ bytes: UnsafeRawBufferPointer) {
    peerSpeaksTLS = unsafe (20...23).contains(bytes[0]) && (bytes.count < 2 || bytes[1] == 3)
    peerSpeaksHTTP = unsafe !context.isServer ? bytes.starts(with: "HTTP/".utf8) : (65...90).contains(bytes[0])
  }

  // MARK: Writing

  /// Encrypts and sends. The plaintext that was taken counts, even if some of its ciphertext waits here for the kernel.
  func write(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> WriteOutcome {
    if let writeError { return .failed(writeError) }
    if finishRequested { return .failed(SystemError(EPIPE, "send")) }
    guard phase == .established, socketWritable else {
      isWritable = false
      return .bytes(0)
    }
    clearQueue()
    let total = first.count &+ second.count
    var accepted = 0
    while accepted < total {
      let batch = unsafe encryptBatch(first, second, from: accepted)
      accepted &+= batch
      flush()
      if let writeError { return .failed(writeError) }
      if batch == 0 || !socketWritable { break }
    }
    isWritable = socketWritable
    return .bytes(accepted)
  }

  /// Encrypts at most a batch of what follows `offset` in both pieces. A record is filled across the border between them.
  private func encryptBatch(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, from offset: Int) -> Int {
    let total = first.count &+ second.count
    let end = min(total, offset &+ Self.batchByteCount)
    var position = offset
    // SAFETY: every part below lies inside the caller's two pieces, or in the joining block, which holds more than a record.
    while position < end {
      let left = first.count &- position
      let taken: Int
      if left <= 0 {
        taken = end &- position
        guard unsafe encrypt(second.baseAddress.unsafelyUnwrapped + (position &- first.count), taken) else { break }
      } else if unsafe second.isEmpty || left >= Self.recordByteCount {
        let whole = unsafe second.isEmpty ? left : left / Self.recordByteCount * Self.recordByteCount
        taken = min(whole, end &- position)
        guard unsafe encrypt(first.baseAddress.unsafelyUnwrapped + position, taken) else { break }
      } else {
        let borrowed = min(second.count, Self.recordByteCount &- left)
        let joined = unsafe pool.take()
        unsafe joined.copyMemory(from: first.baseAddress.unsafelyUnwrapped + position, byteCount: left)
        unsafe (joined + left).copyMemory(from: second.baseAddress.unsafelyUnwrapped, byteCount: borrowed)
        taken = left &+ borrowed
        let done = unsafe encrypt(joined, taken)
        unsafe pool.give(joined)
        guard done else { break }
      }
      position &+= taken
    }
    return position &- offset
  }

  /// All or nothing: the BIO takes whatever OpenSSL makes.
  private func encrypt(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
    let result = unsafe SSL_write(ssl, bytes, CInt(count))
    if result == CInt(count) { return true }
    _ = unsafe SSL_get_error(ssl, result)
    fail(streamError())
    return false
  }

  /// Ciphertext from OpenSSL: called by the BIO. Refuses only a peer that makes us answer without ever reading.
  func enqueue(_ bytes: UnsafeRawPointer, count: Int) -> Bool {
    guard outputEnd &+ count <= TLSBufferPool.blockByteCount else { return false }
    if unsafe output == nil { unsafe output = pool.take() }
    // SAFETY: the block has room for `count` more bytes.
    unsafe (output.unsafelyUnwrapped + outputEnd).copyMemory(from: bytes, byteCount: count)
    outputEnd &+= count
    return true
  }

  /// Sends what waits, in one system call. Afterwards nothing waits, or `socketWritable` is false, or `writeError` is set.
  private func flush() {
    while outputStart < outputEnd {
      // SAFETY: the filled part of our block.
      let result = unsafe shim_send(descriptor, output.unsafelyUnwrapped + outputStart, waitingByteCount, 0)
      if result == -Int(EAGAIN) {
        socketWritable = false
        return
      }
      if result < 0 {
        writeError = writeError ?? SystemError(CInt(-result), "send")
        isWritable = true
        break
      }
      if result < waitingByteCount { socketWritable = false }
      outputStart &+= result
      if !socketWritable { return }
    }
    outputStart = 0
    outputEnd = 0
    if let block = unsafe output {
      unsafe pool.give(block)
      unsafe output = nil
    }
    if finishRequested && !finishSent && phase != .handshaking {
      finishSent = true
      _ = CLinux.shutdown(descriptor, CInt(SHUT_WR))
    }
  }

  // MARK: Ending

  /// close_notify, then FIN as soon as all ciphertext is with the kernel.
  func finishWriting() {
    guard !finishRequested else { return }
    finishRequested = true
    if phase != .handshaking {
      sendFinish()
      if socketWritable { flush() }
    }
  }

  private func sendFinish() {
    guard phase == .established else { return }
    clearQueue()
    if unsafe SSL_shutdown(ssl) < 0 { ERR_clear_error() }
  }

  /// Ends our direction in order, for a stream that is being closed.
  /// - Returns: Whether the kernel has everything; if not, the descriptor must stay open until `flushWaiting` says so.
  func prepareToClose() -> Bool {
    if phase == .established && !finishRequested { sendFinish() }
    return flushWaiting()
  }

  func flushWaiting() -> Bool {
    if writeError == nil { flush() }
    return waitingByteCount == 0 || writeError != nil
  }

  func noteWritable() { socketWritable = true }

  /// Forgets the socket, which is closed or about to be.
  func detach() {
    descriptor = -1
    isReadable = false
    isWritable = false
    outputStart = 0
    outputEnd = 0
    if let block = unsafe output {
      unsafe pool.give(block)
      unsafe output = nil
    }
  }

  // MARK: Errors

  /// SSL_get_error blames whatever lies in the queue, so it must be empty before each operation.
  private func clearQueue() { if ERR_peek_error() != 0 { ERR_clear_error() } }

  private func handshakeError() -> TLSError {
    let queued = QueuedError.drain()
    return TLSError.ofHandshake(
      peer: serverName, isServer: context.isServer, peerSpeaksTLS: peerSpeaksTLS ?? true, peerSpeaksHTTP: peerSpeaksHTTP,
      verification: verificationFailure, sawEndOfFile: sawEndOfFile, socketError: socketError, queued: queued)
  }

  private func streamError() -> TLSError {
    let queued = QueuedError.drain()
    if let socketError { return TLSError(.connectionCut, "the TLS connection broke (\(socketError.message))") }
    if sawEndOfFile {
      return TLSError(.connectionCut, "the TLS connection was cut: it ended without close_notify, so bytes may be missing")
    }
    if let queued, queued.isFromTLS, queued.reason >= SSL_AD_REASON_OFFSET {
      return TLSError(.refusedByPeer, "the peer ended the TLS connection (\(queued.text))")
    }
    return TLSError(.protocolViolation, "the TLS connection carried something invalid (\(queued?.text ?? "unknown reason"))")
  }

  func remember(_ session: TLSSessionStore.Session) {
    context.sessions.put(session, for: sessionName)
    hasHandshakeBuffers = true
  }
}
