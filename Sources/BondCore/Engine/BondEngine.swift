public import CausewayBase
public import CausewayCrypto
public import CausewayPaths
public import CausewayWire

/// What an engine tells its shell, in order.
public enum BondEvent: Sendable {
  /// A greater timestamp went out: keep it through restarts.
  case timestampSent(TAI64N)
  case handshakeCompleted(PeerID)
  case peerKind(PeerID, PeerKind)
  case pathOpened(PeerID, PathID, uplink: Int?)
  case pathChanged(PeerID, PathID, PathChange)
  case pathMoved(PeerID, PathID, Route)
  /// The uplink's address may be old: look its name up again.
  case uplinkLost(PeerID, uplink: Int)
  /// With so many threads there, only so many uplinks have a path on every thread.
  case uplinksUnnumbered(PeerID, limit: Int, peerThreads: Int)
  /// Nothing authentic came over this connection, or its path has another one: close it.
  case closeStream(socket: UInt32)
  /// A path's data are silent: `streamTold` what the kernel says of its connection.
  case askStream(socket: UInt32)
}

/// One end of a bond for one thread: keys, peers, paths. Fed with packets and the time; gives packets, deliveries and a deadline.
///
/// The verbs, in the order of a turn: `offer` for what the TUN device gave, `receive` for what the network gave (then take
/// `deliveries` and `releaseDeliveries`), `advance` when `nextDeadline` is due, `nextRun` until it gives nothing. Not `Sendable`:
/// everything belongs to one thread.
@safe public final class BondEngine {
  public internal(set) var configuration: EngineConfiguration
  let pool: PacketPool
  var handshaker: Handshaker
  var sessions = SessionTable()
  var allowedIPs = AllowedIPs()
  var peers: [PeerID: PeerLink] = [:]
  var peerOrder: [PeerLink] = []
  var active: [PeerLink] = []
  var activeHead = 0
  var random: SeededRandom
  /// Unix time at `Instant.zero`, in nanoseconds: the shell sets it, and again when the wall clock was set.
  public var unixOffset: UInt64 = 0
  public internal(set) var events: [BondEvent] = []
  public internal(set) var drops = DropCounts()

  // What `receive` leaves for the shell.
  private let deliveryStore: UnsafeMutablePointer<Delivery>
  public internal(set) var deliveryCount = 0
  static let deliveryLimit = 4096

  /// Where ICMP errors come from: the interface's own addresses.
  public var localAddress4: IPAddress?
  public var localAddress6: IPAddress?
  let entropy: (Int) -> SecretKey
  let flowSeed: UInt64
  var tooBigAllowance = Allowance(perSecond: 100, burst: 20)
  var loadWindowStart = Instant.zero
  var loadCount = 0
  var loadedUntil = Instant.zero
  /// What the last datagram proved; the shell sets it before one whose sender is a stranger.
  public var verdict = MessageVerdict.dropped
  // Several threads.
  /// Datagrams that another thread must have.
  var forwarded: [ForwardedDatagram] = []
  /// Peers of which the other threads have to learn something (the first thread only).
  var sharedPeers: [PeerLink] = []
  /// Peers for which the first thread should do a handshake (the others only).
  var needs: [(peer: PeerID, promptly: Bool)] = []
  /// Whether packets of this thread's queue may be another thread's to send.
  public internal(set) var handsOver = false
  /// Whether there is something to drain for other threads.
  public var hasNews: Bool { !forwarded.isEmpty || !sharedPeers.isEmpty || !needs.isEmpty }

  // Answers to handshake messages: at most this many wait; more are dropped, and their senders ask again.
  var replies: [PeerLink.PendingHandshake] = []
  static let replyLimit = 64
  var effects: [HandshakeEffect] = []
  var outcome = AcknowledgementOutcome()
  var ranges: [CounterRange] = []
  let scratch: ControlScratch

  /// - Parameter entropy: So many bytes that nobody can guess, each time others: keys, indices, cookies, challenges.
  public init(_ configuration: EngineConfiguration, entropy: @escaping (Int) -> SecretKey, at now: Instant) {
    self.configuration = configuration
    pool = PacketPool(packetByteCount: configuration.innerMTU + 64, limit: configuration.limits.packets)
    handshaker = Handshaker(
      identity: configuration.identity, greatestSentTimestamp: configuration.greatestSentTimestamp, entropy: entropy)
    self.entropy = entropy
    random = SeededRandom(seed: entropy(8).bytes.littleEndian(at: 0))
    flowSeed = entropy(8).bytes.littleEndian(at: 0)
    scratch = ControlScratch(byteCount: max(configuration.innerMTU + 256, 9216))
    // SAFETY: filled up to `deliveryCount`, freed in deinit.
    unsafe deliveryStore = .allocate(capacity: Self.deliveryLimit)
    outcome = AcknowledgementOutcome()
    events.reserveCapacity(64)
    replies.reserveCapacity(Self.replyLimit)
    ranges.reserveCapacity(64)
    active.reserveCapacity(256)
  }

  deinit { unsafe deliveryStore.deallocate() }

  // MARK: Deliveries

  /// What to write to the TUN device now, oldest first. Valid until the next `receive`, `advance` or `releaseDeliveries`.
  @unsafe public subscript(delivery index: Int) -> Delivery {
    precondition(index >= 0 && index < deliveryCount, "no such delivery")
    return unsafe deliveryStore[index]
  }

  /// Gives the slots of delivered packets back and empties the list.
  public func releaseDeliveries() {
    for index in 0..<deliveryCount {
      // SAFETY: the first `deliveryCount` are set.
      let slot = unsafe deliveryStore[index].slot
      if slot != .none { pool.give(slot) }
    }
    deliveryCount = 0
  }

  /// Room for another one; the shell empties the list after each `receive`.
  var canDeliver: Bool { deliveryCount < Self.deliveryLimit }

  @inline(__always) func deliver(_ start: UnsafeMutablePointer<UInt8>, _ count: Int, partial: Bool) {
    guard canDeliver else { return drops.count(.deliveryOverflow) }
    // SAFETY: below the limit; the bytes live until the shell has written them.
    unsafe deliveryStore[deliveryCount] = Delivery(start: start, count: count, isChecksumPartial: partial, slot: .none)
    deliveryCount &+= 1
  }

  @inline(__always) func deliver(_ slot: PacketSlot) {
    guard canDeliver else {
      pool.give(slot)
      return drops.count(.deliveryOverflow)
    }
    let info = pool[slot]
    // SAFETY: the slot stays ours until `releaseDeliveries`.
    unsafe deliveryStore[deliveryCount] = Delivery(
      start: pool.address(slot) + PacketPool.headroom, count: info.length, isChecksumPartial: info.flags.contains(.checksumPartial),
      slot: slot)
    deliveryCount &+= 1
  }

  // MARK: Turns

  @inline(never) func activate(_ peer: PeerLink) {
    guard !peer.isActive else { return }
    peer.isActive = true
    active.append(peer)
  }

  /// The next datagrams for the network, or nil when nothing may go now. Peers take turns.
  /// - Parameters:
  ///   - output: At least `runByteCapacity` bytes.
  @unsafe public func nextRun(into output: UnsafeMutablePointer<UInt8>, capacity: Int, at now: Instant) -> OutgoingRun? {
    if let reply = replies.popLast() { return unsafe write(reply, into: output) }
    while activeHead < active.count {
      let peer = active[activeHead]
      if let run = unsafe peer.nextRun(into: output, capacity: capacity, at: now) {
        if active.count - activeHead > 1 {  // to the back of the line
          activeHead += 1
          active.append(peer)
          compactActive()
        }
        return run
      }
      peer.isActive = false
      peer.updateDeadline(at: now)
      activeHead += 1
    }
    active.removeAll(keepingCapacity: true)
    activeHead = 0
    return nil
  }

  private func compactActive() {
    guard activeHead >= 128 else { return }
    active.removeFirst(activeHead)
    activeHead = 0
  }

  /// Bytes that `nextRun` may write.
  public static let runByteCapacity = 65536

  @unsafe func write(_ pending: PeerLink.PendingHandshake, into output: UnsafeMutablePointer<UInt8>) -> OutgoingRun {
    let bytes = pending.message.bytes
    let count = bytes.count
    // SAFETY: a handshake message has at most 148 bytes, a run's buffer far more.
    for index in 0..<count { unsafe output[index] = bytes[index] }
    var run = OutgoingRun(route: pending.route, byteCount: count, segmentByteCount: count, datagramCount: 1)
    run.dontFragment = false
    return run
  }

  /// When `advance(to:)` is due at the latest.
  public var nextDeadline: Instant {
    var deadline = handshaker.nextDeadline ?? .distantFuture
    for peer in peerOrder where peer.deadline < deadline { deadline = peer.deadline }
    return deadline
  }

  /// Fires what is due. Deliveries may follow (packets whose predecessors were given up).
  public func advance(to now: Instant) {
    if let deadline = handshaker.nextDeadline, deadline <= now {
      handshaker.advance(to: now, unixNanoseconds: now.nanoseconds &+ unixOffset, effects: &effects)
      applyEffects(source: nil, at: now)
    }
    for peer in peerOrder where peer.deadline <= now {
      peer.advance(to: now)
      activate(peer)
    }
  }

  public func drainEvents(_ body: (BondEvent) -> Void) {
    for event in events { body(event) }
    events.removeAll(keepingCapacity: true)
  }
}

/// Memory for one control packet's frames, allocated once.
@safe final class ControlScratch {
  let base: UnsafeMutablePointer<UInt8>
  let byteCount: Int

  init(byteCount: Int) {
    self.byteCount = byteCount
    // SAFETY: freed in deinit; zeroed, so that padding never shows other memory.
    unsafe base = .allocate(capacity: byteCount)
    unsafe base.initialize(repeating: 0, count: byteCount)
  }

  deinit { unsafe base.deallocate() }

  /// Runs `body` with an empty output of at most `limit` bytes and returns how many it wrote.
  @inline(__always) func write(limit: Int, _ body: (inout OutputSpan<UInt8>) -> Void) -> Int {
    // SAFETY: our own memory, for the length of the call.
    var output = unsafe OutputSpan<UInt8>(
      buffer: UnsafeMutableBufferPointer(start: base, count: min(limit, byteCount)), initializedCount: 0)
    body(&output)
    let written = output.count
    output = OutputSpan()
    return written
  }
}
