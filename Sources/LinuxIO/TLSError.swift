internal import COpenSSL
internal import Glibc

/// Why TLS could not be set up or went wrong: a code to act on and one line for the user.
public struct TLSError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Code: Sendable {
    case certificateExpired, certificateNotYetValid, certificateSelfSigned, unknownAuthority, nameMismatch
    /// Any other fault of the certificate chain.
    case certificateInvalid
    /// The peer answered in something else, most likely plain HTTP.
    case notTLS
    /// No version, cipher or application protocol in common.
    case nothingInCommon
    /// The peer sent a fatal alert.
    case refusedByPeer
    /// The connection ended or broke during the handshake, or later without close_notify.
    case connectionCut
    /// Bad records, or whatever else the peer did against the standard.
    case protocolViolation
    /// Unusable files or arguments of our own.
    case configuration
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }

  /// Whether trying again without a change of configuration is pointless: the peer's certificate was looked at and refused.
  public var isCertificateRefused: Bool {
    switch code {
    case .certificateExpired, .certificateNotYetValid, .certificateSelfSigned, .unknownAuthority, .nameMismatch, .certificateInvalid: true
    default: false
    }
  }
}

/// What OpenSSL's error queue of this thread had to say: its oldest entry, which names the cause.
struct QueuedError {
  let library: CInt
  let reason: CInt
  let text: String

  /// Takes everything out of the queue, so that nothing stale is blamed for a later failure.
  static func drain() -> QueuedError? {
    let code = ERR_get_error()
    guard code != 0 else { return nil }
    ERR_clear_error()
    // SAFETY: the reason's text is a static string of the library.
    let text = unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) }
    return QueuedError(library: ERR_GET_LIB(code), reason: ERR_GET_REASON(code), text: text ?? "OpenSSL error \(code)")
  }

  var isFromTLS: Bool { library == ERR_LIB_SSL }
}
