import CausewayLinuxIO
import CausewayRelayCore
import CausewaySupport
import CausewayWire
import Testing

@testable import CausewayRelay

@Suite("Settings of the relay")
struct RelaySettingsTests {
  private static let environment = Environment.fixed(["XDG_STATE_HOME": "/s"])

  private static func settings(_ words: String) throws -> RelaySettings {
    let arguments = ["causeway", "relay"] + words.split(separator: " ").map(String.init)
    guard case .run(let parsed) = try ArgumentParser(Program.table).parse(arguments) else { throw CommandFailure(.failure, "not run") }
    return try RelaySettings(parsed, environment)
  }

  private static func values(_ yaml: String, _ words: String = "") throws -> RelayValues {
    let arguments = ["causeway", "relay"] + words.split(separator: " ").map(String.init)
    guard case .run(let parsed) = try ArgumentParser(Program.table).parse(arguments) else { throw CommandFailure(.failure, "not run") }
    var values = RelayValues(parsed)
    try values.fill(from: Array(yaml.utf8), file: "/etc/c/relay.yaml")
    return values
  }

  @Test("without options it is a private relay") func defaults() throws {
    let configuration = try Self.settings("").configuration
    #expect(configuration.listen == [.init(isTLS: false, address: .loopback4(port: 8080))])
    #expect(
      configuration.domain == "localhost" && configuration.data.path == "/s/causeway/relay" && configuration.policy == ReservationPolicy())
  }

  @Test("flags mean what they say") func flags() throws {
    let settings = try Self.settings(
      "--listen 127.0.0.1:0 --listen http://[::1]:81 --public-url https://r.example --domain T.Example. --data /d --tcp-ports 5-6 --trusted-proxy 10.0.0.0/8 --metrics localhost:9 --json"
    )
    let configuration = settings.configuration
    #expect(configuration.listen.map(\.address.description) == ["127.0.0.1:0", "[::1]:81"])
    #expect(
      configuration.publicURL?.origin == "https://r.example" && configuration.domain == "t.example" && configuration.data.path == "/d")
    #expect(configuration.policy.ports == 5...6 && configuration.trustedProxies.count == 1 && configuration.json)
    #expect(configuration.metrics == .loopback4(port: 9) && settings.warnings.isEmpty)
  }

  @Test(
    "mistakes are one usage line that names the option",
    arguments: [
      ("--listen 8080", "--listen"), ("--listen box:80", "--listen"), ("--listen ftp://1.2.3.4:5", "unknown scheme"),
      ("--listen 1.2.3.4:70000", "--listen"),
      ("--listen https://127.0.0.1:1", "--tls-cert"), ("--tls-cert x", "private key"), ("--tls-key x", "certificate"),
      ("--domain *.x", "--domain"),
      ("--domain 1.2.3.4", "--domain"), ("--domain a..b", "--domain"), ("--domain a_b", "--domain"),
      ("--public-url r.example", "--public-url"), ("--public-url ftp://u:secret@x", "'…@x'"),
      ("--public-url https://r/x", "without a path"), ("--tcp-ports 6-5", "--tcp-ports"), ("--tcp-ports 0-5", "--tcp-ports"),
      ("--tcp-ports 5", "--tcp-ports"),
      ("--trusted-proxy 10.0.0.1/8", "10.0.0.0/8"), ("--metrics 9", "--metrics"), ("--listen 127.0.0.1:1 --listen 127.0.0.1:1", "twice"),
    ])
  func mistakes(_ words: String, _ part: String) {
    let error = #expect(throws: CommandFailure.self) { try Self.settings(words) }
    #expect(error?.message.contains("secret") == false)
    #expect(error?.exitCode == .usage && error?.message.contains(part) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains("\n") == false)
  }

  @Test("a file that isn't there is told apart from a broken one") func absent() {
    let error = #expect(throws: CommandFailure.self) { try Self.settings("--config /nonexistent.yaml") }
    #expect(error?.exitCode == .configuration)
  }

  @Test("the file fills what no flag said; its paths are relative to it") func file() throws {
    let values = try Self.values(
      "listen: 127.0.0.1:1\ndomain: file.example\ntls_cert: c.pem\ntls_key: /k.pem\ntrusted_proxy: [10.0.0.0/8, 'fd00::/8']\njson: true\nlog_level: debug\n"
        + "limits: {names_per_account: 3, tcp_ports_per_account: 0, requested_name_days: 2, random_name_hours: 3, cool_down_days: 0}",
      "--domain flag.example")
    #expect(values.domain?.value == "flag.example" && values.listen.map(\.value) == ["127.0.0.1:1"] && values.json)
    #expect(values.certificate?.value == "/etc/c/c.pem" && values.key?.value == "/k.pem" && values.trustedProxies.count == 2)
    #expect(values.policy.namesPerAccount == 3 && values.policy.portsPerAccount == 0 && values.policy.coolDownSeconds == 0)
    #expect(values.policy.requestedSeconds == 172_800 && values.policy.randomSeconds == 10_800 && values.logLevel?.value == "debug")
  }

  @Test(
    "mistakes in the file have place and key",
    arguments: [
      ("domian: x", "/etc/c/relay.yaml:1:1: key 'domian': unknown key, did you mean 'domain'?"),
      ("limits:\n  names: 1", "/etc/c/relay.yaml:2:3: key 'limits.names': unknown key"),
      ("limits:\n  cool_down_days: -1", "key 'limits.cool_down_days': expected a whole number"),
      ("listen: {a: b}", "key 'listen': expected"), ("json: maybe", "key 'json': expected true or false"), ("config: x", "unknown key"),
    ])
  func brokenFiles(_ yaml: String, _ part: String) {
    let error = #expect(throws: YAMLError.self) { try Self.values(yaml) }
    #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
  }

  @Test(
    "lists as JSON",
    arguments: [
      (
        "a=b@x.y\tenabled\ttokens=1\tnames=0\tcreated=T", .accounts,
        #"{"email":"a=b@x.y","state":"enabled","tokens":1,"names":0,"created":"T"}"#
      ),
      (
        "1234567890ab\ta@x.y\trevoked=T\tcreated=C\tused=never", .tokens,
        #"{"id":"1234567890ab","email":"a@x.y","state":"revoked","revoked":"T","created":"C","used":null}"#
      ),
      (
        "8080\t-\trandom\tport=20001\theld until=T\tused=U", .names,
        #"{"name":"8080","email":null,"kind":"random","port":20001,"state":"held","until":"T","used":"U"}"#
      ),
    ] as [(String, AdminLists.Kind, String)])
  func lists(_ line: String, _ kind: AdminLists.Kind, _ json: String) { #expect(AdminLists.json(line, kind) == json + "\n") }
}
