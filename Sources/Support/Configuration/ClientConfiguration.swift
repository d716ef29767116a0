/// The client's own file: `server`, and a token for each server's origin.
package struct ClientConfiguration: Equatable, Sendable {
  package var server: String?
  /// Where the file says so; for messages only.
  private var serverOrigin: Origin?
  /// By origin (`https://relay.example.com`), in the order of the file. Secrets: never print.
  package private(set) var tokens: [Token] = []

  package struct Token: Equatable, Sendable {
    package var origin: String
    package var token: String
  }

  package init() {}

  package init(parsing text: [UInt8], file: String) throws(YAMLError) {
    let root = try YAMLDocument.parse(text, file: file).mapping(keys: ["server", "tokens"])
    if let node = root.optional("server") { (server, serverOrigin) = (try node.string("a URL"), node.origin) }
    guard let tokens = root.optional("tokens"), !tokens.isNull else { return }
    for entry in try tokens.mapping(isSecret: true).entries {
      // The value, or a key in a wrong place, may be a token: say only where.
      guard let token = try? entry.value.secret(), entry.key.contains(":") else {
        throw tokens.error(at: entry.keyPlace, "tokens", "expected SERVER-URL: TOKEN")
      }
      self.tokens.append(Token(origin: entry.key, token: token))
    }
  }

  package var sourcedServer: Sourced<String>? { server.map { Sourced($0, from: serverOrigin ?? .standard) } }

  package static func == (a: Self, b: Self) -> Bool { a.server == b.server && a.tokens == b.tokens }

  package func token(for origin: String) -> String? { tokens.first { $0.origin == origin }?.token }

  /// nil forgets the token of this origin.
  package mutating func setToken(_ token: String?, for origin: String) {
    tokens.removeAll { $0.origin == origin }
    if let token { tokens.append(Token(origin: origin, token: token)) }
  }

  package var yaml: String {
    var entries: [(key: String, value: YAMLValue)] = []
    if let server { entries.append(("server", .text(server))) }
    if !tokens.isEmpty { entries.append(("tokens", .mapping(tokens.map { ($0.origin, .text($0.token)) }))) }
    return entries.isEmpty ? "" : YAMLWriter.text(.mapping(entries))
  }
}
