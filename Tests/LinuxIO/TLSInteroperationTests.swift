import CLinux
import CausewayBase
import CausewayLinuxIO
import Foundation
import Testing

private let certificates = TLSFixture.shared

/// The openssl program as a server on a port of its own choice; killed and awaited at the end of its life.
private final class OpenSSLServer {
  let process: Process
  let port: UInt16
  private let input = Pipe()  // open: the program ends when its standard input does
  private let output: URL

  init(_ options: [String], folder: String = certificates.folder) throws {
    output = URL(fileURLWithPath: "\(folder)/s_server-\(UUID().uuidString)")
    try Data().write(to: output)
    process = TLSFixture.make(
      ["s_server", "-accept", "127.0.0.1:0", "-cert", certificates.server.certificate, "-key", certificates.server.key] + options)
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardInput = input
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = FileHandle.nullDevice
    try process.run()
    // "ACCEPT 127.0.0.1:34567" is its way to say that it listens.
    var port: UInt16?
    for _ in 0..<2000 where port == nil {
      let lines = try String(decoding: Data(contentsOf: output), as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
      port = lines.dropLast().first { $0.hasPrefix("ACCEPT") }.flatMap { $0.split(separator: ":").last }.flatMap { UInt16($0) }
      if port == nil { usleep(5000) }
    }
    self.port = try #require(port, "openssl s_server did not start")
  }

  /// What it wrote, once it has ended by itself.
  func finalOutput() throws -> Data {
    for _ in 0..<2000 where process.isRunning { usleep(5000) }
    #expect(!process.isRunning)
    return try Data(contentsOf: output)
  }

  deinit {
    // Not SIGTERM: the program inherits the signal mask of the thread that started it, which blocks that.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }
}

@Suite("TLS with the openssl program", .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")))
struct TLSInteroperationTests {
  let loop: EventLoop

  init() throws { loop = try EventLoop() }

  private func connect(_ port: UInt16, alpn: [String] = []) throws -> TLSPeer {
    let peer = try TLSPeer(FileDescriptor(adopting: TLSTest.connect(port)), loop)
    let context = try TLSContext(clientTrusting: .authorities(file: certificates.authority.certificate))
    try peer.stream.startTLS(context, serverName: "localhost", alpn: alpn)
    return peer
  }

  @Test("8 MiB come from its server", arguments: ["-tls1_2", "-tls1_3"])
  func download(_ version: String) throws {
    let body = TLSTest.body(8 << 20, seed: 20)
    try Data(body).write(to: URL(fileURLWithPath: "\(certificates.folder)/download\(version)"))
    let server = try OpenSSLServer([version, "-WWW"])
    let client = try connect(server.port)
    client.outgoing = Array("GET /download\(version) HTTP/1.0\r\n\r\n".utf8)
    client.finishesWhenSent = false
    let done = TLSTest.run(loop, [client]) { client.end != nil }
    #expect(done)
    #expect(client.stream.tls?.protocolVersion == (version == "-tls1_2" ? "TLSv1.2" : "TLSv1.3"))
    let same = client.received.suffix(body.count).elementsEqual(body)
    #expect(same && client.received.starts(with: "HTTP/1.0 200".utf8))
  }

  @Test("8 MiB go to its server, and our end is its end", arguments: ["-tls1_2", "-tls1_3"])
  func upload(_ version: String) throws {
    let server = try OpenSSLServer([version, "-naccept", "1", "-alpn", "causeway,http/1.1"])
    let client = try connect(server.port, alpn: ["http/1.1"])
    // Lower-case letters: the program takes nothing else for a command, and its report around the body stays apart.
    client.outgoing = TLSTest.body(8 << 20, seed: 21).map { 97 + $0 % 26 }
    let done = TLSTest.run(loop, [client]) { client.end != nil }
    #expect(done)
    #expect(client.end == .end)
    #expect(client.stream.tls?.applicationProtocol == "http/1.1")
    client.stream.close()
    let found = try server.finalOutput().range(of: Data(client.outgoing)) != nil
    #expect(found)
  }

  @Test("its client verifies us, and 8 MiB go each way", arguments: ["-tls1_2", "-tls1_3"])
  func serve(_ version: String) throws {
    let (up, down) = (TLSTest.body(8 << 20, seed: 22), TLSTest.body(8 << 20, seed: 23))
    let (input, output) = ("\(certificates.folder)/up\(version)", "\(certificates.folder)/down\(version)")
    try Data(up).write(to: URL(fileURLWithPath: input))
    _ = FileManager.default.createFile(atPath: output, contents: nil)
    let (listener, port) = try TLSTest.listen()
    defer { close(listener) }
    let process = TLSFixture.make(
      ["s_client", "-connect", "127.0.0.1:\(port)", version, "-quiet", "-CAfile", certificates.authority.certificate]
        + ["-verify_return_error", "-verify_hostname", "localhost", "-servername", "localhost", "-alpn", "h2,http/1.1"])
    process.standardInput = FileHandle(forReadingAtPath: input)
    process.standardOutput = FileHandle(forWritingAtPath: output)
    process.standardError = FileHandle.nullDevice
    try process.run()
    let server = try TLSPeer(FileDescriptor(adopting: TLSTest.accept(listener)), loop)
    server.outgoing = down
    server.finishesWhenSent = false
    try server.stream.startTLS(
      TLSContext(certificateChainFile: certificates.server.certificate, keyFile: certificates.server.key), alpn: ["http/1.1"])
    let done = TLSTest.run(loop, [server]) { server.received.count == up.count && server.sent == down.count || server.failure != nil }
    #expect(done)
    #expect(server.stream.tls?.applicationProtocol == "http/1.1" && server.stream.tls?.serverName == "localhost")
    #expect(server.stream.tls?.protocolVersion == (version == "-tls1_2" ? "TLSv1.2" : "TLSv1.3"))
    let same = server.received == up
    #expect(same)
    server.stream.finishWriting()
    let ended = TLSTest.run(loop, [server]) { server.end != nil }
    #expect(ended)
    server.stream.close()
    process.waitUntilExit()
    let arrived = try Data(contentsOf: URL(fileURLWithPath: output)) == Data(down)
    #expect(arrived)
  }

  @Test("a server that speaks nothing newer than TLS 1.1 is refused with words")
  func old() throws {
    let server = try OpenSSLServer(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
    let client = try connect(server.port)
    let done = TLSTest.run(loop, [client]) { client.failure != nil }
    #expect(done)
    #expect(client.failure?.code == .nothingInCommon)
    #expect(client.failure?.message.contains("TLS version") == true)
  }
}
