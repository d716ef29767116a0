import CausewayBase
import CausewayCrypto
import Testing

@testable import CausewayBondCore

@Suite("Keys and times")
struct NoiseValueTests {
  @Test("a public key reads and prints as wg does")
  func base64() throws {
    let text = "HpDxPj47KnsOfG456g4jW5seXIob56x9WjNi7k3zMRQ="
    let key = try #require(PublicKey(base64: text))
    #expect(key.description == text)
    #expect(array(key.bytes) == HandshakeVector.withPresharedKey["responder_static_public"])
    for bad in ["", "HpDx", text + "=", String(text.dropLast()), "IpDxPj47KnsOfG456g4jW5seXIob56x9WjNi7k3zMRR=", text + "AAAA"] {
      #expect(PublicKey(base64: bad) == nil, "\(bad)")
    }
  }

  @Test("public keys sort by their bytes")
  func order() {
    for position in 0..<32 {
      var (small, large) = ([UInt8](repeating: 0xFF, count: 32), [UInt8](repeating: 0xFF, count: 32))
      for later in position..<32 { (small[later], large[later]) = (0x7F, 0x01) }
      large[position] = 0x80
      let (a, b) = (PublicKey(small.span), PublicKey(large.span))
      #expect(a < b && !(b < a) && a != b, "byte \(position)")
      #expect(array(a.bytes) == small)
    }
  }

  @Test("a later timestamp is greater, and `next` is later by the least step there is")
  func timestamps() {
    var unix: UInt64 = 1_700_000_000_999_999_999
    var last = TAI64N(unixNanoseconds: unix)
    for _ in 0..<200 {
      let next = last.next
      #expect(next > last)
      #expect(next.nanoseconds & 0xFF_FFFF == 0 && next.nanoseconds < 1_000_000_000)
      let bytes = next.bytes
      let read = TAI64N(bytes.span)
      #expect(read == next)
      last = next
    }
    unix += 1 << 24
    #expect(TAI64N(unixNanoseconds: unix) > TAI64N(unixNanoseconds: unix - 1 << 24))
    #expect(TAI64N.zero.next < TAI64N(unixNanoseconds: 0))
  }
}
