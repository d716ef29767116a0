import CausewayMessaging
import Testing

@Suite("Processes")
struct PeerTests {
  @Test("an engine raises the soft limit of descriptors to the hard one")
  func descriptors() throws {
    let limits = try Peer("limits").line().split(separator: " ")
    #expect(limits.count == 2)
    #expect(limits.first == limits.last)
  }

  @Test("a sender's flush ends well while its peer lives", arguments: ["batches", "callback", "async"])
  func flush(_ manner: String) throws {
    let sink = try Peer("sink-\(manner)", "count=6400", "size=1024")
    let source = try Peer("stream-\(manner)", "count=6400", "size=1024", "port=\(sink.line())")
    let answer = source.line()
    #expect(answer.hasPrefix("rate "), "\(answer)")
  }

  @Test("both ways at once, between two processes", arguments: ["callback", "async"], ["posix,tcp", "tcp"])
  func duplex(_ manner: String, _ tls: String) throws {
    let server = try Peer("serve-duplex-\(manner)", "tls=\(tls)", "size=100000", "count=50", "window=4")
    let client = try Peer("duplex-\(manner)", "tls=\(tls)", "size=100000", "count=50", "window=4", "port=\(server.line())")
    let answer = client.line()
    #expect(answer.hasPrefix("rate "), "\(answer)")
  }
}
