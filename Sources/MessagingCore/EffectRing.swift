/// Effects in order: a ring that doubles when full.
struct EffectRing: ~Copyable, Sendable {
  private var effects: Slab<Effect>
  private var head: UInt32 = 0
  private(set) var count: UInt32 = 0

  /// - Parameter capacity: A power of two.
  init(capacity: UInt32) {
    effects = Slab(capacity: capacity, filledWith: .release(MessageID(slot: .none, generation: 0)))
  }

  mutating func append(_ effect: Effect) {
    if count == effects.capacity { grow() }
    effects[(head &+ count) & (effects.capacity &- 1)] = effect
    count += 1
  }

  @inline(__always) mutating func take() -> Effect? {
    if count == 0 { return nil }
    let effect = effects[head]
    head = (head &+ 1) & (effects.capacity &- 1)
    count -= 1
    return effect
  }

  private mutating func grow() {
    let old = effects.capacity
    effects.reserve(old * 2)
    for index in 0..<head { effects[old + index] = effects[index] }
  }
}
