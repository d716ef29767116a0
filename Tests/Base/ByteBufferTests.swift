import Testing

@testable import CausewayBase

@Suite struct ByteBufferTests {
  @Test("it does what an array does", arguments: 0..<40 as Range<UInt64>) func twin(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let buffer = ByteBuffer()
    var twin: [UInt8] = []
    for step in 0..<300 {
      switch Int.random(in: 0...8, using: &random) {
      case 0:
        buffer.append(UInt8(truncatingIfNeeded: step))
        twin.append(UInt8(truncatingIfNeeded: step))
      case 1, 2:
        let piece = (0..<Int.random(in: 0...700, using: &random)).map { UInt8(truncatingIfNeeded: $0 &+ step) }
        buffer.append(piece.span)
        twin += piece
      case 3:
        buffer.appendBigEndian(UInt32(step))
        twin += [0, 0, UInt8(step >> 8), UInt8(step & 255)]
      case 4, 5:
        let count = Int.random(in: 0...twin.count, using: &random)
        buffer.consume(count)
        twin.removeFirst(count)
      case 6:
        let count = Int.random(in: 0...twin.count, using: &random)
        buffer.truncate(to: count)
        twin.removeLast(twin.count - count)
      case 7:
        let minimum = Int.random(in: 0...500, using: &random)
        let room = unsafe buffer.withFreeSpace(atLeast: minimum) { target in
          for index in 0..<minimum { unsafe target[index] = 0xAA }
          return (minimum, target.count)
        }
        #expect(room >= minimum)
        twin += [UInt8](repeating: 0xAA, count: minimum)
      default:
        guard twin.count >= 2 else { continue }
        let at = Int.random(in: 0...twin.count - 2, using: &random)
        buffer.setBigEndian(UInt16(0x0102), at: at)
        (twin[at], twin[at + 1]) = (1, 2)
      }
      let content = buffer.array
      #expect(content == twin && buffer.count == twin.count && buffer.isEmpty == twin.isEmpty, "step \(step)")
    }
  }

  @Test("numbers are written as Swift writes them", arguments: [0, 1, 9, 10, 15, 16, 99, 255, 4096, 1_000_000, .max - 1, .max] as [UInt64])
  func numbers(_ value: UInt64) {
    let buffer = ByteBuffer()
    buffer.append(decimal: value)
    buffer.append(" ")
    buffer.append(hexadecimal: value)
    let text = String(decoding: buffer.array, as: UTF8.self)
    #expect(text == "\(value) \(String(value, radix: 16))")
  }

  @Test("text is UTF-8") func text() {
    let buffer = ByteBuffer()
    buffer.append("grün" as String)
    buffer.append("!" as StaticString)
    #expect(buffer.array == Array("grün!".utf8))
  }

  @Test("bytes move only when there is no room behind them, and an empty buffer starts at its front") func reuse() {
    let buffer = ByteBuffer(capacity: 256)
    let capacity = buffer.capacity
    for _ in 0..<1000 {
      buffer.append([UInt8](repeating: 1, count: 100).span)
      buffer.consume(100)
    }
    #expect(buffer.capacity == capacity)
    for _ in 0..<1000 {
      buffer.append([UInt8](repeating: 1, count: 50).span)
      if buffer.count > 100 { buffer.consume(50) }
    }
    #expect(buffer.capacity <= 2 * capacity)
  }

  @Test("it holds nothing at first, and gives memory back only when empty and large") func memory() {
    let buffer = ByteBuffer()
    #expect(buffer.capacity == 0 && buffer.bytes.count == 0)
    buffer.append([UInt8](repeating: 1, count: 5000).span)
    buffer.trim()
    #expect(buffer.capacity >= 5000)
    buffer.removeAll()
    buffer.trim(above: 1 << 20)
    #expect(buffer.capacity >= 5000)
    buffer.trim(above: 4096)
    #expect(buffer.capacity == 0 && buffer.isEmpty)
    buffer.append(1)
    #expect(buffer.array == [1])
  }

  @Test("readable bytes can be changed in place") func mutation() {
    let buffer = ByteBuffer()
    buffer.append([9, 1, 2, 3].span)
    buffer.consume(1)
    unsafe buffer.withMutableBytes { target in for index in 0..<target.count { unsafe target[index] ^= 0xFF } }
    buffer.setByte(7, at: 1)
    #expect(buffer.array == [0xFE, 7, 0xFC])
  }

  @Test("misuse by our own code stops the program") func misuse() async {
    await #expect(processExitsWith: .failure) { ByteBuffer().consume(1) }
    await #expect(processExitsWith: .failure) { ByteBuffer(capacity: 8).setBigEndian(UInt16(1), at: 0) }
    await #expect(processExitsWith: .failure) { ByteBuffer().truncate(to: 1) }
  }
}
