import Testing

@testable import CausewayMessaging

@Suite struct BlockPoolTests {
  @Test("blocks of a size don't overlap, and are used again")
  func distinct() {
    var pool = BlockPool()
    for size in [1, 64, 65, 2000, 2048] {
      let blocks = unsafe (0..<3000).map { _ in unsafe pool.take(size) }
      for index in unsafe blocks.indices {
        unsafe blocks[index].initializeMemory(as: UInt8.self, repeating: UInt8(index & 255), count: size)
      }
      for index in unsafe blocks.indices {
        let bytes = unsafe UnsafeRawBufferPointer(start: blocks[index], count: size)
        if unsafe !bytes.allSatisfy({ $0 == UInt8(index & 255) }) { Issue.record("block \(index) of \(size)") }
      }
      for index in unsafe blocks.indices { unsafe pool.give(blocks[index], size) }
    }
  }

  @Test("what one size has used is there for the others: a flood of each leaves a few pieces")
  func givesBack() {
    var pool = BlockPool()
    for size in stride(from: 64, through: 2048, by: 64) {
      let blocks = unsafe (0..<(16 << 20) / size).map { _ in unsafe pool.take(size) }
      #expect(pool.pieceCount >= 256)
      for index in unsafe blocks.indices { unsafe pool.give(blocks[index], size) }
    }
    #expect(pool.pieceCount == 32 * BlockPool.keptPieces)
  }
}
