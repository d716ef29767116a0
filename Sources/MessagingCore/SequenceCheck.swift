/// Where an arrival stands in its connection's order. UCX delivers in order; this notices if it once does not.
struct SequenceCheck: BitwiseCopyable {
  enum Place: Equatable {
    case next, ahead, behind, tooFarAhead
  }
  /// The number of the message whose turn it is; every earlier one has arrived.
  private(set) var expected: UInt32
  /// Messages that wait for an earlier one, by sequence.
  var parked = SlotList()
  var parkedCount = 0

  init(start: UInt32) { expected = start }

  @inline(__always) func place(_ sequence: UInt32) -> Place {
    let distance = Int32(bitPattern: sequence &- expected)
    if distance == 0 { return .next }
    if distance < 0 { return .behind }
    return distance > Int32(MessagingLimits.reorderLimit) ? .tooFarAhead : .ahead
  }

  @inline(__always) mutating func advance() { expected &+= 1 }

  /// Whether every message before `sequence` has arrived.
  func covers(_ sequence: UInt32) -> Bool { Int32(bitPattern: expected &- sequence) >= 0 }
}
