// CausewayBondCore: what a bond decides, without sockets, clocks or threads. Noise/ is WireGuard's handshake and key life; Frames/ what
// two of ours say to each other inside the encrypted payload; Queue/, Order/ and Repair/ the fair queue, the order of arrival and the
// mending of losses; Engine/ ties them together. Start with Engine/BondEngine.swift.
public import CausewayBase

/// The number of a buffer in a `PacketPool`.
public typealias PacketSlot = UInt32

extension PacketSlot {
  /// No packet: the end of a list.
  public static var none: PacketSlot { .max }
}

/// What is known of the packet in a slot. Whoever holds the slot may change it.
public struct PacketInfo: BitwiseCopyable, Sendable {
  /// Bytes of the IP packet, from `PacketPool.headroom` on.
  @usableFromInline var length32: UInt32 = 0
  /// For lists of one owner at a time.
  public var next: PacketSlot = .none
  /// Hash of addresses, protocol and ports; the low byte is the order bucket.
  public var flowHash: UInt32 = 0
  public var sequence: UInt32 = 0
  /// Distance to the flow's previous packet; 0: wait for nothing.
  public var previous: UInt16 = 0
  public var flags: PacketFlags = []
  /// Copies under way on paths.
  public var copies: UInt8 = 0
  /// TOS or traffic class byte of the packet: DSCP and ECN.
  public var trafficClass: UInt8 = 0
  /// When it entered the bond.
  public var enqueuedAt: Instant = .zero
  /// When its first copy was sent, or zero.
  public var sentAt: Instant = .zero
  /// Neighbours in a second list of the same owner, such as packets held for order by their arrival.
  public var earlier: PacketSlot = .none
  public var later: PacketSlot = .none

  @inlinable public init() {}

  @inlinable public var length: Int {
    get { Int(length32) }
    set { length32 = UInt32(truncatingIfNeeded: newValue) }
  }
}

public struct PacketFlags: OptionSet, Sendable, BitwiseCopyable {
  public let rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  /// The transport checksum holds the pseudo-header's sum only: whoever delivers completes it (virtio NEEDS_CSUM).
  public static let checksumPartial = PacketFlags(rawValue: 1)
  /// Sparse or latency-critical: goes before bulk.
  public static let urgent = PacketFlags(rawValue: 2)
  /// Sent at least twice.
  public static let resent = PacketFlags(rawValue: 4)
  /// No one waits for it any more; the slot goes when its last copy does.
  public static let settled = PacketFlags(rawValue: 8)
  /// Waits to be sent again.
  public static let queued = PacketFlags(rawValue: 16)
  /// Went out in pieces, each of which counts as a copy.
  public static let fragmented = PacketFlags(rawValue: 32)
  /// A piece was lost.
  public static let damaged = PacketFlags(rawValue: 64)
  /// A TCP segment that brings data, or the answer to a SYN: what a sender measures its round trip by.
  public static let stream = PacketFlags(rawValue: 128)
  /// Has SYN: the flow begins here.
  public static let opening = PacketFlags(rawValue: 256)
}

/// Packet buffers of one size, named by number, last in first out so that the warm ones are used. Allocates in steps up to a limit and
/// never gives memory back. One pool for each thread.
@safe public final class PacketPool {
  /// Room before each packet for a transport header and a data frame.
  public static let headroom = 32
  /// Room behind it for padding and tag.
  public static let tailroom = 32
  static let slotsPerBlock = 256

  /// The largest packet that fits.
  public let packetByteCount: Int
  /// Most slots there can be.
  public let limit: Int
  public let stride: Int
  private let blocks: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>
  private let infos: UnsafeMutablePointer<PacketInfo>
  private var made = 0
  private var freeHead: PacketSlot = .none
  public private(set) var lentCount = 0

  public init(packetByteCount: Int, limit: Int) {
    precondition(packetByteCount > 0 && limit > 0 && limit < Int(PacketSlot.max), "a pool of nothing")
    self.packetByteCount = packetByteCount
    stride = (Self.headroom + packetByteCount + Self.tailroom + 63) / 64 * 64
    let blockCount = (limit + Self.slotsPerBlock - 1) / Self.slotsPerBlock
    self.limit = blockCount * Self.slotsPerBlock
    // SAFETY: both tables live as long as the pool; blocks are filled in as they are made.
    unsafe blocks = .allocate(capacity: blockCount)
    unsafe blocks.initialize(repeating: nil, count: blockCount)
    unsafe infos = .allocate(capacity: self.limit)
    unsafe infos.initialize(repeating: PacketInfo(), count: self.limit)
  }

  deinit {
    for block in 0..<(made / Self.slotsPerBlock) { unsafe blocks[block]?.deallocate() }
    unsafe blocks.deallocate()
    unsafe infos.deallocate()
  }

  public var freeCount: Int { limit - lentCount }

  /// A slot with a cleared info, or nil when all are lent.
  @inline(__always) public func take() -> PacketSlot? {
    if freeHead == .none { grow() }
    let slot = freeHead
    guard slot != .none else { return nil }
    unsafe freeHead = infos[Int(slot)].next
    unsafe infos[Int(slot)] = PacketInfo()
    lentCount &+= 1
    return slot
  }

  @inline(__always) public func give(_ slot: PacketSlot) {
    checkSlot(slot)
    unsafe infos[Int(slot)].next = freeHead
    freeHead = slot
    lentCount &-= 1
  }

  @inline(__always) public subscript(slot: PacketSlot) -> PacketInfo {
    get {
      checkSlot(slot)
      return unsafe infos[Int(slot)]
    }
    _modify {
      checkSlot(slot)
      yield unsafe &infos[Int(slot)]
    }
  }

  /// The whole buffer: headroom, packet, tailroom.
  @inline(__always) public func withBuffer<R>(_ slot: PacketSlot, _ body: (inout MutableSpan<UInt8>) -> R) -> R {
    // SAFETY: the slot's own memory; its holder is the only one who touches it, for the length of the call.
    var span = unsafe MutableSpan(_unsafeStart: address(slot), count: stride)
    return body(&span)
  }

  /// The packet in the slot, without headroom.
  @inline(__always) public func withPacket<R>(_ slot: PacketSlot, _ body: (Span<UInt8>) -> R) -> R {
    let count = self[slot].length
    precondition(count <= stride &- Self.headroom, "a packet longer than its slot")
    // SAFETY: inside the slot's memory, checked above.
    return unsafe body(Span(_unsafeStart: UnsafePointer(address(slot) + Self.headroom), count: count))
  }

  /// The slot's first byte, `stride` bytes long, for the system calls of a shell and for ciphers. Valid until `give`.
  @unsafe @inline(__always) public func address(_ slot: PacketSlot) -> UnsafeMutablePointer<UInt8> {
    checkSlot(slot)
    return unsafe blocks[Int(slot) / Self.slotsPerBlock].unsafelyUnwrapped + Int(slot) % Self.slotsPerBlock * stride
  }

  @inline(__always) private func checkSlot(_ slot: PacketSlot) { precondition(Int(slot) < made, "no such packet slot") }

  private func grow() {
    guard made < limit else { return }
    // SAFETY: a fresh block, freed in deinit.
    unsafe blocks[made / Self.slotsPerBlock] = .allocate(capacity: Self.slotsPerBlock * stride)
    for slot in (made..<made + Self.slotsPerBlock).reversed() {
      unsafe infos[slot].next = freeHead
      freeHead = PacketSlot(slot)
    }
    made += Self.slotsPerBlock
  }
}
