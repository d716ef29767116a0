package import CausewayBase

/// Finds the largest packet a path carries, by padded probes whose echoes prove it (RFC 8899, DPLPMTUD, with DF set). One for each path.
/// All sizes are those of the whole outer IP packet.
///
/// A search sends a volley: a probe of every candidate above what is proven, up to what the bond wants. The largest echoed wins, and what
/// is still larger gets two more volleys. So a search knows its answer after one round trip and is sure after three time-outs.
package struct PathMTUSearch: Sendable {
  /// Every IPv6 path carries it (RFC 8200 §5), nearly every IPv4 path does.
  package static let base = 1280
  /// What an IPv4 host must take (RFC 1122 §3.3.2): tried when the base fails.
  package static let minimumIPv4 = 576
  /// Ethernet and what its tunnels leave of it; jumbo frames and what theirs leave.
  package static let candidates = [9000, 8192, 4352, 2304, 2048, 1500, 1492, 1472, 1452, 1420, 1400, 1340]
  /// Times a size is tried (MAX_PROBES, RFC 8899 §5.1.2).
  package static let tryLimit = 3
  /// Between searches (PMTU_RAISE_TIMER, §5.1.1), nanoseconds.
  package static let raiseInterval: UInt64 = 600_000_000_000
  /// Losses of full-size packets in a row, while small ones arrive, that make a black hole likely.
  package static let blackHoleThreshold = 3
  static let minimumTimeout: UInt64 = 250_000_000
  static let maximumTimeout: UInt64 = 5_000_000_000

  package enum Fact: Equatable, Sendable {
    /// Send a PROBE padded so that the outer packet has `byteCount`; its id names it in `echoed`.
    case probe(byteCount: Int, id: UInt32)
    /// The path carries `byteCount` from now on.
    case changed(byteCount: Int)
  }

  private enum Phase: Sendable {
    case idle
    /// Volleys sent for what is above the proven size.
    case searching(volleys: Int)
    /// Doubt about the proven size itself.
    case verifying(volleys: Int)
    case complete
  }

  /// What is proven, or assumed before the first search: the base.
  package private(set) var byteCount = base
  package private(set) var isProven = false
  private var phase = Phase.idle
  private var wanted: Int
  private let isIPv6: Bool
  /// No packet of this size leaves the host (EMSGSIZE).
  private var refused = Int.max
  private var timeout: UInt64 = 1_000_000_000
  private var deadline: Instant = .distantFuture
  private var nextID: UInt32
  /// Sizes and ids of the volley under way.
  private var volley: [(id: UInt32, byteCount: Int)] = []
  private var lostInARow = 0
  private var smallSinceLoss = false

  /// - Parameters:
  ///   - wanted: outer size of a packet of the inner MTU. Nothing larger is tried.
  ///   - firstID: where probe ids begin; they may share a space with other probes of the path.
  package init(wanted: Int, isIPv6: Bool, firstID: UInt32 = 0x8000_0000) {
    self.wanted = max(Self.base, wanted)
    self.isIPv6 = isIPv6
    nextID = firstID
  }

  package var carriesWanted: Bool { byteCount >= wanted }
  /// Whether full-size packets were lost that no larger one has made good: `acknowledged` matters.
  package var isDoubtful: Bool { lostInARow > 0 }
  package var isSearching: Bool {
    switch phase {
    case .searching, .verifying: true
    case .idle, .complete: false
    }
  }

  /// Begins, or begins again: after validation, a change of address, or a return from Lost.
  package mutating func start(at now: Instant, roundTrip: UInt64, _ facts: inout [Fact]) {
    update(roundTrip: roundTrip)
    refused = .max
    lostInARow = 0
    sendVolley(.searching(volleys: 1), at: now, &facts)
  }

  /// - Parameter roundTrip: smoothed, nanoseconds.
  package mutating func update(roundTrip: UInt64) {
    timeout = max(Self.minimumTimeout, min(Self.maximumTimeout, 3 * min(roundTrip, Self.maximumTimeout)))
  }

  /// The host refused to send a packet of this size.
  package mutating func refused(byteCount size: Int, at now: Instant, _ facts: inout [Fact]) {
    refused = min(refused, size)
    volley.removeAll { $0.byteCount >= size }
    if byteCount >= size { set(max(isIPv6 ? Self.base : Self.minimumIPv4, min(Self.base, size - 1)), &facts) }
  }

  /// An echo came. Ids of other probes are ignored.
  package mutating func echoed(id: UInt32, at now: Instant, _ facts: inout [Fact]) {
    guard let probe = volley.first(where: { $0.id == id }) else { return }
    if probe.byteCount >= byteCount {
      isProven = true
      lostInARow = 0
      set(probe.byteCount, &facts)
    }
    if case .verifying = phase, probe.byteCount >= byteCount {
      sendVolley(.searching(volleys: 1), at: now, &facts)
      return
    }
    volley.removeAll { $0.byteCount <= probe.byteCount }
    if volley.isEmpty { complete(at: now) }
  }

  /// A packet of data was lost or acknowledged; size of the outer packet.
  @inline(__always) package mutating func acknowledged(byteCount size: Int) {
    if lostInARow == 0 { return }
    if size > Self.base { lostInARow = 0 } else { smallSinceLoss = true }
  }

  package mutating func lost(byteCount size: Int, at now: Instant, _ facts: inout [Fact]) {
    guard size > Self.base, size <= byteCount else { return }
    if lostInARow == 0 { smallSinceLoss = false }
    lostInARow += 1
    guard lostInARow >= Self.blackHoleThreshold, smallSinceLoss else { return }
    if case .verifying = phase { return }
    lostInARow = 0
    sendVolley(.verifying(volleys: 1), at: now, &facts)
  }

  package var nextDeadline: Instant? { deadline == .distantFuture ? nil : deadline }

  package mutating func advance(to now: Instant, _ facts: inout [Fact]) {
    guard now >= deadline else { return }
    switch phase {
    case .idle: deadline = .distantFuture
    case .complete: sendVolley(.searching(volleys: 1), at: now, &facts)
    case .searching(let volleys) where volleys < Self.tryLimit: sendVolley(.searching(volleys: volleys + 1), at: now, &facts)
    case .searching:
      if !isProven, !isIPv6, byteCount > Self.minimumIPv4, !volley.isEmpty, volley.contains(where: { $0.byteCount <= Self.base }) {
        // Not even the base comes through.
        set(Self.minimumIPv4, &facts)
      }
      complete(at: now)
    case .verifying(let volleys) where volleys < Self.tryLimit: sendVolley(.verifying(volleys: volleys + 1), at: now, &facts)
    case .verifying:
      // A black hole (§4.3): back to what every path carries, and look again.
      isProven = false
      set(Self.base, &facts)
      sendVolley(.searching(volleys: 1), at: now, &facts)
    }
  }

  private mutating func complete(at now: Instant) {
    volley.removeAll(keepingCapacity: true)
    phase = .complete
    deadline = carriesWanted ? .distantFuture : now + .nanoseconds(Int64(Self.raiseInterval))
  }

  private mutating func sendVolley(_ phase: Phase, at now: Instant, _ facts: inout [Fact]) {
    self.phase = phase
    volley.removeAll(keepingCapacity: true)
    if case .verifying = phase {
      add(byteCount, &facts)
    } else {
      if !isProven { add(min(byteCount, Self.base), &facts) }
      if wanted > byteCount { add(wanted, &facts) }
      for size in Self.candidates where size < wanted && size > byteCount { add(size, &facts) }
    }
    if volley.isEmpty {
      complete(at: now)
    } else {
      deadline = now + .nanoseconds(Int64(timeout))
    }
  }

  private mutating func add(_ size: Int, _ facts: inout [Fact]) {
    guard size < refused else { return }
    volley.append((nextID, size))
    facts.append(.probe(byteCount: size, id: nextID))
    nextID &+= 1
  }

  private mutating func set(_ size: Int, _ facts: inout [Fact]) {
    guard size != byteCount else { return }
    byteCount = size
    facts.append(.changed(byteCount: size))
  }
}
