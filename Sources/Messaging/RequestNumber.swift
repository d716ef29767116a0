/// The number of an operation: its kind, its slot when that is known, and what tells it from others in that slot.
package struct RequestNumber {
  static let slotBits: UInt64 = 22
  static let numberBits: UInt64 = 39
  static let numberMask: UInt64 = (1 << 39) - 1
  private static let many: UInt64 = 1 << 60

  /// Of several operations that were started together.
  package static func ofMany(sends: Bool, _ number: UInt64) -> UInt64 { encode(sends ? .send : .receive, nil, number) | many }
  static func isOfMany(_ request: UInt64) -> Bool { request >> 60 & 3 == 1 }

  @inline(__always) static func encode(_ kind: Operation.Cancellable, _ slot: UInt32?, _ number: UInt64) -> UInt64 {
    let kindBits: UInt64 =
      switch kind {
      case .send: 1
      case .receive: 2
      case .flush: 3
      }
    let slotPart = slot.map { UInt64($0) << numberBits | 1 << 61 } ?? 0
    return kindBits << 62 | slotPart | number & numberMask
  }

  static func decode(_ request: UInt64) -> (kind: Operation.Cancellable, slot: UInt32?, number: UInt64)? {
    let kind: Operation.Cancellable
    switch request >> 62 {
    case 1: kind = .send
    case 2: kind = .receive
    case 3: kind = .flush
    default: return nil
    }
    let slot = request >> 61 & 1 == 1 ? UInt32(request >> numberBits & (1 << slotBits - 1)) : nil
    return (kind, slot, request & numberMask)
  }
}
