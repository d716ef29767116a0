/// Where an offered message's data are in the sender's memory: what follows its header, 32 bytes, little endian. Only peers of one host
/// that have shown each other in the handshake that they can read each other's memory offer anything.
///
/// The *ticket* says how long: a random-looking word, unique to the offer, that stands at its address as long as the data may be read, and
/// is cleared before the sender has its memory back. A reader that finds it there *after* it read has read what was meant.
///
/// ```
///  0                   8                   16                  24                  32
///  +-------------------+-------------------+-------------------+-------------------+
///  |                            address of the first byte                          |
///  +-------------------------------------------------------------------------------+
///  |                             length in bytes, > 0                              |
///  +-------------------------------------------------------------------------------+
///  |                         address of the ticket's 8 bytes                       |
///  +-------------------------------------------------------------------------------+
///  |                                  the ticket                                   |
///  +-------------------------------------------------------------------------------+
/// ```
public struct Offer: Hashable, Sendable, BitwiseCopyable {
  public static let byteCount = 8 + 8 + 8 + 8

  public var address: UInt64
  public var length: Int
  public var ticketAddress: UInt64
  public var ticket: UInt64

  public init(address: UInt64, length: Int, ticketAddress: UInt64, ticket: UInt64) {
    self.address = address
    self.length = length
    self.ticketAddress = ticketAddress
    self.ticket = ticket
  }

  /// Four little-endian words in memory order.
  public var words: (UInt64, UInt64, UInt64, UInt64) {
    (address.littleEndian, UInt64(length).littleEndian, ticketAddress.littleEndian, ticket.littleEndian)
  }

  /// Nil when no memory can be like that.
  public init?(words: (UInt64, UInt64, UInt64, UInt64)) {
    address = UInt64(littleEndian: words.0)
    ticketAddress = UInt64(littleEndian: words.2)
    ticket = UInt64(littleEndian: words.3)
    guard let length = Int(exactly: UInt64(littleEndian: words.1)), length > 0, address != 0, ticketAddress != 0, ticket != 0,
      !address.addingReportingOverflow(UInt64(length)).overflow, !ticketAddress.addingReportingOverflow(8).overflow
    else { return nil }
    self.length = length
  }
}
