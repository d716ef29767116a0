import CausewayBase

/// Counters `first...last` that arrived. A range that ends before it begins is refused where it is used; it traps nowhere.
public struct CounterRange: Equatable, Sendable, BitwiseCopyable {
  public var first: UInt64
  public var last: UInt64

  @inlinable public init(first: UInt64, last: UInt64) {
    self.first = first
    self.last = last
  }
}

/// What a peer says of one path, beside the ranges.
public struct PathAcknowledgement: Equatable, Sendable, BitwiseCopyable {
  /// The greatest counter that arrived.
  public var largest: UInt64
  /// When it arrived, by the peer's clock; wraps.
  public var arrivalMicroseconds: UInt32
  /// How long the peer held this acknowledgement back, in nanoseconds.
  public var delayNanoseconds: UInt64
  /// Packets with congestion marks since the session began; wraps.
  public var congestionCount: UInt32

  @inlinable public init(largest: UInt64, arrivalMicroseconds: UInt32, delayNanoseconds: UInt64 = 0, congestionCount: UInt32 = 0) {
    self.largest = largest
    self.arrivalMicroseconds = arrivalMicroseconds
    self.delayNanoseconds = delayNanoseconds
    self.congestionCount = congestionCount
  }
}

/// Why an acknowledgement changed nothing.
public enum AcknowledgementError: Error, Equatable, Sendable {
  /// It names a counter that was never sent.
  case neverSent
  /// Ranges overlap, are out of order, or end before they begin.
  case disordered
  /// More ranges than `LossDetector.rangeLimit`.
  case tooManyRanges
}

/// What became of packets, by their tokens. Owned by the caller and used again and again: once its arrays have grown to what a burst
/// needs, nothing is allocated.
public struct AcknowledgementOutcome: Sendable {
  /// Arrived.
  public var acknowledged: [UInt32] = []
  /// Declared lost: send them again, elsewhere if you can.
  public var lost: [UInt32] = []
  /// Declared lost before and arrived after all. The token may name something else by now: a hint, not a handle.
  public var spurious: [UInt32] = []

  public init(reserving count: Int = 1024) {
    acknowledged.reserveCapacity(count)
    lost.reserveCapacity(count)
    spurious.reserveCapacity(16)
  }

  @inlinable public var isEmpty: Bool { acknowledged.isEmpty && lost.isEmpty && spurious.isEmpty }

  @inlinable public mutating func removeAll() {
    acknowledged.removeAll(keepingCapacity: true)
    lost.removeAll(keepingCapacity: true)
    spurious.removeAll(keepingCapacity: true)
  }
}
