import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite struct PathNumberingTests {
  @Test("every path of every thread has an id of its own, of the right parity, on the thread of the same number", arguments: 1...8, 1...8)
  func idsAgree(opening: Int, accepting: Int) {
    let used = min(opening, accepting)
    for isEven in [true, false] {
      var seen: Set<UInt8> = [0]
      for uplink in 0..<31 {
        for shard in 0..<opening {
          guard let id = PathNumbering.id(uplink: uplink, shard: shard, shards: accepting, used: used, isEven: isEven) else { continue }
          #expect(seen.insert(id.rawValue).inserted)
          #expect(id.rawValue < 64 && id.rawValue % 2 == (isEven ? 0 : 1))
          #expect(PathNumbering.owner(of: id, shards: accepting, used: used) == shard)
        }
      }
    }
  }

  @Test("three uplinks have a path on every thread that both sides use, and the kernel finds its thread", arguments: 1...8, 1...8)
  func threeUplinksFit(opening: Int, accepting: Int) throws {
    let used = min(opening, accepting)
    for uplink in 0..<3 {
      for shard in 0..<used {
        let id = try #require(PathNumbering.id(uplink: uplink, shard: shard, shards: accepting, used: used, isEven: true))
        #expect(PathNumbering.number(of: id) % accepting == shard)
      }
    }
  }

  @Test("one thread against eight has room for more uplinks than the eight have numbers each")
  func spareNumbers() {
    let ids = (0..<12).compactMap { PathNumbering.id(uplink: $0, shard: 0, shards: 8, used: 1, isEven: true) }
    #expect(ids.count == 12)
  }

  @Test("both sides count an opener's uplinks alike, and the limit is what every thread has", arguments: 1...8, 1...8)
  func uplinksAgree(opening: Int, accepting: Int) {
    let used = min(opening, accepting)
    let limit = PathNumbering.uplinkLimit(shards: accepting, used: used)
    var total = 0
    for shard in 0..<used {
      for uplink in 0..<31 {
        guard let id = PathNumbering.id(uplink: uplink, shard: shard, shards: accepting, used: used, isEven: false) else {
          #expect(uplink >= limit)
          continue
        }
        total += 1
        #expect(PathNumbering.uplink(of: id, shards: accepting, used: used) == uplink)
      }
    }
    #expect(total == PathNumbering.limit, "no number is left over")
    #expect((0..<used).contains { PathNumbering.id(uplink: limit, shard: $0, shards: accepting, used: used, isEven: false) == nil })
    if used == accepting { #expect(limit == 31 / used) }
  }

  @Test("a thread beyond what both sides use opens nothing")
  func unusedThread() {
    #expect(PathNumbering.id(uplink: 0, shard: 1, shards: 1, used: 1, isEven: true) == nil)
    #expect(PathNumbering.id(uplink: 0, shard: 2, shards: 8, used: 2, isEven: false) == nil)
  }

  @Test("the kernel's program is the same rule", arguments: 2...8)
  func programAgrees(shards: Int) {
    for raw in 0..<64 {
      let id = PathID(UInt8(raw))
      let datagram: [UInt8] = [4, 0, 0, 0, 0xC0 | UInt8(raw), 7, 7, 7] + Array(repeating: 0, count: 24)
      let expected = id == .handshake ? 0 : PathNumbering.number(of: id) % shards
      #expect(run(PathSteering.program(shards: shards), on: datagram) == expected)
    }
    for type in [UInt8(1), 2, 3, 0, 255] { #expect(run(PathSteering.program(shards: shards), on: [type, 0, 0, 0, 9]) == 0) }
    #expect(run(PathSteering.program(shards: shards), on: [4, 0, 0]) == 0)
  }
}

/// What the kernel does with the program: a load beyond the datagram ends it with 0.
func run(_ program: [PathSteering.Step], on datagram: [UInt8]) -> Int {
  var accumulator: UInt32 = 0
  var place = 0
  while place < program.count {
    let step = program[place]
    place += 1
    switch step.code {
    case PathSteering.loadByte:
      guard Int(step.value) < datagram.count else { return 0 }
      accumulator = UInt32(datagram[Int(step.value)])
    case PathSteering.jumpIfEqual: place += Int(accumulator == step.value ? step.ifTrue : step.ifFalse)
    case PathSteering.and: accumulator &= step.value
    case PathSteering.subtract: accumulator &-= step.value
    case PathSteering.shiftRight: accumulator >>= step.value
    case PathSteering.modulo: accumulator %= step.value
    case PathSteering.returnAccumulator: return Int(accumulator)
    case PathSteering.returnConstant: return Int(step.value)
    default: return -1
    }
  }
  return -1
}
