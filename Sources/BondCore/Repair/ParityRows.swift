import CausewayWire

/// Up to three parities in the making, by Horner's rule: adding a member multiplies row j by 2^j and adds the member, so that the member
/// with m others behind it ends up with the factor 2^(j·m). Row 0 is plain XOR.
///
/// A row is a word of prefix (length, then the first four bytes of the DATA header, without the mark of a copy) and the packet, all
/// as little-endian words, zeros behind shorter packets.
@safe struct ParityRows: ~Copyable {
  static let rowCount = RepairHeader.parityLimit
  /// Longest packet.
  let packetByteCount: Int
  private let wordLimit: Int
  private let words: UnsafeMutablePointer<UInt64>
  /// Words in use; behind them all rows are zero.
  private(set) var wordCount = 0

  init(packetByteCount: Int) {
    self.packetByteCount = packetByteCount
    wordLimit = 1 + (packetByteCount + 7) / 8
    // SAFETY: three rows of `wordLimit` words, freed in deinit; every index below is bounded by `wordCount` ≤ `wordLimit`.
    unsafe words = .allocate(capacity: Self.rowCount * wordLimit)
    unsafe words.initialize(repeating: 0, count: Self.rowCount * wordLimit)
  }

  deinit { unsafe words.deallocate() }

  mutating func clear() {
    // SAFETY: as in init.
    for row in 0..<Self.rowCount { for i in 0..<wordCount { unsafe words[row &* wordLimit &+ i] = 0 } }
    wordCount = 0
  }

  static func prefix(_ header: DataHeader, length: Int) -> UInt64 {
    var header = header
    header.flags.remove(.copy)
    return UInt64(length) | (header.word & 0xFFFF_FFFF) &<< 16
  }

  /// Adds a member, whose packet is at most `packetByteCount` long.
  mutating func add(prefix: UInt64, _ packet: Span<UInt8>, rows: Int = rowCount) {
    let length = min(packet.count, packetByteCount)
    let whole = length / 8
    wordCount = max(wordCount, 1 &+ (length &+ 7) / 8)
    step(0, prefix, rows)
    for i in 0..<whole { step(i &+ 1, packet.littleEndian(at: 8 &* i), rows) }
    var next = whole &+ 1
    if length % 8 > 0 {
      var word: UInt64 = 0
      for i in 8 &* whole..<length { word |= UInt64(packet[i]) &<< UInt64(8 &* (i % 8)) }
      step(next, word, rows)
      next &+= 1
    }
    while next < wordCount {
      step(next, 0, rows)
      next &+= 1
    }
  }

  /// A member that is missing: all others move one place.
  mutating func addNothing(rows: Int = rowCount) { for i in 0..<wordCount { step(i, 0, rows) } }

  @inline(__always) private mutating func step(_ index: Int, _ word: UInt64, _ rows: Int) {
    // SAFETY: callers keep `index` below `wordCount`.
    unsafe words[index] = words[index] ^ word
    if rows > 1 { unsafe words[wordLimit &+ index] = GaloisField.doubled(words[wordLimit &+ index]) ^ word }
    if rows > 2 {
      let last = 2 &* wordLimit &+ index
      unsafe words[last] = GaloisField.doubled(GaloisField.doubled(words[last])) ^ word
    }
  }

  /// Adds a parity from the wire to a row: what remains is the sum of the missing members, each with its factor.
  mutating func subtract(_ parity: Span<UInt8>, from row: Int) {
    let count = min(parity.count, RepairHeader.prefixByteCount + packetByteCount)
    guard count > RepairHeader.prefixByteCount, row < Self.rowCount else { return }
    let base = row * wordLimit
    let packetCount = count - RepairHeader.prefixByteCount
    wordCount = max(wordCount, 1 + (packetCount + 7) / 8)
    for i in 0..<RepairHeader.prefixByteCount {
      // SAFETY: `wordCount` was raised to hold it.
      unsafe words[base] = words[base] ^ UInt64(parity[i]) << UInt64(8 * i)
    }
    for i in 0..<packetCount {
      // SAFETY: as above.
      let word = base + 1 + i / 8
      unsafe words[word] = words[word] ^ UInt64(parity[RepairHeader.prefixByteCount + i]) << UInt64(8 * (i % 8))
    }
  }

  /// Word `index` of the sum of the rows, each times its factor.
  func combined(_ index: Int, rows: InlineArray<3, Int>, factors: InlineArray<3, UInt8>, count: Int) -> UInt64 {
    var word: UInt64 = 0
    guard index < wordCount else { return 0 }
    // SAFETY: just checked; rows are below `rowCount`.
    for i in 0..<count { word ^= unsafe GaloisField.product(words[rows[i] * wordLimit + index], factors[i]) }
    return word
  }

  /// Appends a row as it goes over the wire, for packets of at most `packetByteCount`.
  func write(row: Int, packetByteCount: Int, into out: inout OutputSpan<UInt8>) {
    let base = row * wordLimit
    // SAFETY: the caller asks for no more than the longest packet added.
    out.appendFrameInteger(unsafe words[base], byteCount: RepairHeader.prefixByteCount)
    for i in 0..<packetByteCount {
      out.append(UInt8(truncatingIfNeeded: unsafe words[base + 1 + i / 8] >> UInt64(8 * (i % 8))))
    }
  }
}
