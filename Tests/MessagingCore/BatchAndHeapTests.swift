import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct BatchAndHeapTests {
  @Test(
    "a batch takes any numbers within 64 of each other, in any order and across the wrap",
    arguments: [
      ([5, 5, 6, 68], true), ([5, 69], false), ([69, 5], false), ([68, 5], true), ([68, 5, 69], false), ([.max, 0, 62], true),
      ([.max, 63], false), ([62, .max], true), ([63, .max], false), ([40, 70, 7], true), ([40, 71, 7], false),
    ] as [([UInt32], Bool)])
  func batch(_ numbers: [UInt32], _ fit: Bool) {
    var batch = AcknowledgementBatch()
    var results: [Bool] = []
    for number in numbers { results.append(batch.add(number)) }
    #expect(results == Array(repeating: true, count: numbers.count - 1) + [fit])
    let taken = fit ? numbers : Array(numbers.dropLast())
    #expect(Set((0..<64).filter { batch.bits >> UInt64($0) & 1 == 1 }.map { batch.base &+ UInt32($0) }) == Set(taken))
  }

  @Test("deadlines come out in order whatever was taken out between", arguments: 0..<50 as Range<UInt64>)
  func heap(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var heap = DeadlineHeap(capacity: 2)
    var model: [(deadline: UInt64, handle: Slot, slot: Slot)] = []
    for index in 0..<200 as Range<UInt32> {
      if Int.random(in: 0..<3, using: &random) > 0 {
        let deadline = UInt64.random(in: 0..<1000, using: &random) << 10 | UInt64(index)
        model.append((deadline, heap.insert(Instant(nanoseconds: deadline), .send, index), index))
      } else if let victim = model.indices.randomElement(using: &random) {
        heap.remove(model.remove(at: victim).handle)
      }
      let first = heap.first
      #expect(first.nanoseconds == model.map(\.deadline).min() ?? .max)
    }
    var order: [Slot] = []
    while let due = heap.takeDue(Instant(nanoseconds: .max - 1)) { order.append(due.slot) }
    #expect(order == model.sorted { $0.deadline < $1.deadline }.map(\.slot))
    let none = heap.insert(.distantFuture, .send, 1)
    #expect(none == .none)
  }

  @Test("a full ring grows and keeps its order")
  func ring() {
    var ring = EffectRing(capacity: 4)
    var next: UInt32 = 0
    var expected: UInt32 = 0
    for round in 0..<40 as Range<UInt32> {
      for _ in 0..<(round % 7) {
        ring.append(.release(MessageID(slot: next, generation: 1)))
        next += 1
      }
      for _ in 0..<(round % 5) {
        guard let effect = ring.take() else { continue }
        #expect(effect == .release(MessageID(slot: expected, generation: 1)))
        expected += 1
      }
    }
    while let effect = ring.take() {
      #expect(effect == .release(MessageID(slot: expected, generation: 1)))
      expected += 1
    }
    #expect(next == expected)
  }
}
