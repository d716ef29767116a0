public import CausewayBase

/// One direction of a datagram link in virtual time: a `LinkModel` with the datagrams that are under way and a list of what changes when.
public final class PacketLink {
  /// The two ECN bits of an IP header (RFC 3168).
  public typealias CongestionBits = UInt8

  /// What arrives beside the bytes.
  public struct Arrival: Sendable {
    public var at: Instant
    public var sentAt: Instant
    /// CE (3) where the link marked it.
    public var congestionBits: CongestionBits
    /// What the sender attached: an address, say.
    public var tag: UInt64
  }

  public private(set) var model: LinkModel
  private var random: SeededRandom
  private let store: DatagramStore
  private var heap: [Item] = []
  private var sequence: UInt64 = 0
  private var events: [LinkEvent]
  private var nextEvent = 0

  /// - Parameters:
  ///   - events: what changes when.
  ///   - longest: the longest datagram it takes; what is longer vanishes.
  public init(_ parameters: LinkParameters = LinkParameters(), events: [LinkEvent] = [], longest: Int = 2048, seed: UInt64) {
    model = LinkModel(parameters)
    random = SeededRandom(seed: seed)
    store = DatagramStore(slotByteCount: longest)
    // A stable sort: events of one instant happen as written.
    self.events = events.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
  }

  public var statistics: LinkModel.Statistics { model.statistics }
  public var inFlightCount: Int { heap.count }

  /// Changes parameters now.
  public func change(at now: Instant, _ body: (inout LinkParameters) -> Void) {
    applyEvents(at: now)
    var parameters = model.parameters
    body(&parameters)
    model.change(to: parameters, at: now)
  }

  /// Puts a datagram on the link. Like a network it never refuses: what doesn't survive is only counted.
  public func send(_ datagram: Span<UInt8>, congestionBits: CongestionBits = 0, tag: UInt64 = 0, at now: Instant) {
    applyEvents(at: now)
    let admission = model.admit(min(datagram.count, store.slotByteCount + 1), at: now, using: &random)
    guard admission.fate == .carried, datagram.count <= store.slotByteCount else { return }
    let count = admission.truncatedByteCount ?? datagram.count
    var item = Item(
      arrival: admission.arrival.nanoseconds, sequence: sequence, slot: store.keep(datagram), count: UInt32(count),
      congestionBits: admission.isMarked && congestionBits != 0 ? 3 : congestionBits, sentAt: now.nanoseconds, tag: tag)
    if let bit = admission.flippedBit, bit / 8 < count {
      store.withBytes(item.slot, count: count) { $0[bit / 8] ^= 1 &<< UInt8(bit % 8) }
    }
    insert(item)
    guard let second = admission.duplicateArrival else { return }
    item.arrival = second.nanoseconds
    item.sequence = sequence
    item.slot = store.withBytes(item.slot, count: count) { store.keep($0.span) }
    insert(item)
  }

  /// When the next datagram arrives; nil when none is under way.
  public var nextArrival: Instant? { heap.first.map { Instant(nanoseconds: $0.arrival) } }

  /// Hands the next datagram that has arrived by `now` to `body`, which may change its bytes.
  /// - Returns: false when there is none.
  public func receive(at now: Instant, _ body: (inout MutableSpan<UInt8>, Arrival) -> Void) -> Bool {
    guard let first = heap.first, first.arrival <= now.nanoseconds else { return false }
    removeFirst()
    store.withBytes(first.slot, count: Int(first.count)) { bytes in
      body(
        &bytes,
        Arrival(
          at: Instant(nanoseconds: first.arrival), sentAt: Instant(nanoseconds: first.sentAt), congestionBits: first.congestionBits,
          tag: first.tag))
    }
    store.give(first.slot)
    return true
  }

  /// Loses everything under way.
  public func removeAll() {
    for item in heap { store.give(item.slot) }
    heap.removeAll(keepingCapacity: true)
  }

  private func applyEvents(at now: Instant) {
    while nextEvent < events.count, events[nextEvent].at <= now {
      var parameters = model.parameters
      for change in events[nextEvent].changes { change.apply(to: &parameters) }
      model.change(to: parameters, at: events[nextEvent].at)
      nextEvent += 1
    }
  }

  // MARK: By arrival; those of one instant in the order they were sent

  private struct Item: BitwiseCopyable {
    var arrival: UInt64
    var sequence: UInt64
    var slot: UInt32
    var count: UInt32
    var congestionBits: UInt8
    var sentAt: UInt64
    var tag: UInt64
    func precedes(_ other: Item) -> Bool { arrival != other.arrival ? arrival < other.arrival : sequence < other.sequence }
  }

  private func insert(_ item: Item) {
    sequence &+= 1
    heap.append(item)
    var child = heap.count - 1
    while child > 0, item.precedes(heap[(child - 1) / 2]) {
      heap[child] = heap[(child - 1) / 2]
      child = (child - 1) / 2
    }
    heap[child] = item
  }

  private func removeFirst() {
    let last = heap.removeLast()
    if heap.isEmpty { return }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= heap.count { break }
      if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
      if !heap[child].precedes(last) { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = last
  }
}
