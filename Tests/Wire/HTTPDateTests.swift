import CausewayBase
import Testing

@testable import CausewayWire

@Suite struct HTTPDateTests {
  @Test(
    "points in time are written as RFC 9110 wants them",
    arguments: [
      (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
      (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
      (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"), (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"),
      (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] as [(Int64, String)])
  func dates(_ seconds: Int64, _ expected: String) {
    let out = ByteBuffer()
    HTTPDate.append(unixSeconds: seconds, to: out)
    #expect(out.bytes.string(in: 0..<out.count) == expected)
    #expect(out.count == HTTPDate.byteCount)
  }
}
