import CausewayBase
import CausewayTunnelCore
import CausewayWire

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  guard let message = try? ControlMessage(bytes.span) else { return 0 }
  let out = ByteBuffer()
  message.encode(to: out)
  let written = out.array
  law((try? ControlMessage(written.span)) == message, "the written message means something else")
  return 0
}
