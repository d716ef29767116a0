import CausewayBase
import CausewayWire

private enum Said: Equatable {
  case message(isText: Bool, [UInt8])
  case ping([UInt8])
  case pong([UInt8])
  case close(WebSocketClose)
  case failed(WebSocketError)
}

private func assemble(_ bytes: [UInt8], isServer: Bool, _ ends: [Int]) -> [Said] {
  var assembler = WebSocketAssembler(isServer: isServer, frameByteLimit: 4096, messageByteLimit: 8192)
  var said: [Said] = []
  var start = 0
  do {
    for end in ends where end >= start {
      let piece = bytes.span.extracting(start..<end)
      var offset = 0
      while let event = try assembler.next(piece, from: &offset) {
        switch event {
        case .text: said.append(.message(isText: true, assembler.message.array))
        case .binary: said.append(.message(isText: false, assembler.message.array))
        case .ping: said.append(.ping(assembler.control.array))
        case .pong: said.append(.pong(assembler.control.array))
        case .close(let close): said.append(.close(close))
        }
      }
      start += offset
    }
  } catch {
    said.append(.failed(error))
  }
  return said
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let all = unsafe input(data, count)
  guard let selector = all.first else { return 0 }
  let bytes = Array(all.dropFirst())
  let isServer = selector & 1 == 1
  // A head has one form only, so encoding it gives its bytes back.
  if let (header, length) = try? WebSocketFrameHeader.parse(bytes.span, expectsMask: isServer, allowedReservedBits: 7, limit: .max) {
    let buffer = ByteBuffer()
    header.append(to: buffer)
    law(buffer.array == Array(bytes[..<length]), "an encoded head differs from its source")
  }
  let whole = assemble(bytes, isServer: isServer, [bytes.count])
  for ends in [cuts(bytes), Array(0...bytes.count)] { law(assemble(bytes, isServer: isServer, ends) == whole, "pieces say something else") }
  // What was said can be said again, in one frame each.
  let buffer = ByteBuffer()
  let mask: UInt32? = isServer ? 0x1234_5678 : nil
  var expected: [Said] = []
  for said in whole {
    switch said {
    case .message(let isText, let payload):
      if payload.count > 4096 { return 0 }
      buffer.appendFrame(isText ? .text : .binary, payload.span, mask: mask)
    case .ping(let payload): buffer.appendFrame(.ping, payload.span, mask: mask)
    case .pong(let payload): buffer.appendFrame(.pong, payload.span, mask: mask)
    case .close(let close): close.append(to: buffer, mask: mask)
    case .failed: continue
    }
    expected.append(said)
  }
  let written = buffer.array
  law(assemble(written, isServer: isServer, [written.count]) == expected, "the encoded messages say something else")
  return 0
}
