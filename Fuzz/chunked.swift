import CausewayBase
import CausewayWire

private struct Body: Equatable {
  var data: [UInt8] = []
  var trailers: [[[UInt8]]] = []
  var consumed: Int?
  var error: ChunkedError?
}

private func decode(_ bytes: [UInt8], _ ends: [Int]) -> Body {
  var decoder = ChunkedDecoder()
  var body = Body()
  var start = 0
  for end in ends {
    let piece = bytes.span.extracting(start..<end)
    var offset = 0
    do {
      loop: while true {
        switch try decoder.next(piece, from: &offset) {
        case .data(let range): body.data += piece.array(in: range)
        case .needsMore: break loop
        case .end:
          body.consumed = start + offset
          let trailers = decoder.trailers
          body.trailers = pairs(trailers.fields, trailers.bytes.span)
          return body
        }
      }
    } catch {
      body.error = error
      return body
    }
    law(offset == piece.count, "needsMore leaves nothing behind")
    start = end
  }
  return body
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  let whole = decode(bytes, [bytes.count])
  for ends in [cuts(bytes), Array(0...bytes.count)] { law(decode(bytes, ends) == whole, "pieces give another body") }
  guard whole.consumed != nil else { return 0 }
  var decoder = ChunkedDecoder()
  var offset = 0
  while let event = try? decoder.next(bytes.span, from: &offset), event != .end {}
  let buffer = ByteBuffer()
  ChunkedEncoder.appendChunk(whole.data.span, to: buffer)
  ChunkedEncoder.appendLast(decoder.trailers, to: buffer)
  let written = buffer.array
  var expected = whole
  expected.consumed = written.count
  law(decode(written, [written.count]) == expected, "the encoded body means something else")
  return 0
}
