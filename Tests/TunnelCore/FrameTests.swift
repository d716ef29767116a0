import CausewayBase
import Testing

@testable import CausewayTunnelCore

@Suite struct FrameTests {
  @Test(
    "a header comes back as it was written",
    arguments: [
      FrameHeader(.data, flags: .end, payloadByteCount: 8, stream: 1), FrameHeader(.data, payloadByteCount: 65528, stream: .max),
      FrameHeader(.acknowledge, payloadByteCount: 20), FrameHeader(.reset, payloadByteCount: 2, stream: 0x0102_0304),
      FrameHeader(.synchronize, flags: .end, payloadByteCount: 0, stream: 77),
    ])
  func roundTrip(_ header: FrameHeader) throws {
    let out = ByteBuffer()
    header.write(to: out)
    #expect(out.count == FrameHeader.byteCount)
    let back = try FrameHeader(out.bytes, at: 0)
    #expect(back == header)
  }

  @Test(
    "a frame that cannot be is refused",
    arguments: [
      ([0, 0, 0, 8, 0, 0, 0, 1], "unknown frame type 0"), ([8, 0, 0, 8, 0, 0, 0, 1], "unknown frame type 8"),
      ([255, 0, 0, 0, 0, 0, 0, 0], "unknown frame type 255"), ([1, 0, 0xFF, 0xF9, 0, 0, 0, 1], "frame over 64 KiB"),
      ([2, 0, 0xFF, 0xFF, 0, 0, 0, 0], "frame over 64 KiB"),
    ] as [([UInt8], String)])
  func refused(_ bytes: [UInt8], _ reason: String) {
    #expect(throws: SessionError.malformedFrame(reason)) { try FrameHeader(bytes.span, at: 0) }
  }

  @Test("the largest data frame is 64 KiB exactly") func largest() {
    #expect(FrameHeader.byteCount + FrameHeader.offsetByteCount + FrameHeader.maximumDataByteCount == 65536)
  }
}
