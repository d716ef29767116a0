/// An `http`, `https` or `unix` URL that a user or a configuration names: a relay, or a local service.
public struct ServerURL: Hashable, Sendable {
  public enum Scheme: String, Sendable, CaseIterable {
    case http, https, unix

    public var defaultPort: UInt16 { self == .https ? 443 : 80 }
  }

  public let scheme: Scheme
  /// For `unix` it is `localhost` with port 80: what an origin behind a socket sees in Host.
  public let address: HostPort
  /// For http and https: path and query, percent-encoded as given, empty or beginning with `/`. For `unix`: the socket's path.
  public let path: String

  /// Needs a scheme; `unix:/path` and `unix:///path` both work, and the path is absolute.
  public init(parsing text: String) throws(AddressError) {
    guard !text.isEmpty else { throw .empty }
    let lowered = text.prefix(8).lowercased()
    if lowered.hasPrefix("unix:") {
      // One slash, or an empty authority and a path: three; two would make the first folder a host. More mean one.
      let rest = text.dropFirst(5)
      let name = rest.drop { $0 == "/" }
      let slashes = rest.utf8.count - name.utf8.count
      guard !name.isEmpty, slashes == 1 || slashes > 2, !name.utf8.contains(0) else { throw .unixPathMissing(text) }
      self.init(scheme: .unix, address: HostPort(host: "localhost", port: 80), path: "/" + name)
      return
    }
    let scheme: Scheme
    if lowered.hasPrefix("https://") {
      scheme = .https
    } else if lowered.hasPrefix("http://") {
      scheme = .http
    } else {
      throw .unknownScheme(text)
    }
    let rest = text.utf8.dropFirst(scheme == .https ? 8 : 7)
    let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") } ?? rest.endIndex
    let authority = String(Substring(rest[..<end]))
    if authority.utf8.contains(UInt8(ascii: "@")) { throw .userInformation }
    guard !authority.isEmpty else { throw .invalidHost(text) }
    var path = String(Substring(rest[end...]))
    if path.hasPrefix("?") { path = "/" + path }
    if path.utf8.contains(UInt8(ascii: "#")) { throw .fragment(text) }
    guard Self.isPercentSafe(path) else { throw .invalidPath(text) }
    let address = try HostPort(parsing: authority, defaultPort: scheme.defaultPort)
    guard address.port > 0 else { throw .invalidPort(text) }
    self.init(scheme: scheme, address: address, path: path)
  }

  private init(scheme: Scheme, address: HostPort, path: String) {
    self.scheme = scheme
    self.address = address
    self.path = path
  }

  public var isSecure: Bool { scheme == .https }

  /// The port is written only when it is not the scheme's own.
  public var authority: String {
    guard scheme == .unix || address.port == scheme.defaultPort else { return address.description }
    return address.host.utf8.contains(ASCII.colon) ? "[\(address.host)]" : address.host
  }

  /// Scheme and authority, without a path: what a token is stored for. The socket's whole URL for `unix`.
  public var origin: String { scheme == .unix ? "unix:\(path)" : "\(scheme.rawValue)://\(authority)" }

  /// Printable ASCII without characters that need encoding, and each `%` followed by two hexadecimal digits (RFC 3986 §2).
  private static func isPercentSafe(_ path: String) -> Bool {
    let bytes = Array(path.utf8)
    for (i, byte) in bytes.enumerated() {
      guard byte > 0x20, byte < 0x7F, !"\"<>\\^`{|}".utf8.contains(byte) else { return false }
      if byte == UInt8(ascii: "%") {
        guard i + 2 < bytes.count, ASCII.hexadecimalValue(bytes[i + 1]) != nil, ASCII.hexadecimalValue(bytes[i + 2]) != nil else {
          return false
        }
      }
    }
    return true
  }
}

extension ServerURL: CustomStringConvertible {
  public var description: String { scheme == .unix ? origin : origin + path }
}
