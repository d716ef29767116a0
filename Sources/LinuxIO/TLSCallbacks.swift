internal import COpenSSL

// What OpenSSL calls while it works for a TLSLayer, always on the layer's own loop. SAFETY, for all of them: the address of the
// layer was stored by the layer itself, which frees the SSL object and its BIO before it dies.

/// Our BIO: ciphertext straight from the socket, and into the layer's block.
@safe struct SocketBIO: @unchecked Sendable {  // immutable once made, and never freed
  let pointer: OpaquePointer
  static let method = SocketBIO()

  private init() {
    guard let method = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "causeway") else { fatalError("out of memory") }
    unsafe BIO_meth_set_read(method) { bio, memory, count in
      guard let memory = unsafe memory, count > 0 else { return 0 }
      unsafe shim_bio_clear_retry(bio)
      let (result, mayRetry) = unsafe layer(of: bio).receive(into: memory, count: Int(count))
      if mayRetry { unsafe shim_bio_set_retry_read(bio) }
      return result
    }
    unsafe BIO_meth_set_write(method) { bio, bytes, count in
      guard let bytes = unsafe bytes, count > 0 else { return 0 }
      unsafe shim_bio_clear_retry(bio)
      return unsafe layer(of: bio).enqueue(bytes, count: Int(count)) ? count : -1
    }
    unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    unsafe pointer = method
  }
}

private func layer(of bio: OpaquePointer?) -> TLSLayer {
  unsafe Unmanaged<TLSLayer>.fromOpaque(BIO_get_data(bio).unsafelyUnwrapped).takeUnretainedValue()
}

private func layer(of ssl: OpaquePointer) -> TLSLayer? {
  unsafe SSL_get_ex_data(ssl, 0).map { unsafe Unmanaged<TLSLayer>.fromOpaque($0).takeUnretainedValue() }
}

/// ALPN on the server: our first protocol that the client offers too; none in common is fatal (RFC 7301 §3.2).
let chooseProtocol:
  @convention(c) (
    OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?, UInt32,
    UnsafeMutableRawPointer?
  ) -> CInt = { ssl, chosen, chosenCount, offered, offeredCount, _ in
    guard let ssl = unsafe ssl, let layer = unsafe layer(of: ssl), let offered = unsafe offered else { return SSL_TLSEXT_ERR_NOACK }
    if layer.offeredProtocols.isEmpty { return SSL_TLSEXT_ERR_NOACK }
    // OpenSSL has checked the form of the client's list; a length that leads outside ends the search all the same.
    let theirs = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredCount))
    var mine = layer.offeredProtocols[...]
    while let length = mine.first {
      let name = mine.dropFirst().prefix(Int(length))
      mine = mine.dropFirst(Int(length) + 1)
      var index = 0
      while index < theirs.count {
        let count = unsafe Int(theirs[index])
        guard index + 1 + count <= theirs.count else { break }
        if unsafe theirs[(index + 1)..<(index + 1 + count)].elementsEqual(name) {
          unsafe chosen?.pointee = offered + index + 1
          unsafe chosenCount?.pointee = UInt8(count)
          return SSL_TLSEXT_ERR_OK
        }
        index += 1 + count
      }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
  }

/// A new session of a client; returning 1 keeps the reference.
let rememberSession: @convention(c) (OpaquePointer?, OpaquePointer?) -> CInt = { ssl, session in
  guard let ssl = unsafe ssl, let session = unsafe session, let layer = unsafe layer(of: ssl) else { return 0 }
  unsafe layer.remember(TLSSessionStore.Session(adopting: session))
  return 1
}

/// Keeps the first fault of the peer's chain while the certificate is still at hand.
let noteVerification: @convention(c) (CInt, OpaquePointer?) -> CInt = { accepted, store in
  if accepted == 1 { return 1 }
  guard let ssl = unsafe shim_verifying_ssl(store), let layer = unsafe layer(of: ssl) else { return 0 }
  if layer.verificationFailure == nil {
    layer.verificationFailure = unsafe TLSError.ofVerification(
      X509_STORE_CTX_get_error(store), certificate: X509_STORE_CTX_get_current_cert(store), depth: X509_STORE_CTX_get_error_depth(store),
      peer: layer.serverName ?? "the server")
  }
  return 0
}
