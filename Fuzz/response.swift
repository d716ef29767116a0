import CausewayBase
import CausewayWire

private struct Meaning: Equatable {
  var status: UInt16
  var reason: [UInt8]
  var minorVersion: UInt8
  var fields: [[[UInt8]]]
  var hopByHop: [Bool]
  var framing: BodyFraming
  var contentLength: UInt64?
  var keepAlive: Bool
  var upgrade: UpgradeProtocol

  init(_ head: ResponseHead, _ bytes: Span<UInt8>) {
    status = head.status
    reason = bytes.array(in: head.reason.range)
    minorVersion = head.minorVersion
    fields = pairs(head.fields, bytes)
    hopByHop = head.fields.map(\.isHopByHop)
    framing = head.framing
    contentLength = head.contentLength
    keepAlive = head.keepAlive
    upgrade = head.upgrade
  }
}

private func parse(_ bytes: [UInt8], _ ends: [Int], _ method: HTTPMethod) -> (meaning: Meaning?, error: HTTPHeadError?, count: Int) {
  let head = ResponseHead()
  do {
    for end in ends {
      if let count = try head.parse(bytes.span.extracting(0..<end), to: method) { return (Meaning(head, bytes.span), nil, count) }
    }
    return (nil, nil, 0)
  } catch {
    return (nil, error, 0)
  }
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  for method in [HTTPMethod.get, .head, .connect] {
    let whole = parse(bytes, [bytes.count], method)
    for ends in [cuts(bytes), Array(0...bytes.count)] {
      let pieces = parse(bytes, ends, method)
      law(pieces.meaning == whole.meaning && pieces.count == whole.count, "pieces give another head")
      law(pieces.error == whole.error || whole.error != nil && pieces.error == nil, "pieces give another error")
    }
    guard let meaning = whole.meaning else { continue }
    let head = ResponseHead()
    _ = try? head.parse(bytes.span, to: method)
    let buffer = ByteBuffer()
    buffer.append(meaning.minorVersion == 0 ? "HTTP/1.0 " : "HTTP/1.1 ")
    buffer.append(decimal: UInt64(meaning.status))
    buffer.append(" ")
    buffer.append(meaning.reason.span)
    buffer.append("\r\n")
    for line in head.fields { buffer.appendField(line, of: bytes.span) }
    buffer.append("\r\n")
    let written = buffer.array
    let again = parse(written, [written.count], method)
    law(again.meaning == meaning && again.count == written.count, "the canonical head means something else: \(again) instead of \(meaning)")
  }
  return 0
}
