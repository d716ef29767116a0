internal import CausewayWire

/// The time of an initiation (TAI64N, 12 bytes on the wire), rounded down to 16.7 ms so that it tells little of the sender's clock.
public struct TAI64N: Hashable, Sendable, Comparable, BitwiseCopyable {
  public static let byteCount = 12
  /// The label of 1970-01-01 with the ten leap seconds of that time.
  private static let epoch: UInt64 = 0x4000_0000_0000_000A
  /// Nanoseconds: 2^24.
  private static let step: UInt32 = 1 << 24

  public let seconds: UInt64
  public let nanoseconds: UInt32

  /// Earlier than every time that is sent.
  public static let zero = TAI64N(seconds: 0, nanoseconds: 0)

  private init(seconds: UInt64, nanoseconds: UInt32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  public init(unixNanoseconds: UInt64) {
    let fraction = UInt32(truncatingIfNeeded: unixNanoseconds % 1_000_000_000)
    self.init(seconds: Self.epoch &+ unixNanoseconds / 1_000_000_000, nanoseconds: fraction & ~(Self.step &- 1))
  }

  /// - Parameter bytes: 12 bytes, BE64(seconds) || BE32(nanoseconds).
  public init(_ bytes: Span<UInt8>) {
    precondition(bytes.count == Self.byteCount, "a timestamp has 12 bytes")
    self.init(seconds: bytes.bigEndian(at: 0), nanoseconds: bytes.bigEndian(at: 8))
  }

  public var bytes: InlineArray<12, UInt8> {
    InlineArray { index in
      index < 8
        ? UInt8(truncatingIfNeeded: seconds &>> UInt64(56 - 8 * index)) : UInt8(truncatingIfNeeded: nanoseconds &>> UInt32(88 - 8 * index))
    }
  }

  /// The least later time that a receiver can tell from this one.
  public var next: TAI64N {
    let sum = (nanoseconds & ~(Self.step &- 1)).addingReportingOverflow(Self.step)
    if sum.overflow || sum.partialValue >= 1_000_000_000 { return TAI64N(seconds: seconds &+ 1, nanoseconds: 0) }
    return TAI64N(seconds: seconds, nanoseconds: sum.partialValue)
  }

  public static func < (a: TAI64N, b: TAI64N) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }
}
