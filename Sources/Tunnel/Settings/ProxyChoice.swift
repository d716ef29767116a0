internal import CausewayBase
package import CausewaySupport
package import CausewayWire

/// The HTTP proxy on the way to a relay: HTTPS_PROXY for https servers, HTTP_PROXY for http ones, lower case first as curl does, NO_PROXY
/// excepted. Loopback is never reached through a proxy.
package enum ProxyChoice {
  package static func proxy(for server: ServerURL, _ environment: Environment) throws(CommandFailure) -> HTTPProxy? {
    if server.address.isLoopback { return nil }
    var names = server.isSecure ? ["https_proxy", "HTTPS_PROXY"] : ["http_proxy", "HTTP_PROXY"]
    // In a CGI program HTTP_PROXY is the visitor's `Proxy:` field.
    if environment["REQUEST_METHOD"] != nil { names.removeAll { $0 == "HTTP_PROXY" } }
    for name in names {
      guard let text = environment[name] else { continue }
      if isExcepted(server.address, by: environment["no_proxy"] ?? environment["NO_PROXY"] ?? "") { return nil }
      return try parse(text, name)
    }
    return nil
  }

  /// `[http://][USER[:PASS]@]HOST[:PORT]`. What stands before the `@` is percent-encoded, and never part of a message.
  private static func parse(_ text: String, _ name: String) throws(CommandFailure) -> HTTPProxy {
    var text = text.contains("://") ? text : "http://" + text
    var credentials: String?
    let start = text.firstRange(of: "://")?.upperBound ?? text.startIndex
    let end = text[start...].firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? text.endIndex
    if let at = text[start..<end].lastIndex(of: "@") {
      guard let decoded = percentDecoded(text[start..<at].utf8) else {
        throw .usage("\(name): what stands before '@' is not valid: write special characters of user and password as %XX")
      }
      credentials = Base64.encode((decoded.contains(UInt8(ascii: ":")) ? decoded : decoded + [UInt8(ascii: ":")]).span)
      text.removeSubrange(start...at)
    }
    let url: ServerURL
    do throws(AddressError) { url = try ServerURL(parsing: text) } catch {
      if case .unknownScheme = error { throw .usage("\(name): only http:// proxies are spoken to: write http://HOST:PORT") }
      throw .usage("\(name): \(error)")
    }
    guard url.scheme == .http else { throw .usage("\(name): only http:// proxies are spoken to: write http://HOST:PORT") }
    return HTTPProxy(address: url.address, credentials: credentials)
  }

  /// Nil for a broken escape, and for control bytes, which a header field cannot carry (RFC 7617 §2).
  private static func percentDecoded(_ text: Substring.UTF8View) -> [UInt8]? {
    let bytes = Array(text)
    var decoded: [UInt8] = []
    var index = 0
    while index < bytes.count {
      var byte = bytes[index]
      if byte == UInt8(ascii: "%") {
        guard index + 2 < bytes.count, let high = ASCII.hexadecimalValue(bytes[index + 1]),
          let low = ASCII.hexadecimalValue(bytes[index + 2])
        else { return nil }
        byte = high << 4 | low
        index += 2
      }
      guard byte >= 0x20, byte != 0x7F else { return nil }
      decoded.append(byte)
      index += 1
    }
    return decoded
  }

  /// NO_PROXY: names with everything below them (a leading `.` or `*.` changes nothing), addresses, networks, each perhaps with a port,
  /// separated by commas or spaces; `*` is everything.
  package static func isExcepted(_ address: HostPort, by list: String) -> Bool {
    let literal = address.address
    for piece in list.split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" }) {
      var entry = piece.lowercased()
      if entry == "*" { return true }
      if let network = try? IPNetwork(parsing: entry) {
        if let literal, network.contains(literal) { return true }
        continue
      }
      if let withPort = try? HostPort(parsing: entry.hasPrefix("*.") ? String(entry.dropFirst(2)) : String(entry.drop { $0 == "." })) {
        guard withPort.port == address.port else { continue }
        entry = withPort.host
      }
      var name = entry[...]
      if name.hasPrefix("*.") { name = name.dropFirst(2) }
      name = name.drop { $0 == "." }
      if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
      if name.last == "." { name = name.dropLast() }
      if name.isEmpty { continue }
      if address.host == name || (literal == nil && address.host.hasSuffix("." + name)) { return true }
    }
    return false
  }
}
