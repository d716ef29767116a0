package import CausewayBase

/// Makes REPAIR frames of the packets that go over one path, or over all of them: for each group of k up to three parities, from which as
/// many lost packets can be made again, whichever they are. Reed and Solomon's code with the rows 1, 2^i, 4^i.
///
/// Give it each packet's first copy, then take what `writeRepair` has; parities are best sent on another path. Without a plan it does
/// nothing and costs a branch. It never writes more than 15 % of the bytes it was given.
@safe package struct RepairEncoder: ~Copyable {
  package static let depthLimit = 3
  /// Bytes of parity for each byte of data, at most.
  package static let overheadLimit = 0.15

  private struct Group: ~Copyable {
    var rows: ParityRows
    var first: UInt32 = 0
    var members: UInt64 = 0
    var began: Instant = .zero
    var longest = 0
    /// Parities to write yet; the group takes no more members.
    var owed = 0
    var written = 0

    init(packetByteCount: Int) { rows = ParityRows(packetByteCount: packetByteCount) }

    var memberCount: Int { members.nonzeroBitCount }
    var parityByteCount: Int { RepairHeader.byteCount + RepairHeader.prefixByteCount + longest }

    mutating func clear() {
      rows.clear()
      members = 0
      longest = 0
      owed = 0
      written = 0
    }
  }

  private var groups: InlineArray<3, Group>
  private var plan: RepairPlan?
  private var turn = 0
  private var credit = 0.0
  private let packetByteCount: Int
  /// All parities of all groups, which may fill at the same time.
  private var creditLimit: Double {
    Double(
      (Self.depthLimit &* RepairHeader.parityLimit &+ 1) &* (packetByteCount &+ RepairHeader.byteCount &+ RepairHeader.prefixByteCount))
  }
  /// REPAIR frames and their bytes so far.
  package private(set) var repairCount: UInt64 = 0
  package private(set) var repairByteCount: UInt64 = 0
  package private(set) var dataByteCount: UInt64 = 0

  /// - Parameter packetByteCount: longest packet protected; longer ones are passed over, as their parity would not fit the path.
  package init(packetByteCount: Int) {
    self.packetByteCount = packetByteCount
    groups = InlineArray { _ in Group(packetByteCount: packetByteCount) }
  }

  package var isActive: Bool { plan != nil }

  /// A new plan holds from each group's next beginning; nil ends protection at once.
  package mutating func update(_ plan: RepairPlan?) {
    self.plan = plan
    if plan == nil {
      for i in 0..<Self.depthLimit { groups[i].clear() }
      credit = 0
    }
  }

  /// Adds the first copy of a packet.
  @inline(__always) package mutating func add(_ header: DataHeader, _ packet: Span<UInt8>, at now: Instant) {
    guard plan != nil else { return }
    addToGroup(header, packet, at: now)
  }

  private mutating func addToGroup(_ header: DataHeader, _ packet: Span<UInt8>, at now: Instant) {
    guard let plan, packet.count <= packetByteCount else { return }
    turn = turn &+ 1 < plan.depth ? turn &+ 1 : 0
    let lane = turn
    dataByteCount &+= UInt64(packet.count &+ DataHeader.byteCount)
    credit = min(creditLimit, credit + Double(packet.count &+ DataHeader.byteCount) * Self.overheadLimit)
    if groups[lane].owed > 0 { groups[lane].clear() }  // nobody came for them
    if groups[lane].members != 0, header.sequence &- groups[lane].first >= UInt32(RepairHeader.spanLimit) {
      // Out of reach, with parities or without: what is owed must be taken before the group begins anew.
      close(lane, plan)
      if groups[lane].owed > 0 { return }
    }
    if groups[lane].members == 0 {
      groups[lane].first = header.sequence
      groups[lane].began = now
    }
    groups[lane].members |= 1 &<< UInt64(header.sequence &- groups[lane].first)
    groups[lane].longest = max(groups[lane].longest, packet.count)
    groups[lane].rows.add(prefix: ParityRows.prefix(header, length: packet.count), packet, rows: plan.parityCount)
    if groups[lane].memberCount >= plan.memberCount { close(lane, plan) }
  }

  /// Owes as many of the group's parities as its credit allows, or forgets it.
  private mutating func close(_ lane: Int, _ plan: RepairPlan) {
    let size = groups[lane].parityByteCount
    let owed = min(plan.parityCount, Int(credit / Double(size)))
    if owed == 0 {
      groups[lane].clear()
    } else {
      groups[lane].owed = owed
      credit -= Double(owed * size)
    }
  }

  /// When a group that fills slowly must be closed, or nil.
  package var nextDeadline: Instant? {
    guard let plan else { return nil }
    var deadline: Instant?
    for i in 0..<Self.depthLimit where groups[i].members != 0 && groups[i].owed == 0 {
      let due = Instant(nanoseconds: groups[i].began.nanoseconds &+ plan.span)
      deadline = min(deadline ?? due, due)
    }
    return deadline
  }

  package mutating func advance(to now: Instant) {
    guard let plan else { return }
    for i in 0..<Self.depthLimit where groups[i].members != 0 && groups[i].owed == 0 {
      if now.nanoseconds(since: groups[i].began) >= plan.span { close(i, plan) }
    }
  }

  /// Whether `writeRepair` has something; to be asked after `add` and `advance`.
  package var hasRepair: Bool {
    for i in 0..<Self.depthLimit where groups[i].owed > 0 { return true }
    return false
  }

  /// Writes one REPAIR frame, the last of its payload.
  /// - Returns: bytes written, or nil when there is none or it doesn't fit.
  package mutating func writeRepair(into out: inout OutputSpan<UInt8>) -> Int? {
    for i in 0..<Self.depthLimit where groups[i].owed > 0 {
      let header = RepairHeader(parity: groups[i].written, first: groups[i].first, members: groups[i].members)
      let length = groups[i].longest
      guard header.writeHead(parityByteCount: RepairHeader.prefixByteCount + length, into: &out) != nil else { return nil }
      groups[i].rows.write(row: groups[i].written, packetByteCount: length, into: &out)
      let byteCount = groups[i].parityByteCount
      repairCount &+= 1
      repairByteCount &+= UInt64(byteCount)
      groups[i].written += 1
      groups[i].owed -= 1
      if groups[i].owed == 0 { groups[i].clear() }
      return byteCount
    }
    return nil
  }
}
