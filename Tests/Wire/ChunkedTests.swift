import CausewayBase
import CausewayWire
import Testing

struct DecodedBody: Equatable {
  var data: [UInt8] = []
  var trailers: [String] = []
  var consumed = 0
  var isComplete = false
  var error: ChunkedError?
}

/// Decodes `bytes` fed in pieces that end at `cuts`.
func decodeChunked(_ bytes: [UInt8], cuts: [Int] = []) -> DecodedBody {
  var decoder = ChunkedDecoder()
  var body = DecodedBody()
  var start = 0
  for end in cuts + [bytes.count] {
    let piece = bytes.span.extracting(start..<end)
    var offset = 0
    do {
      loop: while true {
        switch try decoder.next(piece, from: &offset) {
        case .data(let range): body.data += piece.array(in: range)
        case .needsMore: break loop
        case .end:
          body.isComplete = true
          body.consumed = start + offset
          let trailers = decoder.trailers
          body.trailers = trailers.fields.map { trailers.bytes.span.string(in: $0.name) + "=" + trailers.bytes.span.string(in: $0.value) }
          return body
        }
      }
    } catch {
      body.error = error
      return body
    }
    start = end
  }
  return body
}

private let complete: [(text: String, data: String, trailers: [String], rest: Int)] = [
  ("0\r\n\r\n", "", [], 0),
  ("5\r\nhello\r\n0\r\n\r\n", "hello", [], 0),
  ("4\r\nWiki\r\n7\r\npedia i\r\nB\r\nn \r\nchunks.\r\n0\r\n\r\nGET /", "Wikipedia in \r\nchunks.", [], 5),
  ("A;ext=1;x=\"y\"\r\n0123456789\r\n00000\r\n\r\n", "0123456789", [], 0),
  ("a\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", [], 0),
  ("0000000000000001\r\nx\r\n0\r\n\r\n", "x", [], 0),
  ("1;\r\nx\r\n0\r\n\r\n", "x", [], 0),
  ("1\r\nx\r\n0\r\nX-Sum: abc\r\nY: \r\n\r\n", "x", ["X-Sum=abc", "Y="], 0),
  (
    "1\r\nx\r\n0\r\nContent-Length: 5\r\nHost: b\r\nAuthorization: x\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\nX_Forwarded_For: 1\r\nGrpc-Status: 0\r\n\r\n",
    "x", ["Grpc-Status=0"], 0
  ),
]

@Test("chunked bodies decode, wherever they are cut once or twice", arguments: complete.indices)
func decodesChunked(_ row: Int) {
  let (text, data, trailers, rest) = complete[row]
  let bytes = Array(text.utf8)
  let whole = decodeChunked(bytes)
  #expect(whole.error == nil && whole.isComplete)
  #expect(whole.data == Array(data.utf8))
  #expect(whole.trailers == trailers)
  #expect(whole.consumed == bytes.count - rest)
  for first in 0..<min(bytes.count, 60) {
    for second in first..<min(bytes.count, 60) where decodeChunked(bytes, cuts: [first, second]) != whole {
      Issue.record("cut at \(first) and \(second)")
    }
  }
  #expect(decodeChunked(bytes, cuts: Array(0..<bytes.count)) == whole)
}

private let long = String(repeating: "a", count: 257)
private let refused: [(text: String, error: ChunkedError)] = [
  ("10000000000000001\r\n", .sizeInvalid),  // 2^64 + 1
  ("ffffffffffffffff\r\n", .sizeInvalid),
  ("8000000000000000\r\n", .sizeInvalid),
  ("00000000000000001\r\n", .sizeInvalid),
  ("0x5\r\nhello\r\n", .sizeInvalid),
  (" 5\r\nhello\r\n", .sizeInvalid),
  ("5 \r\nhello\r\n", .sizeInvalid),
  ("5 ;a\r\nhello\r\n", .sizeInvalid),
  ("5\t\r\nhello\r\n", .sizeInvalid),
  ("-1\r\n", .sizeInvalid),
  ("+5\r\nhello\r\n", .sizeInvalid),
  ("\r\nhello\r\n", .sizeInvalid),
  (";a\r\nhello\r\n", .sizeInvalid),
  ("g\r\n", .sizeInvalid),
  ("5\nhello\r\n", .lineEndInvalid),
  ("5\rhello\r\n", .lineEndInvalid),
  ("5\r\rhello\r\n", .lineEndInvalid),
  ("5;a\nb\r\nhello\r\n", .lineEndInvalid),
  ("5;a\rb\r\nhello\r\n", .lineEndInvalid),
  ("5;a\0\r\nhello\r\n", .extensionInvalid),
  ("5\r\nhello0\r\n\r\n", .dataEndInvalid),
  ("5\r\nhello!\r\n0\r\n\r\n", .dataEndInvalid),
  ("5\r\nhello\n0\r\n\r\n", .dataEndInvalid),
  ("5\r\nhello\r0\r\n\r\n", .dataEndInvalid),
  ("5\r\nhello\r\n\r\n0\r\n\r\n", .sizeInvalid),
  ("0\r\n\n", .trailerInvalid),
  ("0\r\n\rX", .lineEndInvalid),
  ("0\r\nX: a\nY: b\r\n\r\n", .trailerInvalid),
  ("0\r\nX : a\r\n\r\n", .trailerInvalid),
  ("0\r\n X: a\r\n\r\n", .trailerInvalid),
  ("0\r\nX\r\n\r\n", .trailerInvalid),
  ("0\r\nX: \0\r\n\r\n", .trailerInvalid),
  ("5;" + long + "\r\nhello\r\n0\r\n\r\n", .extensionTooLong),
  (String(repeating: "1;" + String(repeating: "a", count: 200) + "\r\nx\r\n", count: 100) + "0\r\n\r\n", .extensionTooLong),
  ("0\r\n" + String(repeating: "X: a\r\n", count: 65) + "\r\n", .trailersTooLarge),
  ("0\r\nX: " + String(repeating: "a", count: 9000) + "\r\n\r\n", .trailersTooLarge),
]

@Test("what two decoders could read in two ways is refused, wherever it is cut", arguments: refused.indices)
func refusesChunked(_ row: Int) {
  let (text, error) = refused[row]
  let bytes = Array(text.utf8)
  #expect(decodeChunked(bytes).error == error)
  for cut in 0..<min(bytes.count, 40) where decodeChunked(bytes, cuts: [cut]).error != error { Issue.record("cut at \(cut)") }
}

@Test("a chunk of 2^63-1 bytes is accepted and costs nothing")
func acceptsTheLargestChunk() {
  let body = decodeChunked(Array("7fffffffffffffff\r\nabc".utf8))
  #expect(body.error == nil && body.data == Array("abc".utf8) && !body.isComplete)
}

@Test("encode then decode gives the body back", arguments: UInt64(1)...20)
func chunkedLaw(_ seed: UInt64) throws {
  var random = SeededRandom(seed: seed)
  let buffer = ByteBuffer()
  var data: [UInt8] = []
  for _ in 0..<Int.random(in: 0...20, using: &random) {
    let part = random.bytes(Int.random(in: 0...300, using: &random))
    data += part
    ChunkedEncoder.appendChunk(part.span, to: buffer)
  }
  let trailers = try Trailers(parsing: Array("X-A: 1\r\nX-B: two\r\n\r\n".utf8))
  ChunkedEncoder.appendLast(seed % 2 == 0 ? trailers : Trailers(), to: buffer)
  let bytes = buffer.array
  let cuts = (0..<5).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
  let body = decodeChunked(bytes, cuts: cuts)
  #expect(body.error == nil && body.isComplete && body.consumed == bytes.count)
  #expect(body.data == data)
  #expect(body.trailers == (seed % 2 == 0 ? ["X-A=1", "X-B=two"] : []))
}
