import CausewaySupport
import CausewayTunnelCore
import CausewayWire
import Testing

@testable import CausewayTunnel

@Suite("Which relay, through what, with which token")
struct ServerTests {
  private static func choice(_ text: String?) throws -> ServerChoice {
    try ServerChoice([text.map { Sourced($0, from: .environment("X")) }])
  }

  @Test(
    "a bare host means TLS except on loopback; plain http elsewhere warns",
    arguments: [
      (nil, "http://127.0.0.1:8080", false), ("relay.example:443", "https://relay.example", false),
      ("relay.example", "https://relay.example", false),
      ("localhost:8080", "http://localhost:8080", false), ("127.0.0.1:9", "http://127.0.0.1:9", false),
      ("[::1]:9", "http://[::1]:9", false),
      ("http://relay.example", "http://relay.example", true), ("https://Relay.Example/", "https://relay.example", false),
      ("a.localhost:1", "http://a.localhost:1", false),
    ] as [(String?, String, Bool)])
  func servers(_ text: String?, _ origin: String, _ warns: Bool) throws {
    let choice = try Self.choice(text)
    #expect(choice.url.origin == origin)
    #expect((choice.warning != nil) == warns)
  }

  @Test("the strongest that is there wins") func order() throws {
    let choice = try ServerChoice([nil, Sourced("https://b", from: .environment("B")), Sourced("https://c", from: .standard)])
    #expect(choice.text == "https://b" && choice.origin == .environment("B"))
  }

  @Test(
    "what is no relay's URL is a usage error that hides passwords",
    arguments: [
      "", "ftp://x", "https://u:secret@x", "unix:/run/x", "https://x/path", "https://x:0", "https://x:99999", "a b",
    ])
  func badServers(_ text: String) {
    let error = #expect(throws: CommandFailure.self) { try Self.choice(text) }
    #expect(error?.exitCode == .usage)
    #expect(error?.message.contains("secret") == false && error?.message.contains("\n") == false)
  }

  @Test(
    "proxies by scheme, never for loopback, never HTTP_PROXY of a CGI program",
    arguments: [
      ("https://r", ["HTTPS_PROXY": "http://p:1"], "http://p:1"),
      ("https://r", ["https_proxy": "p:1", "HTTPS_PROXY": "q:1"], "http://p:1"),
      ("https://r", ["HTTP_PROXY": "http://p:1"], nil), ("http://r", ["HTTP_PROXY": "http://p:1"], "http://p:1"),
      ("http://r", ["HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"], nil), ("http://127.0.0.1", ["http_proxy": "http://p:1"], nil),
      ("http://localhost", ["http_proxy": "http://p:1"], nil), ("https://r.example", ["https_proxy": "p:1", "NO_PROXY": "example"], nil),
      ("https://r.example", ["https_proxy": "p:1", "no_proxy": "", "NO_PROXY": "other"], "http://p:1"),
    ] as [(String, [String: String], String?)])
  func proxies(_ server: String, _ variables: [String: String], _ proxy: String?) throws {
    let url = try ServerURL(parsing: server)
    let found = try ProxyChoice.proxy(for: url, .fixed(variables))
    #expect(found.map { "http://\($0.address)" } == proxy && found?.credentials == nil)
  }

  @Test(
    "user and password of a proxy are percent-decoded",
    arguments: [
      ("http://u:p@p:1", "dTpw"), ("u:p@p:1", "dTpw"), ("http://u@p:1", "dTo="), ("http://me:pro%20xy@p:1/", "bWU6cHJvIHh5"),
      ("http://u:a@b@p:1", "dTphQGI="), ("http://u:%70@p:1", "dTpw"),
    ])
  func proxyCredentials(_ text: String, _ credentials: String) throws {
    let proxy = try ProxyChoice.proxy(for: try ServerURL(parsing: "https://r"), .fixed(["https_proxy": text]))
    #expect(proxy?.credentials == credentials)
    #expect(proxy.map { "\($0.address)" } == "p:1")
  }

  @Test(
    "a proxy that is not spoken to is an error with the variable's name",
    arguments: [
      "socks5://u:secret@p:1", "https://u:secret@p:1", "http://u:secret%0a@p:1", "http://u:secret%4@p:1", "http://u:secret@p:99999",
    ])
  func badProxies(_ text: String) throws {
    let url = try ServerURL(parsing: "https://r")
    let error = #expect(throws: CommandFailure.self) { try ProxyChoice.proxy(for: url, .fixed(["https_proxy": text])) }
    #expect(error?.message.hasPrefix("https_proxy: ") == true && error?.message.contains("secret") == false)
  }

  @Test(
    "NO_PROXY: names and below, addresses, networks, ports, everything",
    arguments: [
      ("a.example:443", "example", true), ("a.example:443", ".example", true), ("a.example:443", "*.example", true),
      ("aexample:443", "example", false),
      ("example:443", ".example", true), ("a.example:443", "b, a.example", true), ("a.example:443", "a.example:443", true),
      ("a.example:443", "a.example:80", false), ("10.1.2.3:443", "10.0.0.0/8", true), ("11.1.2.3:443", "10.0.0.0/8", false),
      ("10.1.2.3:443", "10.1.2.3", true), ("[fd00::1]:443", "fd00::/8", true), ("10.1.2.3:443", "2.3", false), ("a.example:443", "*", true),
      ("a.example:443", "", false), ("a.example:443", ",, .", false), ("a.example:443", "A.EXAMPLE.", true),
    ])
  func exceptions(_ address: String, _ list: String, _ isExcepted: Bool) throws {
    #expect(ProxyChoice.isExcepted(try HostPort(parsing: address), by: list) == isExcepted)
  }

  @Test(
    "a token goes to its own server only, found also by a hand-written origin",
    arguments: [
      ("https://r.example", true), ("https://r.example:8443", false), ("http://r.example", false), ("https://x.r.example", false),
    ])
  func storedTokens(_ server: String, _ isFound: Bool) throws {
    let stored = try ClientConfiguration(parsing: Array("tokens:\n  https://R.example/: cw_secret\n".utf8), file: "c")
    let url = try ServerURL(parsing: server)
    if isFound {
      #expect(try TokenChoice(for: url, file: nil, secret: nil, configuration: { stored }, configurationPath: "c").token == "cw_secret")
    } else {
      let error = #expect(throws: CommandFailure.self) {
        try TokenChoice(for: url, file: nil, secret: nil, configuration: { stored }, configurationPath: "c")
      }
      #expect(error?.exitCode == .refused && error?.message.contains("authtoken --server \(url.origin)") == true)
      #expect(error?.message.contains("cw_secret") == false)
    }
  }

  @Test(
    "a token is one word",
    arguments: [("cw_a\n", true), ("  cw_a \r\n\n", true), ("", false), ("a b", false), ("a\nb", false), ("ä", false)])
  func words(_ text: String, _ isToken: Bool) {
    #expect(((try? TokenChoice.read(Array(text.utf8), "x")) == "cw_a") == isToken)
  }

  @Test(
    "USER:PASS is hashed with a salt of its own and never shown",
    arguments: [
      ("u:p", true), ("u:p:q", true), ("up", false), (":p", false), ("u:", false), ("u:p\n", false),
      (String(repeating: "u", count: 1024) + ":p", false),
    ])
  func passwords(_ text: String, _ isGood: Bool) throws {
    if isGood {
      let (one, two) = (try VisitorPassword.hash(credential: text, "-a"), try VisitorPassword.hash(credential: text, "-a"))
      #expect(one.hash.count == 32 && one.salt.count == 16 && one.salt != two.salt && one.hash != two.hash)
    } else {
      let error = #expect(throws: CommandFailure.self) { try VisitorPassword.hash(credential: text, "-a") }
      #expect(error?.exitCode == .usage && error?.message.contains(text) == false)
    }
  }

  @Test(
    "names and ports that no relay gives are refused before anyone is asked",
    arguments: [
      ("demo", true), ("a", true), ("A-1", true), ("", false), ("-a", false), ("a-", false), ("a_b", false), ("a.b", false), ("ä", false),
      (String(repeating: "a", count: 63), true), (String(repeating: "a", count: 64), false),
    ])
  func names(_ name: String, _ isGood: Bool) { #expect((PublicName.fault(of: name) == nil) == isGood) }
}
