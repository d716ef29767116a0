/// What a message costs its receiver while it is unreceived, in units of 64 B. Both sides charge by the same rule.
public enum MessageCost {
  /// Bytes of a unit.
  public static let unit = 64
  /// What the tables of core and shell take for a message beside its payload: 112 bytes, and its share of the pool.
  static let record: UInt32 = 128 / 64
  /// Eager payloads up to here are copied to slabs when unexpected.
  public static let copiedByteCount = 2048
  /// A held fragment pins a whole descriptor of the transport: 8.5 KiB.
  static let fragment: UInt32 = 8704 / 64
  /// The data stay with the sender, but the transport keeps about a kilobyte for each.
  static let rendezvous: UInt32 = 1280 / 64

  /// Saturates far above every grant.
  @inline(__always) static func units(length: Int, rendezvous isRendezvous: Bool) -> UInt32 {
    if isRendezvous { return rendezvous }
    let data = UInt32(truncatingIfNeeded: (UInt64(UInt(bitPattern: length)) &+ 63) &>> 6)
    if length <= copiedByteCount { return data &+ record }
    if length >= 1 << 31 { return 1 << 27 }
    return max(fragment, data &+ record)
  }
}
