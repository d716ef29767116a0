import CausewayBase
import CausewayLinuxIO
import CausewayLoopTesting
import Testing

@testable import CausewayScraping

/// A server whose page is what the test says, when it says so.
private final class Fixture {
  let loop: EventLoop
  private(set) var server: MetricsServer!
  /// Scrapes that wait for their page.
  private(set) var waiting: [(ByteBuffer) -> Void] = []
  var answersAtOnce = true

  init(on loop: EventLoop, timeLimit: Duration = .seconds(10)) throws {
    self.loop = loop
    server = try MetricsServer(.loopback4(port: 0), on: loop, timeLimit: timeLimit) { [unowned self] deliver in
      if answersAtOnce { deliver(Self.page) } else { waiting.append(deliver) }
    }
  }

  static var page: ByteBuffer {
    let page = ByteBuffer()
    page.append("up 1\n")
    return page
  }

  func deliver() {
    for deliver in waiting { deliver(Self.page) }
    waiting = []
  }

  func connect() async throws -> PlainPeer {
    let descriptor = try await Connector(on: loop).connect(to: [server.address!], timeout: .seconds(10))
    return PlainPeer(try TCPStream(adopting: descriptor, on: loop))
  }

  /// The whole answer to `request`, up to the end of the connection.
  func ask(_ request: String) async throws -> String {
    let peer = try await connect()
    peer.send(request)
    _ = await loop.until { peer.sawEnd || peer.sawReset }
    peer.stream.close()
    return peer.text
  }
}

@Suite struct MetricsServerTests {
  @Test(
    "GET and HEAD of /metrics, nothing else",
    arguments: [
      ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "up 1\n"),
      ("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", ""),
      ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "404 Not Found", "GET /metrics is all there is here\n"),
      ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", "GET /metrics is all there is here\n"),
      ("\u{1}\r\n\r\n", "400 Bad Request", ""),
    ])
  func answers(_ request: String, _ status: String, _ body: String) async throws {
    let answer = try await onLoop { loop in
      let fixture = try Fixture(on: loop)
      defer { fixture.server.close() }
      return try await fixture.ask(request)
    }
    #expect(answer.hasPrefix("HTTP/1.1 \(status)\r\n"))
    #expect(answer.hasSuffix("Connection: close\r\nContent-Length: \(status == "200 OK" ? 5 : body.utf8.count)\r\n\r\n\(body)"))
  }

  @Test("a page may come later, and nobody need be there any more when it does")
  func laterPage() async throws {
    try await onLoop { loop in
      let fixture = try Fixture(on: loop)
      defer { fixture.server.close() }
      fixture.answersAtOnce = false
      let (stays, leaves) = (try await fixture.connect(), try await fixture.connect())
      for peer in [stays, leaves] { peer.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") }
      #expect(await loop.until { fixture.waiting.count == 2 })
      #expect(stays.text.isEmpty)
      leaves.stream.close()
      #expect(await loop.until { fixture.server.connectionCount == 1 })
      fixture.deliver()
      #expect(await loop.until { stays.sawEnd })
      #expect(stays.text.hasSuffix("\r\n\r\nup 1\n"))
      stays.stream.close()
    }
  }

  @Test("connections beyond the limit are closed at once; closed ones make room")
  func connectionLimit() async throws {
    try await onLoop { loop in
      let fixture = try Fixture(on: loop)
      defer { fixture.server.close() }
      var peers: [PlainPeer] = []
      for _ in 0..<MetricsServer.connectionLimit { peers.append(try await fixture.connect()) }
      #expect(await loop.until { fixture.server.connectionCount == MetricsServer.connectionLimit })
      let extra = try await fixture.connect()
      #expect(await loop.until { extra.sawEnd || extra.sawReset })
      #expect(fixture.server.connectionCount == MetricsServer.connectionLimit)
      for peer in peers { peer.stream.close() }
      #expect(await loop.until { fixture.server.connectionCount == 0 })
      #expect(try await fixture.ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix("HTTP/1.1 200"))
    }
  }

  @Test("whoever says nothing, or waits for a page that never comes, is cut off in time")
  func timeLimit() async throws {
    try await onLoop { loop in
      let fixture = try Fixture(on: loop, timeLimit: .milliseconds(100))
      defer { fixture.server.close() }
      fixture.answersAtOnce = false
      let (silent, waits) = (try await fixture.connect(), try await fixture.connect())
      waits.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(await loop.until { (silent.sawEnd || silent.sawReset) && (waits.sawEnd || waits.sawReset) })
      #expect(fixture.server.connectionCount == 0)
      fixture.deliver()
    }
  }
}
