internal import CausewayBase
internal import CausewaySupport

@Sendable func runVersion(_ arguments: ParsedArguments) -> ExitCode {
  guard arguments.flag("json") else {
    StandardStreams.answer("causeway \(Version.number)\n")
    return .ok
  }
  let buffer = ByteBuffer()
  var json = JSONWriter(buffer)
  json.object { $0.member("version", Version.number) }
  json.finishLine()
  StandardStreams.answer(String(copying: buffer))
  return .ok
}

extension String {
  /// The readable bytes as UTF-8.
  init(copying buffer: ByteBuffer) {
    // SAFETY: the span lives for the closure.
    self = unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
