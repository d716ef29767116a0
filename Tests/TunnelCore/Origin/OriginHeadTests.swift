import CausewayBase
import CausewayWire
import Testing

@testable import CausewayTunnelCore

@Suite struct OriginRequestTests {
  struct Request: Sendable, CustomTestStringConvertible {
    var kind = StreamKind.http
    var method = "GET"
    var target = "/"
    var host = "shop.example"
    var body = BodyLength.none
    var fields: [(String, String)] = []
    var rule = HostHeader.keep
    var expected = ""
    var testDescription: String { "\(method) \(target) \(host) \(fields)" }
  }

  static func write(_ row: Request) throws(RecordError) -> (request: OriginRequest, text: String) {
    let record = ByteBuffer()
    var writer = HeadRecordWriter(
      request: row.kind, tunnel: 7, method: Array(row.method.utf8).span, target: Array(row.target.utf8).span,
      host: Array(row.host.utf8).span,
      body: row.body, to: record)
    for (name, value) in row.fields { writer.field(Array(name.utf8).span, Array(value.utf8).span) }
    writer.finish()
    let out = ByteBuffer()
    let request = try OriginRequest.write(record.bytes, payload: Record.headerByteCount..<record.count, host: row.rule, to: out)
    return (request, out.bytes.string(in: 0..<out.count))
  }

  @Test(
    "a request is written anew: one framing, the tunnel's Host, nothing hop by hop",
    arguments: [
      Request(expected: "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
      Request(method: "OPTIONS", target: "*", expected: "OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
      Request(
        method: "POST", target: "/a?b=%20", body: .known(5), fields: [("Accept", "a"), ("accept", "b"), ("Accept", "a")],
        expected: "POST /a?b=%20 HTTP/1.1\r\nHost: shop.example\r\nAccept: a\r\naccept: b\r\nAccept: a\r\nContent-Length: 5\r\n\r\n"),
      Request(method: "PUT", body: .known(0), expected: "PUT / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n"),
      Request(method: "PUT", body: .unknown, expected: "PUT / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"),
      Request(rule: .fixed(Array("localhost:3000".utf8)), expected: "GET / HTTP/1.1\r\nHost: localhost:3000\r\n\r\n"),
      Request(
        fields: [
          ("Host", "evil"), ("Content-Length", "9"), ("Transfer-Encoding", "chunked"), ("Connection", "close"), ("Keep-Alive", "a"),
          ("Upgrade", "h2c"), ("TE", "trailers"), ("Proxy-Connection", "close"), ("X", ""),
        ], expected: "GET / HTTP/1.1\r\nHost: shop.example\r\nX: \r\n\r\n"),
      Request(
        kind: .webSocket, fields: [("Sec-WebSocket-Key", "k")],
        expected: "GET / HTTP/1.1\r\nHost: shop.example\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ])
  func heads(_ row: Request) throws {
    let written = try Self.write(row)
    #expect(written.text == row.expected)
    #expect(written.request.tunnel == 7 && written.request.body == row.body)
  }

  @Test(
    "nothing in a record can end a line or begin another part",
    arguments: [
      Request(method: ""), Request(method: "GE T"), Request(method: "GET\r\n"), Request(method: "GET\0"), Request(target: ""),
      Request(target: "/ HTTP/1.1\r\nX: y"), Request(target: "/\r"), Request(target: "/\n"), Request(target: "/\0"),
      Request(target: "/\u{7F}"),
      Request(host: "a\r\nX: y"), Request(host: "a b"), Request(fields: [("A\r\nB", "c")]), Request(fields: [("A:", "c")]),
      Request(fields: [("A ", "c")]), Request(fields: [("A", "b\r\nC: d")]), Request(fields: [("A", "b\n")]),
      Request(fields: [("A", "b\r")]),
      Request(fields: [("A", "\0")]), Request(fields: [("A", "\u{7F}")]), Request(fields: [("Transfer-Encoding\r\nX", "y")]),
      Request(fields: [("Content-Length", "1\r\n\r\nGET / HTTP/1.1")]),
    ])
  func injections(_ row: Request) {
    #expect(throws: RecordError.self) { try Self.write(row) }
  }

  @Test(
    "a request may be repeated when it is idempotent and has no body",
    arguments: [
      ("GET", BodyLength.none, true), ("HEAD", .none, true), ("DELETE", .none, true), ("PUT", .known(1), false), ("GET", .known(1), false),
      ("POST", .none, false), ("PATCH", .none, false), ("WHATEVER", .none, false), ("GET", .unknown, false),
    ] as [(String, BodyLength, Bool)])
  func replay(_ method: String, _ body: BodyLength, _ isReplayable: Bool) throws {
    let written = try Self.write(Request(method: method, body: body))
    #expect(written.request.isReplayable == isReplayable)
  }

  @Test("a damaged or cut record is refused")
  func damaged() throws {
    let record = ByteBuffer()
    let text = Array("GET".utf8)
    var writer = HeadRecordWriter(
      request: .http, tunnel: 1, method: text.span, target: text.span, host: text.span, body: .known(3), to: record)
    writer.field(text.span, text.span)
    writer.finish()
    for end in Record.headerByteCount..<record.count {
      #expect(throws: RecordError.self, "\(end)") {
        try OriginRequest.write(record.bytes, payload: Record.headerByteCount..<end, host: .keep, to: ByteBuffer())
      }
    }
  }

  @Test("a chunked body ends with the trailers that may be there")
  func trailers() throws {
    func end(_ fields: [(String, String)]) throws(RecordError) -> String {
      let record = ByteBuffer()
      var writer = HeadRecordWriter(trailersTo: record)
      for (name, value) in fields { writer.field(Array(name.utf8).span, Array(value.utf8).span) }
      writer.finish()
      let out = ByteBuffer()
      try OriginRequest.writeChunkedEnd(record.bytes, trailers: Record.headerByteCount..<record.count, to: out)
      return out.bytes.string(in: 0..<out.count)
    }
    #expect(try end([]) == "0\r\n\r\n")
    #expect(try end([("X-Sum", "1"), ("Content-Length", "9"), ("Host", "x"), ("X-Sum", "2")]) == "0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n")
    #expect(throws: RecordError.self) { try end([("X", "a\r\n\r\nGET")]) }
    #expect(throws: RecordError.self) { try end([("X\n", "a")]) }
  }
}

@Suite struct OriginResponseTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var head: String
    var method = "GET"
    var status: UInt16 = 200
    var body: BodyLength
    var fields: [String] = []
    var testDescription: String { "\(method): \(head)" }
  }

  @Test(
    "an answer's head travels without its framing and what is hop by hop",
    arguments: [
      Row(head: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\n", body: .known(3), fields: ["A: b"]),
      Row(head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n", body: .unknown),
      Row(head: "HTTP/1.0 200 OK\r\n\r\n", body: .unknown),
      Row(head: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", method: "HEAD", body: .none, fields: ["Content-Length: 3"]),
      Row(
        head: "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\nETag: \"a\"\r\n\r\n", status: 304, body: .none,
        fields: ["Content-Length: 3", "ETag: \"a\""]),
      Row(head: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, body: .none),
      Row(head: "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", status: 103, body: .none, fields: ["Link: <a>"]),
      Row(
        head:
          "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: t\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        body: .known(0), fields: ["Set-Cookie: a", "Set-Cookie: b"]),
    ])
  func records(_ row: Row) throws {
    let input = Array(row.head.utf8)
    let head = ResponseHead()
    let count = try head.parse(input.span, to: HTTPMethod(Array(row.method.utf8).span))
    #expect(count == input.count)
    let out = ByteBuffer()
    OriginResponse.write(head, input.span, to: out)
    var reader = HeadRecordReader(payload: Record.headerByteCount..<out.count)
    let response = try reader.response(out.bytes)
    #expect(response.status == row.status && response.body == row.body)
    var fields: [String] = []
    for _ in 0..<response.fieldCount {
      let (name, value) = try reader.field(out.bytes)
      fields.append("\(out.bytes.string(in: name)): \(out.bytes.string(in: value))")
    }
    #expect(fields == row.fields)
  }
}
