/// Why a packet or message went no further. Counted, never logged one by one.
public enum DropReason: UInt8, CaseIterable, Sendable {
  // From the TUN device.
  case noPeer, noMemory, badPacket, tooBig, backlogFull
  // From the network, before anything is known of the sender.
  case malformed, unknownIndex, forged, replayed, foreignPath, expiredKeys, handshake, replyOverflow
  // From an authenticated peer.
  case malformedPacket, malformedFrame, unknownPath, disallowedSource, congestionDrop, frameBeforeHello, badAcknowledgement, badEcho
  case tooManyProbes, unaskedHello, unknownVersion
  // Towards the TUN device and the paths.
  case deliveryOverflow, tooBigForPath
}

/// One counter for each reason.
public struct DropCounts: Sendable {
  private var counts = InlineArray<32, UInt64>(repeating: 0)

  public init() {}

  @inline(__always) mutating func count(_ reason: DropReason) { counts[Int(reason.rawValue)] &+= 1 }
  mutating func add(_ count: UInt64, _ reason: DropReason) { counts[Int(reason.rawValue)] &+= count }

  public subscript(reason: DropReason) -> UInt64 { counts[Int(reason.rawValue)] }
}
