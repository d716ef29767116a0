import CausewayBase
import CausewayLinuxIO
import Foundation
import Testing

private let certificates = TLSFixture.shared

/// The outcome of one handshake of our client with our server.
private func handshake(
  _ client: TLSContext, _ server: TLSContext, name: String?
) throws -> (client: TLSPeer, server: TLSPeer, done: Bool) {
  let loop = try EventLoop()
  let (a, b) = try TLSTest.pair(loop)
  try b.stream.startTLS(server)
  try a.stream.startTLS(client, serverName: name)
  a.finishesWhenSent = true
  let done = TLSTest.run(loop, [a, b]) { (a.failure != nil && b.failure != nil) || (a.end != nil && b.end != nil) }
  a.stream.close()
  b.stream.close()
  return (a, b, done)
}

@Suite("TLS verification")
struct TLSVerificationTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let what: String
    let pair: TLSFixture.Pair
    let trust: TLSContext.Trust
    let name: String
    let code: TLSError.Code?
    /// What the user must find in the message.
    let words: [String]
    var testDescription: String { what }
  }

  static let ours = TLSContext.Trust.authorities(file: certificates.authority.certificate)
  static let rows: [Row] = [
    Row(what: "a good chain", pair: certificates.server, trust: ours, name: "localhost", code: nil, words: []),
    Row(what: "a good chain, name with a final dot", pair: certificates.server, trust: ours, name: "localhost.", code: nil, words: []),
    Row(what: "a good chain, by address", pair: certificates.server, trust: ours, name: "127.0.0.1", code: nil, words: []),
    Row(
      what: "a wildcard", pair: certificates.other, trust: ours, name: "a.other.example", code: nil, words: []),
    Row(
      what: "another name", pair: certificates.other, trust: ours, name: "localhost", code: .nameMismatch,
      words: ["other.example, *.other.example", "not for localhost"]),
    Row(
      what: "a wildcard two levels down", pair: certificates.other, trust: ours, name: "a.b.other.example", code: .nameMismatch,
      words: ["a.b.other.example"]),
    Row(
      what: "another address", pair: certificates.server, trust: ours, name: "127.0.0.2", code: .nameMismatch,
      words: ["localhost, tunnel.example, 127.0.0.1", "127.0.0.2"]),
    Row(
      what: "an expired certificate", pair: certificates.expired, trust: ours, name: "localhost", code: .certificateExpired,
      words: ["localhost expired on 20"]),
    Row(
      what: "a self-signed certificate", pair: certificates.selfSigned, trust: ours, name: "localhost", code: .certificateSelfSigned,
      words: ["localhost is self-signed", "CA file"]),
    Row(
      what: "a self-signed certificate that is trusted", pair: certificates.selfSigned,
      trust: .authorities(file: certificates.selfSigned.certificate), name: "localhost", code: nil, words: []),
    Row(
      what: "an issued certificate that is trusted itself", pair: certificates.server,
      trust: .authorities(file: certificates.server.certificate), name: "localhost", code: nil, words: []),
    Row(
      what: "an unknown authority", pair: certificates.server, trust: .systemStore, name: "localhost", code: .unknownAuthority,
      words: ["unknown authority", "authority of a test"]),
    Row(what: "no verification, wrong name", pair: certificates.other, trust: .insecure, name: "localhost", code: nil, words: []),
    Row(what: "no verification, self-signed", pair: certificates.selfSigned, trust: .insecure, name: "x", code: nil, words: []),
    Row(what: "no verification, expired", pair: certificates.expired, trust: .insecure, name: "x", code: nil, words: []),
  ]

  @Test("the client accepts what it should, and says why it doesn't", arguments: rows)
  func verification(_ row: Row) throws {
    let server = try TLSContext(certificateChainFile: row.pair.certificate, keyFile: row.pair.key)
    let result = try handshake(TLSContext(clientTrusting: row.trust), server, name: row.name)
    #expect(result.done)
    #expect(result.client.failure?.code == row.code)
    #expect(result.client.wasEstablished == (row.code == nil))
    let message = result.client.failure?.message ?? ""
    for words in row.words { #expect(message.contains(words), "\(message)") }
    #expect(!message.contains("\n"))
    if row.code != nil {
      #expect(result.client.failure?.isCertificateRefused == true)
      #expect(result.server.failure?.code == .refusedByPeer)
    } else {
      #expect(result.client.end == .end)
    }
  }

  @Test(
    "a verifying client without a name, or with an impossible one, is refused before it says anything", arguments: [nil, "", "a b\u{0}c"])
  func names(_ name: String?) throws {
    let loop = try EventLoop()
    let (client, _) = try TLSTest.pair(loop)
    let context = try TLSContext(clientTrusting: .systemStore)
    #expect { try client.stream.startTLS(context, serverName: name) } throws: { ($0 as? TLSError)?.code == .configuration }
  }

  @Test("a second connection resumes the session, with the same answer to the name")
  func resumption() throws {
    let server = try TLSContext(certificateChainFile: certificates.server.certificate, keyFile: certificates.server.key)
    let client = try TLSContext(clientTrusting: Self.ours)
    let resumed = try (0..<3).map { _ in try handshake(client, server, name: "localhost") }.map {
      [$0.client.stream.tls?.isResumed, $0.server.stream.tls?.isResumed]
    }
    #expect(resumed == [[false, false], [true, true], [true, true]])
    let otherName = try handshake(client, server, name: "tunnel.example")
    #expect(otherName.client.stream.tls?.isResumed == false && otherName.client.failure == nil)
    let wrongName = try handshake(client, server, name: "wrong.example")
    #expect(wrongName.client.failure?.code == .nameMismatch)
  }

  @Test("a cut connection leaves its session usable: that is when a reconnect comes")
  func resumptionAfterCut() throws {
    let server = try TLSContext(certificateChainFile: certificates.server.certificate, keyFile: certificates.server.key)
    let client = try TLSContext(clientTrusting: Self.ours)
    do {
      let loop = try EventLoop()
      let (a, b) = try TLSTest.pair(loop)
      a.finishesWhenSent = false
      b.finishesWhenSent = false
      b.outgoing = [1]
      try b.stream.startTLS(server)
      try a.stream.startTLS(client, serverName: "localhost")
      let arrived = TLSTest.run(loop, [a, b]) { a.received == [1] }
      #expect(arrived)
      b.stream.abort()
      let cut = TLSTest.run(loop, [a, b]) { a.end != nil }
      #expect(cut)
      a.stream.close()
    }
    let second = try handshake(client, server, name: "localhost")
    #expect(second.client.stream.tls?.isResumed == true)
  }

  @Test("a reloaded server shows its new certificate, and a bad reload changes nothing")
  func reload() throws {
    let folder = certificates.folder
    let (chain, key) = ("\(folder)/live.pem", "\(folder)/live.key")
    func install(_ pair: TLSFixture.Pair) throws {
      try Data(contentsOf: URL(fileURLWithPath: pair.certificate)).write(to: URL(fileURLWithPath: chain))
      try Data(contentsOf: URL(fileURLWithPath: pair.key)).write(to: URL(fileURLWithPath: key))
    }
    try install(certificates.server)
    let server = try TLSContext(certificateChainFile: chain, keyFile: key)
    func code(_ name: String) throws -> TLSError.Code? {
      try handshake(TLSContext(clientTrusting: Self.ours), server, name: name).client.failure?.code
    }
    #expect(try code("localhost") == nil)
    try install(certificates.other)
    #expect(try code("localhost") == nil)
    try server.reload()
    #expect(try code("localhost") == .nameMismatch)
    #expect(try code("other.example") == nil)
    try Data("junk".utf8).write(to: URL(fileURLWithPath: key))
    #expect(throws: TLSError.self) { try server.reload() }
    #expect(try code("other.example") == nil)
  }
}

@Suite("TLS files")
struct TLSFileTests {
  @Test("an unusable file gets one line that names it")
  func files() throws {
    let folder = certificates.folder
    let junk = "\(folder)/junk.pem"
    try Data("not a certificate\n".utf8).write(to: URL(fileURLWithPath: junk))
    let protected = "\(folder)/protected.key"
    TLSFixture.openssl(["pkey", "-in", certificates.server.key, "-aes128", "-passout", "pass:x", "-out", protected])
    let (good, key) = (certificates.server.certificate, certificates.server.key)
    let missing = "\(folder)/nowhere.pem"
    let rows: [(String, String, [String])] = [
      (missing, key, [missing, "No such file"]),
      (good, missing, [missing, "No such file"]),
      (junk, key, [junk, "PEM"]),
      (good, junk, [junk, "PEM"]),
      (good, protected, [protected, "passphrase"]),
      (good, certificates.other.key, [good, certificates.other.key, "does not belong"]),
    ]
    for (chain, key, words) in rows {
      #expect {
        try TLSContext(certificateChainFile: chain, keyFile: key)
      } throws: { error in
        let message = (error as? TLSError)?.message ?? ""
        return words.allSatisfy(message.contains) && !message.contains("\n") && (error as? TLSError)?.code == .configuration
      }
    }
    for (file, words) in [(missing, "No such file"), (junk, "no certificate")] {
      #expect {
        try TLSContext(clientTrusting: .authorities(file: file))
      } throws: { error in
        let message = (error as? TLSError)?.message ?? ""
        return message.contains(file) && message.contains(words)
      }
    }
  }
}
