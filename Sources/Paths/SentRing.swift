import CausewayBase

/// How a packet was sent.
public struct SentFlags: OptionSet, Sendable, BitwiseCopyable {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Its counter is used up, but no acknowledgement is asked for and no budget taken: acknowledgements and keep-alives.
  public static let unacknowledged = SentFlags(rawValue: 1)
  /// A probe or another control packet: counts for health and loss, not for capacity.
  public static let control = SentFlags(rawValue: 2)
  /// Set by the sender: the path's own pace or budget was what held it back.
  static let limited = SentFlags(rawValue: 4)
  /// Declared lost by the timer alone, and still taking up budget.
  static let suspended = SentFlags(rawValue: 8)
}

/// One sent packet, 16 bytes.
struct SentRecord: BitwiseCopyable {
  enum Status: UInt8, BitwiseCopyable {
    case none, outstanding, acknowledged, lost
  }
  var sentAt: UInt64 = 0
  var token: UInt32 = 0
  var byteCount: UInt16 = 0
  var flags: SentFlags = []
  var status: Status = .none
}

/// The newest sent packets of a path by counter: a ring that doubles when what is outstanding would be overwritten, up to a limit, and
/// never shrinks. Counters between two recorded ones read as `none`.
@safe struct SentRing: ~Copyable {
  static let initialCapacity = 512
  /// 131072 packets of 1468 bytes: 15 Gbit/s × 100 ms. 2 MiB.
  static let capacityLimit = 1 << 17

  private var records: UnsafeMutablePointer<SentRecord>
  private var mask: UInt64
  /// One past the newest recorded counter.
  private(set) var end: UInt64 = 0

  init() {
    // SAFETY: owned by this value alone, which cannot be copied; replaced only in `grow`, freed in `deinit`.
    unsafe records = .allocate(capacity: Self.initialCapacity)
    unsafe records.initialize(repeating: SentRecord(), count: Self.initialCapacity)
    mask = UInt64(Self.initialCapacity - 1)
  }

  deinit { unsafe records.deallocate() }

  var capacity: Int { Int(mask) + 1 }

  /// The oldest counter whose record may still be there.
  @inline(__always) var start: UInt64 { end > mask ? end &- mask &- 1 : 0 }

  /// The record of a counter in `start..<end`; another counter reads some other record and is the caller's mistake.
  @inline(__always) subscript(counter: UInt64) -> SentRecord {
    // SAFETY: the mask keeps the index below the capacity.
    get { unsafe records[Int(counter & mask)] }
    set { unsafe records[Int(counter & mask)] = newValue }
  }

  @inline(__always) mutating func setStatus(_ status: SentRecord.Status, of counter: UInt64) {
    // SAFETY: as above.
    unsafe records[Int(counter & mask)].status = status
  }

  /// Makes room up to `counter` without overwriting anything from `oldest` on.
  /// - Returns: False when the limit forbids it.
  @inline(__always) mutating func makeRoom(through counter: UInt64, keeping oldest: UInt64) -> Bool {
    if counter &- oldest <= mask { return true }
    return grow(through: counter, keeping: oldest)
  }

  /// Records `counter`, which is not below `end`; skipped counters are cleared.
  @inline(__always) mutating func append(_ record: SentRecord, at counter: UInt64) {
    if counter != end { clear(through: counter) }
    self[counter] = record
    end = counter &+ 1
  }

  @inline(__always) mutating func suspend(_ counter: UInt64) {
    // SAFETY: as above.
    unsafe records[Int(counter & mask)].flags.insert(.suspended)
  }

  private mutating func clear(through counter: UInt64) {
    let first = counter &- end > mask ? counter &- mask : end
    var index = first
    while index < counter {
      self[index] = SentRecord()
      index &+= 1
    }
  }

  private mutating func grow(through counter: UInt64, keeping oldest: UInt64) -> Bool {
    var newCapacity = capacity
    while newCapacity < Self.capacityLimit && counter &- oldest >= UInt64(newCapacity) { newCapacity *= 2 }
    if newCapacity > capacity {
      let newMask = UInt64(newCapacity - 1)
      // SAFETY: fresh memory, every record set before use; the old memory is freed after its last read.
      let fresh = UnsafeMutablePointer<SentRecord>.allocate(capacity: newCapacity)
      unsafe fresh.initialize(repeating: SentRecord(), count: newCapacity)
      var index = start
      while index < end {
        unsafe fresh[Int(index & newMask)] = records[Int(index & mask)]
        index &+= 1
      }
      unsafe records.deallocate()
      unsafe records = fresh
      mask = newMask
    }
    return counter &- oldest <= mask
  }
}
