internal import COpenSSL

// OpenSSL's numbers in words a user understands: what failed, on what, and what to do.

extension TLSError {
  /// A fault found in the server's certificate chain.
  /// - Parameter depth: 0 for the server's own certificate.
  static func ofVerification(_ code: CInt, certificate: OpaquePointer?, depth: CInt, peer: String) -> TLSError {
    let facts = unsafe CertificateFacts(certificate)
    let which = depth == 0 ? "the certificate of \(peer)" : "an authority above the certificate of \(peer)"
    switch code {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return TLSError(.certificateExpired, "\(which) expired on \(facts.notAfter): it must be renewed (or this machine's clock is wrong)")
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return TLSError(.certificateNotYetValid, "\(which) is valid only from \(facts.notBefore): check this machine's clock")
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return TLSError(
        .certificateSelfSigned, "the certificate of \(peer) is self-signed: if you trust it, give that certificate as the CA file")
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return TLSError(
        .unknownAuthority,
        "the certificate of \(peer) comes from an unknown authority ('\(facts.issuer)'): if you trust it, give its certificate as the CA file"
      )
    case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
      let names = facts.names.isEmpty ? "no name at all" : facts.names
      return TLSError(.nameMismatch, "the server's certificate is for \(names), not for \(peer): check the name in the URL")
    default:
      let text = unsafe String(cString: X509_verify_cert_error_string(Int(code)))
      return TLSError(.certificateInvalid, "\(which) is not acceptable (\(text))")
    }
  }

  /// A handshake that failed. The causes are asked in the order in which they explain each other.
  static func ofHandshake(
    peer: String?, isServer: Bool, peerSpeaksTLS: Bool, peerSpeaksHTTP: Bool, verification: TLSError?, sawEndOfFile: Bool,
    socketError: SystemError?, queued: QueuedError?
  ) -> TLSError {
    let peer = isServer ? "the client" : (peer ?? "the server")
    if let verification { return verification }
    if !peerSpeaksTLS {
      let what = peerSpeaksHTTP ? "plain HTTP" : "plain text"
      return TLSError(
        .notTLS, "\(peer) does not speak TLS on this port (it speaks \(what)): check the port, or use the URL scheme without TLS")
    }
    if let socketError { return TLSError(.connectionCut, "\(peer) broke the connection during the TLS handshake (\(socketError.message))") }
    if let queued, queued.isFromTLS { return ofQueue(queued, peer: peer, isServer: isServer) }
    if sawEndOfFile {
      return TLSError(.connectionCut, "\(peer) closed the connection during the TLS handshake: does it speak TLS on this port?")
    }
    return TLSError(.protocolViolation, "the TLS handshake with \(peer) failed (\(queued?.text ?? "unknown reason"))")
  }

  private static func ofQueue(_ queued: QueuedError, peer: String, isServer: Bool) -> TLSError {
    let alert = queued.reason - SSL_AD_REASON_OFFSET
    switch queued.reason {
    case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_WRONG_SSL_VERSION, SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_WRONG_VERSION_NUMBER,
      SSL_R_VERSION_TOO_LOW,
      SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return TLSError(.nothingInCommon, "\(peer) speaks no TLS version from 1.2 on: it must be updated")
    case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SUITABLE_GROUPS:
      return TLSError(.nothingInCommon, "\(peer) and this program have no TLS cipher or group in common")
    case SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
      return TLSError(.nothingInCommon, "\(peer) and this program have no application protocol (ALPN) in common")
    default: break
    }
    switch alert {
    case SSL_AD_UNKNOWN_CA, SSL_AD_BAD_CERTIFICATE, SSL_AD_CERTIFICATE_UNKNOWN, SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_REVOKED,
      SSL_AD_UNSUPPORTED_CERTIFICATE:
      return TLSError(
        .refusedByPeer, "\(peer) does not accept \(isServer ? "this server's" : "this client's") certificate (\(queued.text))")
    case SSL_AD_UNRECOGNIZED_NAME:
      return TLSError(.refusedByPeer, "\(peer) has no certificate for that name (\(queued.text)): check the name in the URL")
    case 1...255: return TLSError(.refusedByPeer, "\(peer) refused the TLS handshake (\(queued.text))")
    default: return TLSError(.protocolViolation, "the TLS handshake with \(peer) failed (\(queued.text))")
    }
  }
}

/// What error messages tell of a certificate: bounded, printable text.
private struct CertificateFacts {
  var names = ""
  var issuer = "unnamed"
  var notBefore = "an unknown date"
  var notAfter = "an unknown date"

  init(_ certificate: OpaquePointer?) {
    guard let certificate = unsafe certificate else { return }
    names = unsafe Self.text(256) { memory, size in unsafe shim_x509_names(certificate, memory, size) }
    issuer = unsafe Self.text(128) { memory, size in unsafe shim_x509_issuer(certificate, memory, size) }
    notBefore = unsafe Self.text(32) { memory, size in unsafe shim_x509_date(certificate, 0, memory, size) }
    notAfter = unsafe Self.text(32) { memory, size in unsafe shim_x509_date(certificate, 1, memory, size) }
  }

  private static func text(_ size: Int, _ fill: (UnsafeMutablePointer<CChar>, Int) -> Void) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { memory in
      // SAFETY: the shims write at most `size` bytes and end with a zero byte.
      unsafe fill(memory.baseAddress!, size)
      return unsafe String(cString: memory.baseAddress!)
    }
  }
}
