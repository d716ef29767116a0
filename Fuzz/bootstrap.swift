import CausewayBase

// What a stranger may send to the bootstrap port: nothing traps, a whole frame says the same as its pieces followed by the rest, and what
// is read is written alike.

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  var place = 0
  while place < bytes.count {
    let rest = Array(bytes[place...])
    guard case .message(let message, let taken) = BootstrapMessage.parse(rest.span) else { return 0 }
    law(taken > 4 && taken <= min(rest.count, 4 + BootstrapMessage.frameLimit), "a message of \(taken) bytes out of \(rest.count)")
    for cut in cuts(Array(rest[..<taken])) where cut < taken {
      law(BootstrapMessage.parse(Array(rest[..<cut]).span) == .incomplete, "a part of a message is read as something")
    }
    let buffer = ByteBuffer()
    message.encode(into: buffer)
    law(BootstrapMessage.parse(buffer.bytes) == .message(message, byteCount: buffer.count), "what was read is written differently")
    place += taken
  }
  return 0
}
