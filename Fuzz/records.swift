import CausewayBase
import CausewayTunnelCore
import CausewayWire

private struct Parsed: Equatable {
  var heads: [[UInt8]] = []
  var body: [UInt8] = []
  var isBetweenRecords = false
  var error: RecordError?
}

private func parse(_ bytes: [UInt8], _ ends: [Int]) -> Parsed {
  var parser = RecordParser()
  var parsed = Parsed()
  var start = 0
  for end in ends {
    let piece = bytes.span.extracting(start..<end)
    var offset = 0
    do throws(RecordError) {
      while let event = try parser.next(piece, &offset) {
        switch event {
        case .head(let kind, let range): parsed.heads.append([kind.rawValue] + piece.array(in: range))
        case .collectedHead(let kind): parsed.heads.append([kind.rawValue] + parser.collected.array)
        case .data(let range): parsed.body += piece.array(in: range)
        }
      }
    } catch {
      parsed.error = error
      return parsed
    }
    law(offset == piece.count, "bytes were left behind")
    start = end
  }
  parsed.isBetweenRecords = parser.isBetweenRecords
  return parsed
}

/// A head record's content, apart from where it stood.
private struct Head: Equatable {
  var kind: UInt8
  var numbers: [UInt64] = []
  var texts: [[UInt8]] = []
  var body: BodyLength?
  var fields: [[[UInt8]]] = []
}

private func decode(_ record: [UInt8]) throws(RecordError) -> Head {
  var reader = HeadRecordReader(payload: 1..<record.count)
  var head = Head(kind: record[0])
  let bytes = record.span
  var fieldCount = 0
  switch RecordKind(rawValue: record[0]) {
  case .open:
    let open = try reader.open(bytes)
    head.numbers = [UInt64(open.kind.rawValue), UInt64(open.tunnel)]
    head.texts = [bytes.array(in: open.visitor), bytes.array(in: open.method), bytes.array(in: open.target), bytes.array(in: open.host)]
    head.body = open.body
    fieldCount = open.fieldCount
  case .response:
    let response = try reader.response(bytes)
    head.numbers = [UInt64(response.status)]
    head.texts = [bytes.array(in: response.reason)]
    head.body = response.body
    fieldCount = response.fieldCount
  case .trailers: fieldCount = try reader.trailers(bytes)
  case .data, nil: fatalError("law broken: a body is no head")
  }
  for _ in 0..<fieldCount {
    let field = try reader.field(bytes)
    head.fields.append([bytes.array(in: field.name), bytes.array(in: field.value)])
  }
  return head
}

private func encode(_ head: Head, to out: ByteBuffer) {
  func finish(_ writer: consuming HeadRecordWriter) {
    for field in head.fields {
      let (name, value) = (field[0], field[1])
      writer.field(name.span, value.span)
    }
    writer.finish()
  }
  let texts = head.texts + [[], [], [], []]
  let (first, method, target, host) = (texts[0], texts[1], texts[2], texts[3])
  switch RecordKind(rawValue: head.kind) {
  case .open where head.numbers[0] == UInt64(StreamKind.tcp.rawValue):
    HeadRecordWriter.appendTCP(tunnel: UInt16(head.numbers[1]), visitor: String(decoding: first, as: UTF8.self), to: out)
  case .open:
    finish(
      HeadRecordWriter(
        request: StreamKind(rawValue: UInt8(head.numbers[0]))!, tunnel: UInt16(head.numbers[1]), method: method.span,
        target: target.span, host: host.span, body: head.body!, to: out))
  case .response:
    finish(HeadRecordWriter(response: UInt16(head.numbers[0]), reason: first.span, body: head.body!, to: out))
  default: finish(HeadRecordWriter(trailersTo: out))
  }
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  let whole = parse(bytes, [bytes.count])
  for ends in [cuts(bytes), Array(0...bytes.count)] { law(parse(bytes, ends) == whole, "pieces give other records") }
  for record in whole.heads {
    guard let head = try? decode(record) else { continue }
    // A visitor's address is text; damaged text is repaired, and then stays.
    let isText = head.texts.first.map { Array(String(decoding: $0, as: UTF8.self).utf8) == $0 } ?? true
    guard isText || head.numbers[0] != UInt64(StreamKind.tcp.rawValue) else { continue }
    let out = ByteBuffer()
    encode(head, to: out)
    let again = parse(out.array, [out.count])
    law(again.heads.count == 1 && again.isBetweenRecords && again.error == nil, "a written record is not one record")
    law((try? decode(again.heads[0])) == head, "the written record means something else")
  }
  return 0
}
