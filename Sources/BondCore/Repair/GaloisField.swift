/// GF(256) with the polynomial x^8 + x^4 + x^3 + x^2 + 1, in which 2 generates all but zero; on eight bytes at once.
enum GaloisField {
  @inline(__always) static func doubled(_ word: UInt64) -> UInt64 {
    (word &<< 1) & 0xFEFE_FEFE_FEFE_FEFE ^ ((word &>> 7) & 0x0101_0101_0101_0101) &* 0x1D
  }

  /// Each byte of `word` times `factor`.
  @inline(__always) static func product(_ word: UInt64, _ factor: UInt8) -> UInt64 {
    var result: UInt64 = 0
    var word = word
    var factor = factor
    while factor != 0 {
      if factor & 1 == 1 { result ^= word }
      word = doubled(word)
      factor &>>= 1
    }
    return result
  }

  static func product(_ a: UInt8, _ b: UInt8) -> UInt8 { UInt8(truncatingIfNeeded: product(UInt64(a), b)) }

  static func power(_ base: UInt8, _ exponent: Int) -> UInt8 {
    var result: UInt8 = 1
    for _ in 0..<exponent { result = product(result, base) }
    return result
  }

  /// 1 / a, for a ≠ 0: a^254.
  static func inverse(_ a: UInt8) -> UInt8 { power(a, 254) }

  /// Solves `matrix` x = right for up to three unknowns by Gauss and Jordan; what comes out is the inverse, row by row.
  /// - Returns: nil when the matrix is singular, which the parities' rows never are.
  static func inverse(of matrix: InlineArray<3, InlineArray<3, UInt8>>, size: Int) -> InlineArray<3, InlineArray<3, UInt8>>? {
    var left = matrix
    var right = InlineArray<3, InlineArray<3, UInt8>>(repeating: .init(repeating: 0))
    for i in 0..<size { right[i][i] = 1 }
    for column in 0..<size {
      guard let pivot = (column..<size).first(where: { left[$0][column] != 0 }) else { return nil }
      if pivot != column {
        (left[pivot], left[column]) = (left[column], left[pivot])
        (right[pivot], right[column]) = (right[column], right[pivot])
      }
      let scale = inverse(left[column][column])
      for i in 0..<size {
        left[column][i] = product(left[column][i], scale)
        right[column][i] = product(right[column][i], scale)
      }
      for row in 0..<size where row != column {
        let factor = left[row][column]
        for i in 0..<size {
          left[row][i] ^= product(left[column][i], factor)
          right[row][i] ^= product(right[column][i], factor)
        }
      }
    }
    return right
  }
}
