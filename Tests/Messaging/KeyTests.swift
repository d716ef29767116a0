import CausewayMessaging
import Glibc
import Testing

@Suite("Keys")
struct KeyTests {
  @Test("a key has at least 16 bytes", arguments: [(0, false), (15, false), (16, true), (1000, true)])
  func length(_ count: Int, _ isKey: Bool) {
    let key = try? MessagingKey([UInt8](repeating: 1, count: count))
    #expect((key != nil) == isKey)
  }

  @Test(
    "a file's key ends before the white space at its end, and is as long as others",
    arguments: [
      ("0123456789abcdef", true), ("0123456789abcdef\n", true), ("0123456789abcdef \t\r\n\n", true), ("0123456789abcde\n\n", false),
      ("", false), (String(repeating: "\n", count: 40), false), (String(repeating: "k", count: 5000), false),
    ])
  func file(_ content: String, _ isKey: Bool) async throws {
    let path = "/tmp/causeway-key-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    let bytes = Array(content.utf8)
    let written = unsafe write(file, bytes, bytes.count)
    #expect(written == bytes.count)
    close(file)
    defer { unsafe _ = unlink(path) }
    guard isKey else {
      let error = #expect(throws: MessagingError.self) { try MessagingKey(file: path) }
      #expect(error?.code == .invalidArgument)
      return
    }
    // It is the one that other sides have as bytes.
    let engine = try Pair.engine()
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    let port = try await server.listen(on: "127.0.0.1", key: MessagingKey(file: path))
    try await client.connect(to: "127.0.0.1", port: port, key: MessagingKey(Array("0123456789abcdef".utf8)))
    engine.shutdown()
  }

  @Test("a file that is not there is named")
  func missing() {
    let error = #expect(throws: MessagingError.self) { try MessagingKey(file: "/nowhere/key") }
    #expect(error?.description.contains("/nowhere/key") == true)
  }
}
