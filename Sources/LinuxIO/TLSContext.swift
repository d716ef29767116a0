internal import COpenSSL
internal import Glibc
internal import Synchronization

/// What many TLS streams share: whom a client trusts, or which certificate a server shows. Any number of loops may use one.
///
/// TLS 1.2 and 1.3, AEAD ciphers with forward secrecy only, AES-128-GCM first where the processor has AES, X25519 and P-256,
/// no renegotiation, no compression. Servers resume by tickets; clients keep the newest session of each server name.
public final class TLSContext: Sendable {
  /// Whose certificates a client takes.
  public enum Trust: Equatable, Sendable {
    /// The authorities that the system trusts (package ca-certificates, or SSL_CERT_FILE and SSL_CERT_DIR).
    case systemStore
    /// Only what this PEM file holds: authorities, or the very certificate of the server.
    case authorities(file: String)
    /// Everybody: the peer may be anyone. For tests and for local services.
    case insecure
  }

  enum Role: Equatable, Sendable {
    case client(Trust)
    case server(certificateChainFile: String, keyFile: String)
  }

  let role: Role
  let sessions = TLSSessionStore()
  private let current: Mutex<Handle>

  /// The one owner of an SSL_CTX; each SSL made from it counts a reference of its own.
  // @unchecked Sendable: an SSL_CTX that is no longer configured may be used by all threads; it counts atomically.
  @safe final class Handle: @unchecked Sendable {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { unsafe self.pointer = pointer }
    deinit { unsafe SSL_CTX_free(pointer) }
  }

  /// For connecting.
  public init(clientTrusting trust: Trust = .systemStore) throws(TLSError) {
    role = .client(trust)
    current = Mutex(try Self.makeClient(trust))
  }

  /// For accepting.
  /// - Parameters:
  ///   - certificateChainFile: PEM; the server's certificate first, then the intermediate ones.
  ///   - keyFile: PEM, not encrypted.
  public init(certificateChainFile: String, keyFile: String) throws(TLSError) {
    role = .server(certificateChainFile: certificateChainFile, keyFile: keyFile)
    current = Mutex(try Self.makeServer(certificateChainFile, keyFile))
  }

  public var isServer: Bool { if case .server = role { true } else { false } }
  var verifiesPeer: Bool { role != .client(.insecure) && !isServer }

  /// Reads the files again. Streams that exist keep what they have; on failure so does the context. A server's tickets become
  /// void, since new keys protect them.
  public func reload() throws(TLSError) {
    let fresh: Handle =
      switch role {
      case .client(let trust): try Self.makeClient(trust)
      case .server(let chain, let key): try Self.makeServer(chain, key)
      }
    current.withLock { $0 = fresh }
  }

  var handle: Handle { current.withLock { $0 } }

  // MARK: Making

  private static let ciphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
  private static let ciphers12WithoutAES = "ECDHE+CHACHA20:ECDHE+AESGCM:!aNULL"
  private static let ciphers13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
  private static let ciphers13WithoutAES = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"

  private static func makeAny(server: Bool) throws(TLSError) -> Handle {
    guard let context = unsafe SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()) else {
      throw TLSError(.configuration, "OpenSSL cannot start (\(QueuedError.drain()?.text ?? "unknown reason")): check its openssl.cnf")
    }
    let handle = unsafe Handle(context)
    let hasAES = shim_cpu_has_aes() == 1
    unsafe shim_ctx_set_options(context)
    // Four records at a time: one recv(2) feeds several SSL_reads. Freed while the stream is idle.
    unsafe shim_ctx_set_read_ahead(context, 4 * (TLSLayer.recordByteCount + 64))
    guard
      unsafe shim_ctx_set_minimum_version(context, TLS1_2_VERSION) == 1,
      unsafe SSL_CTX_set_cipher_list(context, hasAES ? ciphers12 : ciphers12WithoutAES) == 1,
      unsafe SSL_CTX_set_ciphersuites(context, hasAES ? ciphers13 : ciphers13WithoutAES) == 1,
      unsafe shim_ctx_set_groups(context, "X25519:P-256:P-384") == 1
    else {
      throw TLSError(.configuration, "OpenSSL lacks a needed cipher or group (\(QueuedError.drain()?.text ?? "")): check its openssl.cnf")
    }
    return handle
  }

  private static func makeClient(_ trust: Trust) throws(TLSError) -> Handle {
    let handle = try makeAny(server: false)
    let context = unsafe handle.pointer
    unsafe shim_ctx_set_client_sessions(context, rememberSession)
    switch trust {
    case .insecure: unsafe SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
    case .systemStore:
      unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, noteVerification)
      unsafe SSL_CTX_set_default_verify_paths(context)
      ERR_clear_error()
    case .authorities(let file):
      unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, noteVerification)
      try checkReadable(file, "CA file")
      guard unsafe SSL_CTX_load_verify_file(context, file) == 1 else {
        ERR_clear_error()
        throw TLSError(.configuration, "CA file '\(file)' holds no certificate: it must be in PEM form (-----BEGIN CERTIFICATE-----)")
      }
      // A file that holds the server's own certificate, issued by somebody else, means: trust exactly this one.
      unsafe X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), UInt(X509_V_FLAG_PARTIAL_CHAIN))
    }
    return handle
  }

  private static func makeServer(_ chainFile: String, _ keyFile: String) throws(TLSError) -> Handle {
    let handle = try makeAny(server: true)
    let context = unsafe handle.pointer
    unsafe shim_ctx_set_stateless_sessions(context)
    unsafe SSL_CTX_set_session_id_context(context, [0x63], 1)
    unsafe SSL_CTX_set_alpn_select_cb(context, chooseProtocol, nil)
    unsafe shim_ctx_refuse_passphrase(context)
    try checkReadable(chainFile, "certificate file")
    try checkReadable(keyFile, "key file")
    guard unsafe SSL_CTX_use_certificate_chain_file(context, chainFile) == 1 else {
      let cause = QueuedError.drain()
      throw TLSError(
        .configuration,
        "certificate file '\(chainFile)' is unusable (\(cause?.text ?? "unknown reason")): it must hold the server's certificate in PEM form, then its chain"
      )
    }
    guard unsafe SSL_CTX_use_PrivateKey_file(context, keyFile, SSL_FILETYPE_PEM) == 1 else {
      let cause = QueuedError.drain()
      if cause?.library == ERR_LIB_X509 { throw mismatch(chainFile, keyFile) }
      if fileMentionsEncryption(keyFile) {
        throw TLSError(
          .configuration, "key file '\(keyFile)' is protected by a passphrase: store it decrypted, readable only by the server")
      }
      throw TLSError(
        .configuration, "key file '\(keyFile)' is unusable (\(cause?.text ?? "unknown reason")): it must hold a private key in PEM form")
    }
    guard unsafe SSL_CTX_check_private_key(context) == 1 else {
      ERR_clear_error()
      throw mismatch(chainFile, keyFile)
    }
    return handle
  }

  private static func mismatch(_ chainFile: String, _ keyFile: String) -> TLSError {
    TLSError(
      .configuration,
      "key file '\(keyFile)' does not belong to the first certificate in '\(chainFile)': give the pair that was issued together")
  }

  private static func checkReadable(_ path: String, _ what: String) throws(TLSError) {
    if unsafe access(path, R_OK) != 0 {
      let cause = SystemError(errno, "open")
      throw TLSError(.configuration, "cannot read \(what) '\(path)' (\(cause.message)): check the path and its permissions")
    }
  }

  private static func fileMentionsEncryption(_ path: String) -> Bool {
    guard let file = unsafe fopen(path, "r") else { return false }
    defer { unsafe fclose(file) }
    var head = [UInt8](repeating: 0, count: 4096)
    let count = unsafe fread(&head, 1, head.count, file)
    return String(decoding: head.prefix(count), as: UTF8.self).contains("ENCRYPTED")
  }
}

/// The newest session of each server name, for resumption: a reconnect then needs no certificate and one signature less.
final class TLSSessionStore: Sendable {
  /// Names kept; the one that was added first leaves.
  static let nameLimit = 32

  /// The one owner of a reference to an SSL_SESSION.
  // @unchecked Sendable: sessions are counted atomically and not changed after their handshake.
  @safe final class Session: @unchecked Sendable {
    let pointer: OpaquePointer
    init(adopting pointer: OpaquePointer) { unsafe self.pointer = pointer }
    deinit { unsafe SSL_SESSION_free(pointer) }
  }

  private struct State {
    var sessions: [String: Session] = [:]
    var order: [String] = []
  }
  private let state = Mutex(State())

  func put(_ session: Session, for name: String) {
    state.withLock { state in
      if state.sessions.updateValue(session, forKey: name) != nil { return }
      state.order.append(name)
      if state.order.count > Self.nameLimit { state.sessions[state.order.removeFirst()] = nil }
    }
  }

  /// A session of TLS 1.3 is handed out once, since an observer could link its uses (RFC 8446 appendix C.4).
  func take(for name: String) -> Session? {
    state.withLock { state in
      guard let session = state.sessions[name] else { return nil }
      if unsafe SSL_SESSION_get_protocol_version(session.pointer) >= TLS1_3_VERSION {
        state.sessions[name] = nil
        state.order.removeAll { $0 == name }
      }
      return unsafe SSL_SESSION_is_resumable(session.pointer) == 1 ? session : nil
    }
  }
}
