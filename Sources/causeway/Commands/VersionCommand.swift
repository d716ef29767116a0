internal import CausewayBase
internal import CausewaySupport

func runVersion(_ arguments: ParsedArguments) -> ExitCode {
  guard arguments.flag("json") else {
    answer("causeway \(Version.number)\n")
    return .ok
  }
  let buffer = ByteBuffer()
  var json = JSONWriter(buffer)
  json.object { $0.member("version", Version.number) }
  json.finishLine()
  answer(String(copying: buffer))
  return .ok
}

extension String {
  /// The readable bytes as UTF-8.
  init(copying buffer: ByteBuffer) {
    // SAFETY: the span lives for the closure.
    self = unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
