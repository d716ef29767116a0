/// What a header announces. Only data takes a sequence number and a cost.
public enum MessageKind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// A message of the user; `tag` is the user's.
  case data = 1
  /// What was freed (`credit`), the sender's grant (low half of `tag`, units of 64 B; 0: unchanged) and, with `wantCredit`, the freed
  /// total that is waited for (high half of `tag`).
  case credit = 2
  /// Synchronous messages that were matched: `sequence` + i for each bit i of `tag`.
  case acknowledgement = 3
  /// Messages that were given up unread, named in the same way.
  case rejection = 4
  /// Asks to be told when every message before `sequence` has arrived.
  case flush = 5
  /// Every message before `sequence` has arrived.
  case flushAcknowledgement = 6
  /// Offered messages whose data were read, or will not be: their memory is free. Named as acknowledgements are.
  case returned = 7
}

public struct MessageFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// On data: acknowledge the match.
  public static let wantsAcknowledgement = MessageFlags(rawValue: 1)
  /// On credit: the sender is held; report as soon as the total in `tag` is freed.
  public static let wantsCredit = MessageFlags(rawValue: 2)
  /// On data: what follows is an `Offer`; the data themselves are read from the sender's memory.
  public static let offered = MessageFlags(rawValue: 4)
  static let known: MessageFlags = [.wantsAcknowledgement, .wantsCredit, .offered]
}

/// The header of every active message, 24 bytes, little endian. `connection` and `check` are the receiver's: it gave them out in the
/// handshake.
///
/// ```
///  0                   8                   16                  24                  32
///  +-------------------+-------------------+-------------------+-------------------+
///  |                                      tag                                      |
///  |                                 (64 bits, user's)                             |
///  +-------------------------------------------------+-----------------------------+
///  |        connection: slot (20 bits)               |    generation (12 bits)     |
///  +-------------------------------------------------+-----------------------------+
///  |                                   sequence                                    |
///  +-------------------------------------------------------------------------------+
///  |                     credit: total freed, units of 64 B, wraps                 |
///  +-------------------+-------------------+---------------------------------------+
///  |       kind        |       flags       |     check (16 random bits)            |
///  +-------------------+-------------------+---------------------------------------+
/// ```
public struct MessageHeader: Hashable, Sendable, BitwiseCopyable {
  public static let byteCount = 8 + 4 + 4 + 4 + 1 + 1 + 2

  public var tag: UInt64
  public var connection: UInt32
  public var sequence: UInt32
  public var credit: UInt32
  public var kind: MessageKind
  public var flags: MessageFlags
  public var check: UInt16

  public init(
    kind: MessageKind, tag: UInt64 = 0, connection: UInt32 = 0, sequence: UInt32 = 0, credit: UInt32 = 0, flags: MessageFlags = [],
    check: UInt16 = 0
  ) {
    self.tag = tag
    self.connection = connection
    self.sequence = sequence
    self.credit = credit
    self.kind = kind
    self.flags = flags
    self.check = check
  }

  /// The header as three little-endian words in memory order, for a shell that copies it to C memory.
  public var words: (UInt64, UInt64, UInt64) {
    let low = UInt64(connection) | UInt64(sequence) &<< 32
    let high = UInt64(credit) | UInt64(kind.rawValue) &<< 32 | UInt64(flags.rawValue) &<< 40 | UInt64(check) &<< 48
    return (tag.littleEndian, low.littleEndian, high.littleEndian)
  }

  /// Nil when kind or flags are unknown.
  public init?(words: (UInt64, UInt64, UInt64)) {
    let low = UInt64(littleEndian: words.1)
    let high = UInt64(littleEndian: words.2)
    let flags = MessageFlags(rawValue: UInt8(truncatingIfNeeded: high &>> 40))
    guard let kind = MessageKind(rawValue: UInt8(truncatingIfNeeded: high &>> 32)), flags.isSubset(of: .known) else { return nil }
    self.init(
      kind: kind, tag: UInt64(littleEndian: words.0), connection: UInt32(truncatingIfNeeded: low),
      sequence: UInt32(truncatingIfNeeded: low &>> 32), credit: UInt32(truncatingIfNeeded: high), flags: flags,
      check: UInt16(truncatingIfNeeded: high &>> 48))
  }

  /// Nil unless the span is exactly a header of a known kind with known flags.
  public init?(_ bytes: Span<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    func word(_ offset: Int) -> UInt64 {
      var value: UInt64 = 0
      for index in 0..<8 { value |= UInt64(bytes[offset + index]) &<< UInt64(8 * index) }
      return value.littleEndian
    }
    self.init(words: (word(0), word(8), word(16)))
  }

  /// Appends the 24 bytes; the caller has seen to the room.
  public func encode(into output: inout OutputSpan<UInt8>) {
    func append(_ word: UInt64) {
      for index in 0..<8 { output.append(UInt8(truncatingIfNeeded: UInt64(littleEndian: word) &>> UInt64(8 * index))) }
    }
    let words = self.words
    append(words.0)
    append(words.1)
    append(words.2)
  }
}
