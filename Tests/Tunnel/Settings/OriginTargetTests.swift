import CausewaySupport
import CausewayTunnelCore
import Testing

@testable import CausewayTunnel

@Suite("Local services as users write them")
struct OriginTargetTests {
  @Test(
    "each form names an address",
    arguments: [
      ("3000", .loopbackPort(3000)), ("65535", .loopbackPort(65535)), ("box:3000", .hostPort("box", 3000)),
      ("127.0.0.1:80", .hostPort("127.0.0.1", 80)),
      ("[::1]:80", .hostPort("::1", 80)), ("http://box", .hostPort("box", 80)), ("http://box:81/", .hostPort("box", 81)),
      ("https://box", .hostPort("box", 443)), ("unix:/run/a.sock", .unixSocket("/run/a.sock")),
      ("unix:///run/a.sock", .unixSocket("/run/a.sock")),
    ] as [(String, OriginTarget.Address)])
  func forms(_ text: String, _ address: OriginTarget.Address) throws {
    #expect(try OriginTarget(parsing: text, isHTTP: true).address == address)
  }

  @Test(
    "what names no service is refused with what to write",
    arguments: [
      ("", "is empty"), ("0", "1 to 65535"), ("65536", "1 to 65535"), ("99999999999", "1 to 65535"), ("box", "no port"),
      ("box:0", "1 to 65535"),
      ("box:70000", "1 to 65535"), ("http://box/app", "has a path"), ("box:80/app", "has a path"), ("ftp://box", "scheme"),
      ("unix:", "no path"),
      ("unix:/" + String(repeating: "a", count: 107), "107 bytes"), ("http://u:secret@box", "user and password"), ("::1:80", "[::1]"),
    ])
  func refusals(_ text: String, _ part: String) {
    let error = #expect(throws: TargetError.self) { try OriginTarget(parsing: text, isHTTP: true) }
    #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains("secret") == false)
  }

  @Test("a tcp tunnel takes no URL") func tcp() {
    #expect(throws: TargetError.self) { try OriginTarget(parsing: "http://box:80", isHTTP: false) }
  }

  @Test(
    "a certificate is verified except on loopback and when told not to",
    arguments: [
      ("https://box", false, true), ("https://box", true, false), ("https://localhost:8443", false, false),
      ("https://127.0.0.9", false, false),
      ("https://[::1]", false, false), ("http://box", false, false),
    ])
  func verification(_ text: String, _ isInsecure: Bool, _ verifies: Bool) throws {
    let target = try OriginTarget(parsing: text, isHTTP: true, isInsecure: isInsecure)
    #expect(target.verifiesCertificate == verifies)
    #expect(target.usesTLS == text.hasPrefix("https"))
  }

  @Test(
    "rewrite sends the local address, less a standard port; a name is sent as it is",
    arguments: [
      ("3000", "rewrite", "localhost:3000"), ("80", "rewrite", "localhost"), ("box:3000", "rewrite", "box:3000"),
      ("https://box", "rewrite", "box"),
      ("https://box:80", "rewrite", "box:80"), ("[::1]:80", "rewrite", "[::1]"), ("unix:/a", "rewrite", "localhost"),
      ("3000", "App.example", "App.example"),
    ])
  func hostHeader(_ text: String, _ choice: String, _ sent: String) throws {
    var target = try OriginTarget(parsing: text, isHTTP: true)
    try target.setHostHeader(choice)
    #expect(target.hostHeader == .fixed(Array(sent.utf8)))
  }

  @Test("a Host field cannot break a head", arguments: ["a b", "a\r\nX: y", "http://a", "a/b", ""])
  func badHostHeader(_ text: String) throws {
    var target = try OriginTarget(parsing: "80", isHTTP: true)
    #expect(throws: TargetError.self) { try target.setHostHeader(text) }
  }
}
