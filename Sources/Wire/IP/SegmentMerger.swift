public import CausewayBase

/// Puts received packets of a flow together again before they are written to the TUN device, so that the kernel takes up to 64 KiB in one
/// go: generic receive offload (GRO) of our own, without copying. Packets are fed in the order in which they may be delivered; each
/// becomes part of a *batch*, which is one `writev(2)`: virtio header, first packet, payloads of those that follow it.
///
/// The order within a flow never changes, and what cannot be merged is written as it came. Merged TCP segments carry on without gap, with
/// equal headers but for sequence, checksum, IPv4 identification and PSH, and end with a shorter one or PSH; UDP datagrams are of one
/// size, the last may be shorter. Every merged packet's checksum was right, or was left to the receiver by a peer that vouches for it.
///
/// The memory of the packets belongs to the caller and stays as it is until `removeAll`. Allocates nothing after `init`.
@safe public struct SegmentMerger: ~Copyable {
  /// Batches before the caller must write them.
  public static let batchLimit = 64
  /// Pieces of a batch: the header and 63 packets, more than 64 KiB at any usual size.
  public static let pieceLimit = 64
  /// How many batches, the newest first, are searched for the flow of a packet.
  static let searchLimit = 16
  /// Bytes of a merged packet: IPv4's total length ends there.
  static let byteLimit = 65535

  /// One write in the making.
  struct Batch: BitwiseCopyable {
    var hash: UInt32 = 0
    /// Still takes packets.
    var isOpen = false
    var isTCP = false
    var isIPv6 = false
    /// Nothing is to be done for a lone packet.
    var isPartial = false
    /// The first packet's checksum is known to be right.
    var isVerified = false
    var endsWithPush = false
    var transportOffset: UInt16 = 0
    var headerLength: UInt16 = 0
    /// Payload of the first packet.
    var segmentSize: UInt16 = 0
    var packetCount: UInt16 = 0
    var totalLength = 0
    var nextSequence: UInt32 = 0
  }

  let mergesUDP: Bool
  let batches: UnsafeMutablePointer<Batch>
  let pieces: UnsafeMutablePointer<MemoryPiece>
  private let headers: UnsafeMutablePointer<UInt8>
  /// Batches to be written.
  public private(set) var count = 0
  /// Packets in them.
  public private(set) var packetCount = 0

  /// - Parameter mergesUDP: Whether the device takes UDP segments (USO, Linux 6.2).
  public init(mergesUDP: Bool) {
    self.mergesUDP = mergesUDP
    // SAFETY: the three live as long as the merger; every index is below the limits they are made for.
    unsafe batches = .allocate(capacity: Self.batchLimit)
    unsafe batches.initialize(repeating: Batch(), count: Self.batchLimit)
    unsafe pieces = .allocate(capacity: Self.batchLimit * Self.pieceLimit)
    unsafe pieces.initialize(repeating: MemoryPiece(base: nil, count: 0), count: Self.batchLimit * Self.pieceLimit)
    unsafe headers = .allocate(capacity: Self.batchLimit * VirtioHeader.byteCount)
    unsafe headers.initialize(repeating: 0, count: Self.batchLimit * VirtioHeader.byteCount)
  }

  deinit {
    unsafe batches.deallocate()
    unsafe pieces.deallocate()
    unsafe headers.deallocate()
  }

  /// Whether the next packet may find no place: write the batches first.
  public var isFull: Bool { count == Self.batchLimit }

  public mutating func removeAll() {
    count = 0
    packetCount = 0
  }

  /// Takes the next packet. Not when full.
  /// - Parameters:
  ///   - packet: An IP packet of exactly `byteCount` > 0 bytes; its headers may be changed in place. Stays until `removeAll`.
  ///   - isPartial: Its TCP or UDP checksum field holds the pseudo-header's sum.
  @unsafe public mutating func add(_ packet: UnsafeMutablePointer<UInt8>, byteCount: Int, isPartial: Bool) {
    precondition(!isFull && byteCount > 0, "no room for a packet")
    packetCount &+= 1
    // SAFETY: the caller keeps the bytes, and nobody changes them during the call.
    let bytes = unsafe Span(_unsafeStart: UnsafePointer(packet), count: byteCount)
    guard let candidate = Candidate(bytes, mergesUDP: mergesUDP) else {
      unsafe open(packet, byteCount, Batch(isPartial: isPartial, packetCount: 1, totalLength: byteCount))
      return
    }
    if let found = find(candidate.hash) {
      if candidate.isMergeable, unsafe merge(bytes, packet, candidate, isPartial, into: found) { return }
      unsafe batches[found].isOpen = false
    }
    unsafe open(
      packet, byteCount,
      Batch(
        hash: candidate.hash, isOpen: candidate.isMergeable && !candidate.hasPush, isTCP: candidate.isTCP, isIPv6: candidate.isIPv6,
        isPartial: isPartial, isVerified: isPartial, endsWithPush: candidate.hasPush,
        transportOffset: UInt16(truncatingIfNeeded: candidate.transportOffset),
        headerLength: UInt16(truncatingIfNeeded: candidate.headerLength),
        segmentSize: UInt16(truncatingIfNeeded: candidate.payloadByteCount), packetCount: 1, totalLength: byteCount,
        nextSequence: candidate.sequence &+ UInt32(truncatingIfNeeded: candidate.payloadByteCount)))
  }

  /// The pieces of batch `index` for `writev(2)`, headers written. Call once for each batch, then `removeAll`.
  @unsafe public mutating func finish(_ index: Int) -> UnsafeBufferPointer<MemoryPiece> {
    precondition(index >= 0 && index < count, "no such batch")
    let batch = unsafe batches[index]
    let list = unsafe pieces + index * Self.pieceLimit
    // SAFETY: 10 bytes of our own, and the first packet, which `add` was given to change.
    var header = unsafe MutableSpan(_unsafeStart: headers + index * VirtioHeader.byteCount, count: VirtioHeader.byteCount)
    var first = unsafe MutableSpan(
      _unsafeStart: list[1].base.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), count: list[1].count)
    var virtio = VirtioHeader()
    if batch.packetCount > 1 {
      virtio = Self.headMerged(batch, &first)
    } else if batch.isPartial, let place = TransportChecksum.place(first.span) {
      virtio.needsChecksum = true
      virtio.checksumStart = UInt16(truncatingIfNeeded: place.start)
      virtio.checksumOffset = UInt16(truncatingIfNeeded: place.field &- place.start)
    }
    virtio.write(into: &header)
    return unsafe UnsafeBufferPointer(start: list, count: Int(batch.packetCount) &+ 1)
  }

  /// Packets in batch `index`.
  public func packetCount(of index: Int) -> Int {
    precondition(index >= 0 && index < count, "no such batch")
    return unsafe Int(batches[index].packetCount)
  }

  // MARK: Inside

  private mutating func open(_ packet: UnsafeMutablePointer<UInt8>, _ byteCount: Int, _ batch: Batch) {
    unsafe batches[count] = batch
    let list = unsafe pieces + count * Self.pieceLimit
    unsafe list[0] = MemoryPiece(base: headers + count * VirtioHeader.byteCount, count: VirtioHeader.byteCount)
    unsafe list[1] = MemoryPiece(base: packet, count: byteCount)
    count &+= 1
  }

  /// The newest open batch of the flow.
  @inline(__always) private func find(_ hash: UInt32) -> Int? {
    var index = count
    let end = max(0, count &- Self.searchLimit)
    while index > end {
      index &-= 1
      if unsafe batches[index].hash == hash, unsafe batches[index].isOpen { return index }
    }
    return nil
  }

  private func merge(
    _ bytes: Span<UInt8>, _ packet: UnsafeMutablePointer<UInt8>, _ candidate: Candidate, _ isPartial: Bool, into index: Int
  ) -> Bool {
    let batch = unsafe batches[index]
    let list = unsafe pieces + index * Self.pieceLimit
    let position = Int(batch.packetCount)
    let size = candidate.payloadByteCount
    // SAFETY: the first packet, which the caller keeps; checked by its own `Candidate` to hold its headers.
    let first = unsafe Span(
      _unsafeStart: UnsafePointer(list[1].base.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)), count: list[1].count)
    guard position &+ 1 < Self.pieceLimit, size <= Int(batch.segmentSize), batch.totalLength &+ size <= Self.byteLimit,
      candidate.isTCP == batch.isTCP, candidate.isIPv6 == batch.isIPv6, candidate.headerLength == Int(batch.headerLength),
      !batch.isTCP || candidate.sequence == batch.nextSequence, candidate.continues(bytes, first, distance: position)
    else { return false }
    if !batch.isVerified {
      guard TransportChecksum.isValid(first) else { return false }
      unsafe batches[index].isVerified = true
    }
    guard isPartial || TransportChecksum.isValid(bytes) else { return false }
    unsafe list[position &+ 1] = MemoryPiece(base: packet + candidate.headerLength, count: size)
    unsafe batches[index].packetCount &+= 1
    unsafe batches[index].totalLength &+= size
    unsafe batches[index].nextSequence &+= UInt32(truncatingIfNeeded: size)
    unsafe batches[index].endsWithPush = candidate.hasPush
    unsafe batches[index].isOpen = size == Int(batch.segmentSize) && !candidate.hasPush
    return true
  }

  /// Makes the first packet's headers those of the whole, for the kernel to take as one with TSO or USO.
  private static func headMerged(_ batch: Batch, _ first: inout MutableSpan<UInt8>) -> VirtioHeader {
    let start = Int(batch.transportOffset)
    let transportLength = batch.totalLength &- start
    if batch.isIPv6 {
      first.setBigEndian(UInt16(truncatingIfNeeded: batch.totalLength &- IPHeader.version6ByteCount), at: 4)
    } else {
      let (old, total) = (first.bigEndian(at: 2, as: UInt16.self), UInt16(truncatingIfNeeded: batch.totalLength))
      first.setBigEndian(total, at: 2)
      first.setBigEndian(InternetChecksum.update(first.bigEndian(at: 10), from: old, to: total), at: 10)
    }
    let field = batch.isTCP ? TCPHeader.checksumOffset : UDPHeader.checksumOffset
    if batch.isTCP {
      if batch.endsWithPush { first[start &+ 13] |= TCPHeader.Flags.push.rawValue }
    } else {
      first.setBigEndian(UInt16(truncatingIfNeeded: transportLength), at: start &+ UDPHeader.lengthOffset)
    }
    let pseudo = InternetChecksum.pseudoHeader(
      first.span, isIPv6: batch.isIPv6, protocolNumber: batch.isTCP ? IPProtocol.tcp : IPProtocol.udp)
    first.setBigEndian(InternetChecksum.add(pseudo, UInt16(truncatingIfNeeded: transportLength)), at: start &+ field)
    var virtio = VirtioHeader()
    virtio.needsChecksum = true
    virtio.segmentation = batch.isTCP ? (batch.isIPv6 ? .tcp6 : .tcp4) : .udp
    virtio.headerLength = batch.headerLength
    virtio.segmentSize = batch.segmentSize
    virtio.checksumStart = batch.transportOffset
    virtio.checksumOffset = UInt16(truncatingIfNeeded: field)
    return virtio
  }
}
