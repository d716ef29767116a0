import CausewayBase
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import Testing

@testable import CausewayTunnel

/// A service that answers each whole head with `answer`.
private func serve(_ loop: EventLoop, _ answer: String, closes: Bool = false) throws -> PlainServer {
  try PlainServer(on: loop) { peer in
    peer.onData = { peer in
      guard peer.text.contains("\r\n\r\n") else { return }
      peer.clear()
      peer.send(answer)
      if closes { peer.stream.close() }
    }
  }
}

private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

@Suite struct OriginHTTPTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var answer: String
    var method = "GET"
    var closes = false
    var statuses = [200]
    var body = ""
    var length: BodyLength?
    var trailers: [String]? = []
    var reset: ResetCode?
    var testDescription: String { "\(method) \(answer.prefix(60))" }
  }

  @Test(
    "answers become records: framing, interim heads, ends and cuts",
    arguments: [
      Row(answer: ok, body: "ok", length: .known(2)),
      Row(
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n", body: "abcde",
        length: .unknown, trailers: ["X-Sum: 1"]),
      Row(answer: "HTTP/1.1 200 OK\r\n\r\nuntil close", closes: true, body: "until close", length: .unknown),
      Row(answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method: "HEAD", length: BodyLength.none),
      Row(answer: "HTTP/1.1 204 No Content\r\n\r\n", statuses: [204], length: BodyLength.none),
      Row(answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", statuses: [304], length: BodyLength.none),
      Row(
        answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + ok, statuses: [100, 103, 200], body: "ok",
        length: .known(2)),
      Row(answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", closes: true, body: "short", trailers: nil, reset: .originAborted),
      Row(
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", closes: true, body: "abc", trailers: nil,
        reset: .originAborted),
      Row(answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", statuses: [], trailers: nil, reset: .originMalformed),
      Row(
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", statuses: [], trailers: nil, reset: .originMalformed),
      Row(
        answer: "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", statuses: [], trailers: nil,
        reset: .originMalformed),
      Row(answer: "SSH-2.0-x\r\n\r\n", statuses: [], trailers: nil, reset: .originMalformed),
      Row(
        answer: "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 1 << 20) + "\r\n\r\n", statuses: [], trailers: nil,
        reset: .originMalformed),
      Row(answer: "", closes: true, statuses: [], trailers: nil, reset: .originAborted),
      Row(answer: "HTTP/1.1 20", closes: true, statuses: [], trailers: nil, reset: .originAborted),
    ])
  func answers(_ row: Row) async throws {
    try await onLoop { loop in
      let server = try serve(loop, row.answer, closes: row.closes)
      let bench = try OriginBench(loop, port: server.port)
      let visitor = bench.request(row.method)
      #expect(await loop.until { visitor.isOver })
      #expect(visitor.reset == row.reset && !visitor.damaged)
      // A reset overtakes what has not left yet.
      if row.reset == nil { #expect(visitor.answers.map(\.status) == row.statuses && visitor.text == row.body) }
      if row.reset == nil, let length = row.length { #expect(visitor.bodyLength == length) }
      #expect(visitor.trailers == row.trailers)
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("a kept connection serves the next request, also behind a large body; one that the service closes does not")
  func keepAlive() async throws {
    try await onLoop { loop in
      let large = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + String(repeating: "x", count: 300_000)
      for (answer, connections) in [(ok, 1), (large, 1), ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 3)] {
        let server = try serve(loop, answer)
        let bench = try OriginBench(loop, port: server.port)
        for _ in 0..<3 {
          let visitor = bench.request()
          #expect(await loop.until { visitor.ended })
          #expect(await loop.until { bench.isClean() })
        }
        #expect(server.peers.count == connections)
        bench.close()
        server.close()
      }
    }
  }

  @Test(
    "a stale kept connection is tried once more for an idempotent request, never for a POST", arguments: [("GET", true), ("POST", false)])
  func stale(_ method: String, _ succeeds: Bool) async throws {
    try await onLoop { loop in
      var answered = 0
      let server = try PlainServer(on: loop) { peer in
        peer.onData = { peer in
          guard peer.text.contains("\r\n\r\n") else { return }
          // The first connection answers once and dies under its second request.
          if answered == 1 {
            answered = 2
            return peer.stream.close()
          }
          answered += 1
          peer.clear()
          peer.send(ok)
        }
      }
      let bench = try OriginBench(loop, port: server.port)
      let first = bench.request()
      #expect(await loop.until { first.ended && bench.isClean() })
      let second = bench.request(method)
      #expect(await loop.until { second.isOver })
      #expect(succeeds ? second.text == "ok" : second.reset == .originAborted)
      #expect(server.peers.count == (succeeds ? 2 : 1))
      if succeeds { #expect(server.peers[1].received.isEmpty, "the whole request came again") }
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("head, body and end reach a service that is still being connected to in their order", arguments: [0, 5, 5000, 60_000])
  func bodyWithHead(_ count: Int) async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port)
      let body = pattern(count)
      let known = bench.request("POST", "/k", body: body)
      let chunked = bench.request("POST", "/c", body: body, length: .unknown)
      let expected = Array("POST /k HTTP/1.1\r\nHost: h.example\r\nContent-Length: \(count)\r\n\r\n".utf8) + body
      let chunk = count == 0 ? [] : Array((String(count, radix: 16) + "\r\n").utf8) + body + Array("\r\n".utf8)
      let expectedChunked =
        Array("POST /c HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n".utf8) + chunk + Array("0\r\n\r\n".utf8)
      #expect(
        await loop.until {
          server.peers.reduce(0) { $0 + $1.receivedByteCount } >= expected.count + (count <= 16_000 ? expectedChunked.count : 0)
        })
      await loop.pause(.milliseconds(20))
      let k = server.peers.first { $0.text.hasPrefix("POST /k") }
      let c = server.peers.first { $0.text.hasPrefix("POST /c") }
      #expect(k?.received == expected)
      if count <= 16_000 { #expect(c?.received == expectedChunked) } else { #expect(Self.unchunked(c?.received ?? []) == body) }
      for peer in server.peers { peer.send(ok) }
      #expect(await loop.until { known.ended && chunked.ended && bench.isClean() })
      bench.close()
      server.close()
    }
  }

  static func unchunked(_ message: [UInt8]) -> [UInt8]? {
    guard let head = message.indices.first(where: { message[$0...].starts(with: Array("\r\n\r\n".utf8)) }) else { return nil }
    var rest = message[(head + 4)...]
    var body: [UInt8] = []
    while let line = rest.firstIndex(of: 13) {
      guard let size = Int(String(decoding: rest[..<line], as: UTF8.self), radix: 16) else { return nil }
      if size == 0 { return body }
      guard rest.distance(from: line, to: rest.endIndex) >= size + 4 else { return nil }
      body += rest[(line + 2)..<(line + 2 + size)]
      rest = rest[(line + 4 + size)...]
    }
    return nil
  }

  @Test("a long upload passes whole, its memory bounded while the service does not read")
  func upload() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop) { $0.reads = false }
      let bench = try OriginBench(loop, port: server.port)
      let body = pattern(20_000_000)
      let visitor = bench.request("PUT", length: .known(UInt64(body.count)), ends: false)
      var sent = 0
      func pump() {
        while sent < body.count {
          let capacity = bench.relay.sendCapacity(visitor.id) - 4
          if capacity <= 0 { return }
          let count = min(capacity, body.count - sent)
          bench.send(visitor, data: Array(body[sent..<sent + count]))
          sent += count
        }
        bench.end(visitor)
      }
      visitor.onWritable = { pump() }
      pump()
      var before = -1
      #expect(
        await loop.until {
          defer { before = sent }
          return server.peers.count == 1 && sent == before
        })
      await loop.pause(.milliseconds(200))
      #expect(sent < 15_000_000, "it waits for the service")
      server.peers[0].reads = true
      #expect(await loop.until(.seconds(20)) { server.peers[0].receivedByteCount > body.count })
      let arrived = Array(server.peers[0].received.suffix(body.count))
      #expect(arrived == body)
      server.peers[0].send(ok)
      #expect(await loop.until { visitor.ended && bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("an early answer ends the upload, and its connection serves no other request", arguments: [true, false])
  func earlyAnswer(knownLength: Bool) async throws {
    try await onLoop { loop in
      let server = try serve(loop, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
      let bench = try OriginBench(loop, port: server.port)
      let visitor = bench.request("POST", length: knownLength ? .known(1_000_000) : .unknown, ends: false)
      bench.send(visitor, data: [1, 2, 3])
      #expect(await loop.until { visitor.ended && visitor.status == 413 })
      // The relay may have sent more before it knows.
      bench.send(visitor, data: pattern(20_000))
      #expect(await loop.until { server.peers[0].sawEnd || server.peers[0].sawReset })
      if !knownLength { bench.end(visitor) }
      bench.relay.reset(visitor.id, .cancelled)
      #expect(await loop.until { bench.isClean() })
      #expect(bench.tunnel.pool.count == 0)
      let next = bench.request()
      #expect(await loop.until { next.ended })
      #expect(server.peers.count == 2)
      bench.close()
      server.close()
    }
  }

  @Test("more or less body than announced never reaches the service as another request")
  func dishonestLength() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port)
      let more = bench.request("POST", body: Array("abcGET / HTTP/1.1\r\n\r\n".utf8), length: .known(3))
      let less = bench.request("POST", body: [1], length: .known(3))
      let bodyless = bench.request("GET", body: [1], length: BodyLength.none)
      #expect(await loop.until { more.isOver && less.isOver && bodyless.isOver })
      for visitor in [more, less, bodyless] { #expect(visitor.reset == .protocolViolation) }
      #expect(await loop.until { bench.isClean() })
      for peer in server.peers { #expect(!peer.text.contains("GET / HTTP")) }
      bench.close()
      server.close()
    }
  }

  @Test("a visitor that does not read holds a bounded part of the answer, and a visitor that goes closes the service's connection")
  func slowReader() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port)
      let visitor = bench.request()
      visitor.drains = false
      #expect(await loop.until { server.peers.first?.text.hasSuffix("\r\n\r\n") == true })
      server.peers[0].send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
      server.peers[0].send([UInt8](repeating: 7, count: 50_000_000))
      await loop.pause(.milliseconds(200))
      #expect(visitor.body.count > 0 && visitor.body.count <= 128 * 1024)
      #expect(bench.client.session.unacknowledgedByteCount <= 256 * 1024)
      #expect(server.peers[0].unsentByteCount > 20_000_000)
      bench.relay.reset(visitor.id, .cancelled)
      #expect(await loop.until { server.peers[0].sawReset || server.peers[0].sawEnd || server.peers[0].unsentByteCount == 0 })
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("interim heads without end are bounded too")
  func interimFlood() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port)
      let visitor = bench.request()
      visitor.drains = false
      #expect(await loop.until { server.peers.count == 1 && !server.peers[0].received.isEmpty })
      let hint = "HTTP/1.1 103 Early Hints\r\nLink: <" + String(repeating: "a", count: 900) + ">\r\n\r\n"
      server.peers[0].send(String(repeating: hint, count: 20_000))
      await loop.pause(.milliseconds(200))
      #expect(bench.client.session.unacknowledgedByteCount <= 256 * 1024)
      #expect(server.peers[0].unsentByteCount > 5_000_000)
      bench.close()
      server.close()
    }
  }

  @Test("events are passed on as they are sent")
  func serverSentEvents() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port)
      let visitor = bench.request()
      #expect(await loop.until { server.peers.first?.text.hasSuffix("\r\n\r\n") == true })
      server.peers[0].send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
      #expect(await loop.until { visitor.status == 200 })
      for count in 1...5 {
        server.peers[0].send("data: \(count)\n\n")
        #expect(await loop.until { visitor.text.hasSuffix("data: \(count)\n\n") })
      }
      server.peers[0].finish()
      #expect(await loop.until { visitor.ended && bench.isClean() })
      bench.close()
      server.close()
    }
  }
}
