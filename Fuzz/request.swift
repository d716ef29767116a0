import CausewayBase
import CausewayWire

private struct Meaning: Equatable {
  var method: HTTPMethod
  var target: [UInt8]
  var form: TargetForm
  var minorVersion: UInt8
  var fields: [[[UInt8]]]
  var known: [KnownField]
  var hopByHop: [Bool]
  var framing: BodyFraming
  var keepAlive: Bool
  var expectsContinue: Bool
  var upgrade: UpgradeProtocol
  var host: String?
  var port: UInt16?

  init(_ head: RequestHead, _ bytes: Span<UInt8>) {
    method = head.method
    target = bytes.array(in: head.target.range)
    form = head.targetForm
    minorVersion = head.minorVersion
    fields = pairs(head.fields, bytes)
    known = head.fields.map(\.known)
    hopByHop = head.fields.map(\.isHopByHop)
    framing = head.framing
    keepAlive = head.keepAlive
    expectsContinue = head.expectsContinue
    upgrade = head.upgrade
    host = head.host?.lowercasedName(of: bytes)
    port = head.host?.port
  }
}

private func parse(_ bytes: [UInt8], _ ends: [Int]) -> (meaning: Meaning?, error: HTTPHeadError?, count: Int) {
  let head = RequestHead()
  do {
    for end in ends {
      if let count = try head.parse(bytes.span.extracting(0..<end)) { return (Meaning(head, bytes.span), nil, count) }
    }
    return (nil, nil, 0)
  } catch {
    return (nil, error, 0)
  }
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  let whole = parse(bytes, [bytes.count])
  for ends in [cuts(bytes), Array(0...bytes.count)] {
    let pieces = parse(bytes, ends)
    law(pieces.meaning == whole.meaning && pieces.count == whole.count, "pieces give another head")
    law(pieces.error == whole.error || whole.error != nil && pieces.error == nil, "pieces give another error")
  }
  guard let meaning = whole.meaning else { return 0 }
  let buffer = ByteBuffer()
  let head = RequestHead()
  _ = try? head.parse(bytes.span)
  buffer.append(bytes.span.extracting(head.methodRange))
  buffer.append(" ")
  buffer.append(meaning.target.span)
  buffer.append(meaning.minorVersion == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n")
  for line in head.fields { buffer.appendField(line, of: bytes.span) }
  buffer.append("\r\n")
  let written = buffer.array
  let again = parse(written, [written.count])
  law(again.meaning == meaning && again.count == written.count, "the canonical head means something else: \(again) instead of \(meaning)")
  if meaning.form != .authority {
    let target = ByteBuffer()
    head.appendOriginTarget(of: bytes.span, to: target)
    law(target.array.first == 0x2F || target.array == [0x2A], "the origin target begins with a slash")
  }
  return 0
}
