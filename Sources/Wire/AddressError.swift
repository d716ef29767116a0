/// Why a text that a user wrote is no address. The description is one line: what is wrong, with what, and what to write.
public enum AddressError: Error, Equatable, Sendable {
  case empty
  case invalidNetwork(String)
  case hostBitsSet(String, suggestion: String)
  case invalidHost(String)
  case portMissing(String)
  case invalidPort(String)
  /// An IPv6 address with a port needs brackets.
  case bracketsMissing(String)
  case unknownScheme(String)
  case userInformation
  case fragment(String)
  case invalidPath(String)
  case unixPathMissing(String)
}

extension AddressError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .empty: "empty address: write HOST:PORT or a URL"
    case .invalidNetwork(let text): "invalid network '\(text.shown)': write it as 10.0.0.0/8 or fd00::/8"
    case .hostBitsSet(let text, let suggestion): "network '\(text.shown)' has bits set behind its prefix: write \(suggestion)"
    case .invalidHost(let text): "invalid host in '\(text.shown)': write a name, an IPv4 address or an IPv6 address in brackets"
    case .portMissing(let text): "no port in '\(text.shown)': write HOST:PORT"
    case .invalidPort(let text): "invalid port in '\(text.shown)': write a number from 0 to 65535 behind the last colon"
    case .bracketsMissing(let text): "ambiguous address '\(text.shown)': write an IPv6 address as [::1]:80"
    case .unknownScheme(let text): "unknown scheme in '\(text.shown)': write http://, https:// or unix:/path"
    case .userInformation: "user and password in a URL are not taken here: remove what stands before '@'"
    case .fragment(let text): "fragment in '\(text.shown)': remove '#' and what follows"
    case .invalidPath(let text): "invalid character in the path of '\(text.shown)': write it percent-encoded"
    case .unixPathMissing(let text): "no path in '\(text.shown)': write unix:/path/to/socket"
    }
  }
}

extension String {
  /// For a message of one line: control characters as `?`, at most 100 characters, and nothing before an `@`, which may be a
  /// password.
  fileprivate var shown: String {
    let text = lastIndex(of: "@").map { "…" + self[$0...] } ?? self
    return String(String.UnicodeScalarView(text.unicodeScalars.prefix(100).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }))
  }
}
