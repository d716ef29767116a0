import CausewayBase
import Testing

@testable import CausewayTunnelCore

@Suite struct RecordTests {
  /// Every event in one form, whatever the pieces the bytes came in.
  private func parse(_ pieces: [[UInt8]]) throws(RecordError) -> (facts: [String], isBetween: Bool) {
    var parser = RecordParser()
    var facts: [String] = []
    for piece in pieces {
      var offset = 0
      while let event = try parser.next(piece.span, &offset) {
        switch event {
        case .head(let kind, let range): facts.append("\(kind) \(Array(piece[range]))")
        case .collectedHead(let kind):
          let collected = parser.collected
          facts.append("\(kind) \((0..<collected.count).map { collected.bytes[$0] })")
        case .data(let range): facts += piece[range].map { "data \($0)" }
        }
      }
    }
    return (facts, parser.isBetweenRecords)
  }

  private static let stream: [UInt8] =
    [1, 0, 0, 3, 10, 11, 12] + [2, 0, 0, 0] + [3, 0, 0, 2, 20, 21] + [3, 0, 0, 0] + [4, 0, 0, 2, 0, 0] + [3, 0, 0, 1, 30]

  @Test("records come out the same at every split") func everySplit() throws {
    let whole = try parse([Self.stream])
    #expect(whole.facts == ["open [10, 11, 12]", "response []", "data 20", "data 21", "trailers [0, 0]", "data 30"] && whole.isBetween)
    for first in 0...Self.stream.count {
      for second in first...Self.stream.count {
        let parts = try parse([Array(Self.stream[..<first]), Array(Self.stream[first..<second]), Array(Self.stream[second...])])
        #expect(parts.facts == whole.facts && parts.isBetween, "split at \(first) and \(second)")
      }
    }
    let bytewise = try parse(Self.stream.map { [$0] })
    #expect(bytewise.facts == whole.facts)
  }

  @Test("a cut inside a record shows", arguments: 1..<7) func truncation(_ count: Int) throws {
    let cut = try parse([Array(Self.stream.prefix(count))])
    #expect(!cut.isBetween)
  }

  @Test(
    "damaged records are refused",
    arguments: [
      ([0, 0, 0, 0], .unknownKind(0)), ([5, 0, 0, 0], .unknownKind(5)), ([1, 0, 0xC0, 1], .headTooLarge(49153)),
      ([4, 0xFF, 0xFF, 0xFF], .headTooLarge(0xFF_FFFF)),
    ] as [([UInt8], RecordError)])
  func refused(_ bytes: [UInt8], _ error: RecordError) {
    #expect(throws: error) { _ = try parse([bytes]) }
    #expect(throws: error) { _ = try parse(bytes.map { [$0] }) }
  }

  @Test("a data record may have 16 MiB less a byte, a head 48 KiB") func limits() throws {
    let largest = try parse([[3, 0xFF, 0xFF, 0xFF, 1]])
    #expect(largest.facts == ["data 1"] && !largest.isBetween)
    let head = try parse([[1, 0, 0xC0, 0] + [UInt8](repeating: 1, count: 49152)])
    #expect(head.facts.count == 1 && head.isBetween)
  }
}

@Suite struct HeadRecordTests {
  private func text(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String { String(decoding: range.map { bytes[$0] }, as: UTF8.self) }
  private static let bodies: [BodyLength] = [.none, .known(0), .known(.max), .unknown]
  private static let fieldLists: [[[String]]] = [
    [], [["Host", "a"]], [["A", ""], ["A", "2"], ["x-long", String(repeating: "v", count: 9000)]],
  ]

  @Test("a request comes back as it was written", arguments: bodies, fieldLists) func request(_ body: BodyLength, _ fields: [[String]])
    throws
  {
    let out = ByteBuffer()
    out.append("before")
    var writer = HeadRecordWriter(
      request: .webSocket, tunnel: 513, method: Array("GET".utf8).span, target: Array("/a?b".utf8).span, host: Array("h:1".utf8).span,
      body: body, to: out)
    for field in fields { writer.field(Array(field[0].utf8).span, Array(field[1].utf8).span) }
    writer.finish()
    out.consume(6)
    var reader = HeadRecordReader(payload: try payload(of: out, .open))
    let head = try reader.open(out.bytes)
    #expect(head.kind == .webSocket && head.tunnel == 513 && head.body == body && head.fieldCount == fields.count)
    #expect([text(out.bytes, head.method), text(out.bytes, head.target), text(out.bytes, head.host)] == ["GET", "/a?b", "h:1"])
    #expect(try read(&reader, head.fieldCount, out) == fields)
    #expect(throws: RecordError.malformed("record too short")) { _ = try reader.field(out.bytes) }
  }

  @Test("a response comes back as it was written", arguments: bodies, fieldLists) func response(_ body: BodyLength, _ fields: [[String]])
    throws
  {
    let out = ByteBuffer()
    var writer = HeadRecordWriter(response: 404, reason: Array("Not Found".utf8).span, body: body, to: out)
    for field in fields { writer.field(Array(field[0].utf8).span, Array(field[1].utf8).span) }
    writer.finish()
    var reader = HeadRecordReader(payload: try payload(of: out, .response))
    let head = try reader.response(out.bytes)
    #expect(head.status == 404 && text(out.bytes, head.reason) == "Not Found" && head.body == body)
    #expect(try read(&reader, head.fieldCount, out) == fields)
  }

  @Test("trailers come back as they were written", arguments: fieldLists) func trailers(_ fields: [[String]]) throws {
    let out = ByteBuffer()
    var writer = HeadRecordWriter(trailersTo: out)
    for field in fields { writer.field(Array(field[0].utf8).span, Array(field[1].utf8).span) }
    writer.finish()
    var reader = HeadRecordReader(payload: try payload(of: out, .trailers))
    let count = try reader.trailers(out.bytes)
    #expect(try read(&reader, count, out) == fields)
  }

  @Test("a TCP stream carries its visitor's address", arguments: ["", "1.2.3.4:5678", "[2001:db8::1]:443"]) func tcp(_ visitor: String)
    throws
  {
    let out = ByteBuffer()
    HeadRecordWriter.appendTCP(tunnel: 7, visitor: visitor, to: out)
    var reader = HeadRecordReader(payload: try payload(of: out, .open))
    let head = try reader.open(out.bytes)
    #expect(head.kind == .tcp && head.tunnel == 7 && text(out.bytes, head.visitor) == visitor)
  }

  @Test(
    "damaged requests are refused",
    arguments: [
      ([], "record too short"), ([1], "record too short"), ([9, 0, 0], "unknown stream kind"), ([0, 0, 0], "unknown stream kind"),
      ([1, 0, 0, 4, 1, 2, 3], "text outside its record"), ([1, 0, 0, 0, 0xFF, 0xFF], "text outside its record"),
      ([1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0], "unknown body form"), ([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], "record too short"),
      ([1, 0, 0, 0, 0, 0, 0, 0, 0, 1], "record too short"),
    ] as [([UInt8], String)])
  func damagedRequest(_ bytes: [UInt8], _ reason: String) {
    var reader = HeadRecordReader(payload: 0..<bytes.count)
    #expect(throws: RecordError.malformed(reason)) { _ = try reader.open(bytes.span) }
  }

  @Test(
    "damaged responses and fields are refused",
    arguments: [
      ([0, 99, 0, 0, 0, 0], "status 99"), ([4, 0, 0, 0, 0, 0], "status 1024"), ([0, 200, 5, 1], "text outside its record"),
      ([0, 200, 0, 0, 0, 1], "record too short"), ([0, 200, 0, 0, 0, 1, 0, 0, 0, 0], "field outside its record"),
      ([0, 200, 0, 0, 0, 1, 0, 1, 0, 1, 65], "field outside its record"),
      ([0, 200, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 65], "field outside its record"),
    ] as [([UInt8], String)])
  func damagedResponse(_ bytes: [UInt8], _ reason: String) {
    var reader = HeadRecordReader(payload: 0..<bytes.count)
    #expect(throws: RecordError.malformed(reason)) {
      let head = try reader.response(bytes.span)
      for _ in 0..<head.fieldCount { _ = try reader.field(bytes.span) }
    }
  }

  private func payload(of out: ByteBuffer, _ kind: RecordKind) throws -> Range<Int> {
    var parser = RecordParser()
    var offset = 0
    let event = try parser.next(out.bytes, &offset)
    let expected = RecordEvent.head(kind, 4..<out.count)
    #expect(event == expected && offset == out.count)
    return 4..<out.count
  }

  private func read(_ reader: inout HeadRecordReader, _ count: Int, _ out: ByteBuffer) throws(RecordError) -> [[String]] {
    var fields: [[String]] = []
    for _ in 0..<count {
      let field = try reader.field(out.bytes)
      fields.append([text(out.bytes, field.name), text(out.bytes, field.value)])
    }
    return fields
  }
}
