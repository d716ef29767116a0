import CausewayBase

@testable import CausewayBondCore

/// Where the fields of a frame are, by offset and length in bytes.
struct FrameFields {
  /// For the payloads of `samplePayloads`, in their order.
  static let samples: [[(offset: Int, byteCount: Int)]] = [
    [(1, 1), (2, 2), (4, 4), (8, 1), (9, 1), (10, 2), (14, 2), (17, 1), (20, 4), (24, 4)],  // DATA and its packet
    [(1, 3), (1, 1), (2, 1), (3, 1), (4, 4)],  // FRAGMENT
    [(1, 1), (2, 1), (3, 1), (4, 6), (4, 2), (10, 4), (14, 2), (16, 4), (20, 2), (22, 2), (24, 2), (26, 2)],  // ACK
    [(1, 4), (5, 8), (13, 8)],  // PROBE
    [(1, 4), (5, 8), (13, 8), (21, 4), (25, 2)],  // ECHO
    [(1, 4), (5, 1), (6, 1), (7, 1), (8, 1), (9, 2), (11, 4), (15, 1), (16, 1)],  // PATHS
    [(1, 1), (2, 4)],  // SKIP
    [(1, 1), (2, 2), (4, 4), (8, 4)],  // PARAM
    [(1, 1), (2, 4), (6, 8), (6, 1), (14, 2), (16, 4)],  // REPAIR
    [(1, 1), (2, 1)],  // SUSPECT
    [(1, 1), (2, 1), (3, 4), (7, 8), (15, 1), (16, 1)],  // HELLO
    [(1, 1), (2, 1), (3, 4), (7, 8), (15, 1), (16, 1)],  // its answer
  ]

  /// A field's least, greatest and middle values, the one it has, and each of them off by one.
  static func values(of byteCount: Int, around own: UInt64) -> [UInt64] {
    let greatest = byteCount == 8 ? UInt64.max : 1 << UInt64(8 * byteCount) - 1
    let middle = greatest / 2
    return [0, 1, 2, middle - 1, middle, middle + 1, greatest - 1, greatest, own &- 1, own &+ 1].map { $0 & greatest }
  }

  /// Every sample with every one of its fields at each of these values, one at a time.
  static func extremes() -> [[UInt8]] {
    var list: [[UInt8]] = []
    for (payload, fields) in zip(samplePayloads(), samples) {
      list.append(payload)
      for (offset, byteCount) in fields {
        var own: UInt64 = 0
        for place in (0..<byteCount).reversed() { own = own << 8 | UInt64(payload[offset + place]) }
        for value in values(of: byteCount, around: own) {
          var changed = payload
          for place in 0..<byteCount { changed[offset + place] = UInt8(truncatingIfNeeded: value >> UInt64(8 * place)) }
          list.append(changed)
        }
      }
    }
    return list
  }

  /// A frame of some kind spoiled in some way: changed bytes, cut, two run together, or nothing but its first byte right.
  static func spoiled(_ pool: [[UInt8]], _ random: inout SeededRandom) -> [UInt8] {
    func pick() -> [UInt8] { pool[Int(random.next() % UInt64(pool.count))] }
    var payload = pick()
    switch random.next() % 8 {
    case 0:
      let first = 0xC0 | UInt8(truncatingIfNeeded: random.next() & 31)
      payload = [first] + (0..<Int(random.next() % 120)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    case 1: payload = Array(payload.prefix(Int(random.next() % UInt64(payload.count + 1))))
    case 2: payload += pick()
    case 3: payload = pick() + payload + pick()
    default:
      for _ in 0...Int(random.next() % 6) where !payload.isEmpty {
        let place = Int(random.next() % UInt64(min(payload.count, random.next() % 4 == 0 ? payload.count : 30)))
        payload[place] =
          random.next() % 3 == 0 ? [0, 255, 128, 127, 1].randomElement(using: &random)! : UInt8(truncatingIfNeeded: random.next())
      }
    }
    return payload
  }
}
