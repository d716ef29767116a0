import CausewaySupport
import CausewayTunnelCore
import Testing

@testable import CausewayTunnel

@Suite("causeway.yml")
struct TunnelFileTests {
  private static func parse(_ text: String) throws -> TunnelFile {
    try TunnelFile(parsing: Array(text.utf8), file: "causeway.yml", logLevels: ["info", "debug"])
  }

  @Test("a whole file") func whole() throws {
    let file = try Self.parse(
      """
      server: https://r.example
      log_level: debug
      tunnels:
        - {name: web, protocol: http, local_port: 3000, subdomain: Demo, auth: "u:p", host_header: rewrite}
        - {name: db, protocol: tcp, local: "box:5432", remote_port: 20432}
      """)
    #expect(file.server?.value == "https://r.example" && file.logLevel?.value == "debug")
    #expect(file.tunnels.map(\.specification.name) == ["web", "db"])
    #expect(file.tunnels[0].specification.subdomain == "demo" && file.tunnels[0].auth?.value == "u:p")
    #expect(file.tunnels[0].specification.target.hostHeader == .fixed(Array("localhost:3000".utf8)))
    #expect(file.tunnels[1].specification.remotePort == 20432 && !file.tunnels[1].specification.isHTTP)
  }

  @Test("a file holds as many tunnels as a session, and no more", arguments: [SessionLimits.tunnelLimit, SessionLimits.tunnelLimit + 1])
  func count(_ count: Int) throws {
    let text = "tunnels:\n" + (1...count).map { "- {name: t\($0), protocol: tcp, local_port: \($0)}\n" }.joined()
    if count == SessionLimits.tunnelLimit {
      #expect(try Self.parse(text).tunnels.count == count)
    } else {
      let error = #expect(throws: YAMLError.self) { try Self.parse(text) }
      let message = error.map { CommandFailure($0) }
      #expect(message?.exitCode == .usage && message?.message.contains("65 tunnels, one session holds 64") == true)
    }
  }

  @Test(
    "every mistake has file, line, column and key",
    arguments: [
      ("tunnels: []", "causeway.yml:1:10: key 'tunnels': no tunnel"),
      ("servr: x", "causeway.yml:1:1: key 'servr': unknown key, did you mean 'server'?"),
      ("server: x", "the key 'tunnels' is missing"),
      ("tunnels:\n- {name: a, protocol: http}", "causeway.yml:2:3: key 'tunnels[0]': the key 'local_port'"),
      (
        "tunnels:\n- {name: a, protocol: htp, local_port: 1}",
        "key 'tunnels[0].protocol': expected http or tcp, got 'htp', did you mean 'http'?"
      ),
      ("tunnels:\n- {name: a, protocol: tcp, local_port: 70000}", "causeway.yml:2:40: key 'tunnels[0].local_port': expected a port"),
      ("tunnels:\n- {name: a, protocol: tcp, local: 'http://x'}", "carries bytes"),
      ("tunnels:\n- {name: a, protocol: tcp, local_port: 1, local: '2'}", "key 'tunnels[0].local': local_port says already"),
      (
        "tunnels:\n- {name: a, protocol: http, local_port: 1, hostname: x.y}",
        "key 'tunnels[0].hostname': host names of your own are not supported yet"
      ),
      ("tunnels:\n- {name: a, protocol: http, local_port: 1, remote_port: 1}", "only tcp tunnels have ports"),
      ("tunnels:\n- {name: a, protocol: tcp, local_port: 1, subdomain: x}", "only http tunnels have names"),
      ("tunnels:\n- {name: a, protocol: tcp, local_port: 1, auth: 'u:geheim'}", "no place for a password"),
      ("tunnels:\n- {name: a, protocol: http, local_port: 1, subdomain: _}", "letters a-z"),
      ("tunnels:\n- {name: a=b, protocol: http, local_port: 1}", "no name for a tunnel"),
      ("tunnels:\n- {name: a.yml, protocol: http, local_port: 1}", "looks like a file"),
      (
        "tunnels:\n- {name: a, protocol: http, local_port: 1}\n- {name: a, protocol: http, local_port: 2}",
        "key 'tunnels[1].name': 'a' is the name"
      ),
      ("tunnels:\n- {name: a, protocol: http, local_port: 1, auth: [geheim]}", "key 'tunnels[0].auth': expected @FILE or USER:PASS"),
    ])
  func mistakes(_ text: String, _ part: String) {
    let error = #expect(throws: YAMLError.self) { try Self.parse(text) }
    let message = error?.description ?? ""
    #expect(message.contains(part), "\(message)")
    #expect(message.hasPrefix("causeway.yml:") && !message.contains("geheim"))
  }

  @Test(
    "the first word may be the file, the others are names",
    arguments: [
      ([], "causeway.yml", []), (["web"], "causeway.yml", ["web"]), (["a.yml", "web"], "a.yml", ["web"]), (["./x", "a"], "./x", ["a"]),
      (["a.yaml"], "a.yaml", []),
    ] as [([String], String, [String])])
  func selection(_ words: [String], _ file: String, _ names: [String]) {
    let selection = TunnelSelection(words)
    #expect(selection.file == file && selection.names == names && selection.isExplicit == (words.first == file))
  }

  @Test("a wrong name offers the closest") func closest() throws {
    let file = try Self.parse("tunnels:\n- {name: web, protocol: http, local_port: 1}\n- {name: api, protocol: http, local_port: 2}")
    let error = #expect(throws: CommandFailure.self) { try TunnelSelection(["wbe"]).choose(from: file.tunnels) }
    #expect(error?.message.contains("did you mean 'web'?") == true && error?.exitCode == .usage)
    #expect(try TunnelSelection(["api"]).choose(from: file.tunnels).map(\.specification.name) == ["api"])
  }
}
