internal import CausewayBase
package import CausewaySupport
package import CausewayWire

/// Which relay to use: the flag, else CAUSEWAY_SERVER, else a file, else the one that `causeway relay` starts here.
package struct ServerChoice: Equatable, Sendable {
  package static let standard = "http://127.0.0.1:8080"

  package var url: ServerURL
  package var origin: Origin
  /// Scheme and authority: what a token is stored for.
  package var text: String { url.origin }
  /// One line when the choice is unwise.
  package var warning: String?

  /// - Parameter candidates: The texts that may be there, the strongest first.
  package init(_ candidates: [Sourced<String>?]) throws(CommandFailure) {
    let chosen = candidates.lazy.compactMap(\.self).first ?? Sourced(Self.standard, from: .standard)
    origin = chosen.origin
    do throws(AddressError) { url = try Self.parse(chosen.value) } catch {
      let what = if case .unknownScheme = error { "write https://HOST or http://HOST:PORT" } else { error.description }
      throw .usage("\(chosen.origin): '\(Self.shown(chosen.value))' is no relay's URL: \(what)")
    }
    if url.scheme == .unix { throw .usage("\(chosen.origin): a relay is reached by http:// or https://, not through a socket") }
    guard url.path.isEmpty || url.path == "/" else {
      throw .usage("\(chosen.origin): a relay's URL has no path: write \(url.origin)")
    }
    if !url.isSecure && !url.address.isLoopback {
      warning = "\(url.origin) is not encrypted: anyone in between can read and change everything, the token included; better https://"
    }
  }

  /// Without a scheme it is https, except on loopback.
  static func parse(_ text: String) throws(AddressError) -> ServerURL {
    if text.contains("://") || text.hasPrefix("unix:") { return try ServerURL(parsing: text) }
    let secure = try ServerURL(parsing: "https://" + text)
    return secure.address.isLoopback ? try ServerURL(parsing: "http://" + text) : secure
  }

  /// What stands before `@` may be a password.
  private static func shown(_ text: String) -> String {
    (text.lastIndex(of: "@").map { "…" + text[$0...] } ?? text).prefix(100).printable
  }
}
