import CausewayBase
import CausewayWire

private func encode(_ value: MessagePackValue) -> [UInt8] {
  let buffer = ByteBuffer()
  value.encode(to: buffer)
  return buffer.array
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  var skipper = MessagePackReader()
  let canSkip: Bool
  do {
    try skipper.skip(bytes.span)
    canSkip = true
  } catch {
    law(skipper.offset == 0, "a failed skip moved the offset")
    canSkip = false
  }
  var reader = MessagePackReader()
  guard let value = try? reader.readValue(bytes.span, limits: .init(valueCount: 1 << 20)) else {
    law(reader.offset == 0, "a failed read moved the offset")
    return 0
  }
  law(canSkip && skipper.offset == reader.offset, "what can be read can be skipped, to the same offset")
  let written = encode(value)
  law(written.count <= reader.offset, "the shortest form is not longer than the source")
  guard let again = try? MessagePackValue(decoding: written.span, limits: .init(valueCount: 1 << 20)) else {
    fatalError("law broken: the encoded value does not decode")
  }
  law(encode(again) == written, "the encoded value means something else")  // bytes, because NaN differs from itself
  return 0
}
