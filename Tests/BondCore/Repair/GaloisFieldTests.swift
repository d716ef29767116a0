import CausewayBase
import Testing

@testable import CausewayBondCore

@Suite struct GaloisFieldTests {
  /// Bit by bit, by the definition.
  private func naive(_ a: UInt8, _ b: UInt8) -> UInt8 {
    var product: UInt16 = 0
    for bit in 0..<8 where b >> bit & 1 == 1 { product ^= UInt16(a) << bit }
    for bit in (8..<16).reversed() where product >> bit & 1 == 1 { product ^= 0x11D << (bit - 8) }
    return UInt8(product)
  }

  @Test("products of all pairs, alone and eight at once")
  func products() {
    for a in UInt8.min ... .max {
      let word = UInt64(a) &* 0x0101_0101_0101_0101
      for b in UInt8.min ... .max
      where GaloisField.product(a, b) != naive(a, b)
        || GaloisField.product(word, b) != UInt64(naive(a, b)) &* 0x0101_0101_0101_0101
      {
        Issue.record("\(a) * \(b)")
      }
    }
  }

  @Test("every element but zero has an inverse, and 2 generates them all")
  func inverses() {
    for a in UInt8(1) ... .max { #expect(GaloisField.product(a, GaloisField.inverse(a)) == 1) }
    #expect(Set((0..<255).map { GaloisField.power(2, $0) }).count == 255)
  }

  @Test("any one, two or three of 64 packets can be solved from any parities of that number")
  func everyChoice() {
    for rows in [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]] {
      for a in 0..<64 {
        for b in rows.count > 1 ? a + 1..<64 : a..<a + 1 {
          for c in rows.count > 2 ? b + 1..<64 : b..<b + 1 {
            var matrix = InlineArray<3, InlineArray<3, UInt8>>(repeating: .init(repeating: 0))
            for (i, row) in rows.enumerated() {
              for (j, place) in [a, b, c].prefix(rows.count).enumerated() {
                matrix[i][j] = GaloisField.power(GaloisField.power(2, row), place)
              }
            }
            if c % 7 == 0, GaloisField.inverse(of: matrix, size: rows.count) == nil { Issue.record("\(rows) \(a) \(b) \(c)") }
          }
        }
      }
    }
  }
}
