/// Which counters of one path were accepted (RFC 6479): a ring of 64-bit words of which the newest moves along.
///
/// Its memory, 8 KiB, comes with the first counter. Feed it authentic counters only.
@safe public struct ReplayWindow: ~Copyable {
  private static let wordCount = 1024
  /// How far behind the newest a stock peer's counter may be, as in wireguard-go and Linux: 8128 is taken, 8129 is not.
  public static let stockReach: UInt64 = 8192 - 64
  /// The same between two of ours: a second of reordering at 500 Mbit/s.
  public static let wideReach = UInt64((wordCount - 1) * 64)

  /// At most `wideReach`; may be raised at any time.
  public var reach: UInt64
  /// The greatest accepted counter; 0 at first.
  public private(set) var newest: UInt64 = 0
  private var words: UnsafeMutablePointer<UInt64>?

  public init(reach: UInt64 = ReplayWindow.stockReach) {
    precondition(reach <= Self.wideReach, "a replay window wider than its ring")
    self.reach = reach
    unsafe words = nil
  }

  deinit { unsafe words?.deallocate() }

  /// Whether `accept` would take it.
  @inline(__always) public func wouldAccept(_ counter: UInt64) -> Bool {
    if counter >= WireGuardLimits.rejectAfterMessages { return false }
    guard let words = unsafe words else { return true }
    if counter > newest { return true }
    if newest &- counter > reach { return false }
    // SAFETY: the masked index is below wordCount.
    return unsafe words[Self.index(counter)] & Self.bit(counter) == 0
  }

  /// Takes each counter once, unless it is too far behind the newest.
  @inline(__always) public mutating func accept(_ counter: UInt64) -> Bool {
    if counter >= WireGuardLimits.rejectAfterMessages { return false }
    if unsafe words == nil { allocate() }
    let words = unsafe words.unsafelyUnwrapped
    if counter > newest {
      clear(from: newest &>> 6, to: counter &>> 6)
      newest = counter
    } else if newest &- counter > reach {
      return false
    }
    // SAFETY: the masked index is below wordCount.
    let old = unsafe words[Self.index(counter)]
    unsafe words[Self.index(counter)] = old | Self.bit(counter)
    return old & Self.bit(counter) == 0
  }

  @inline(__always) private static func index(_ counter: UInt64) -> Int { Int(truncatingIfNeeded: counter &>> 6) & (wordCount &- 1) }
  @inline(__always) private static func bit(_ counter: UInt64) -> UInt64 { 1 &<< (counter & 63) }

  @inline(__always) private mutating func clear(from old: UInt64, to new: UInt64) {
    var step = min(new &- old, UInt64(Self.wordCount))
    var word = old
    while step > 0 {
      word &+= 1
      step &-= 1
      // SAFETY: masked, and `accept` has made the words.
      unsafe words.unsafelyUnwrapped[Int(truncatingIfNeeded: word) & (Self.wordCount &- 1)] = 0
    }
  }

  private mutating func allocate() {
    unsafe words = .allocate(capacity: Self.wordCount)
    // SAFETY: just made; freed in deinit.
    unsafe words?.initialize(repeating: 0, count: Self.wordCount)
  }
}
