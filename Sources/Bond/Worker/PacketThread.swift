import CausewayBase
import CausewayBondCore
import CausewayCrypto
import CausewayLinuxIO
import CausewayPaths
import CausewayWire

/// What a packet thread needs from its start.
struct PacketThreadPlan: Sendable {
  var configuration: EngineConfiguration
  var tunDescriptor: CInt
  var listenPort: UInt16
  var listenAddress: IPAddress?
  /// nil: no TCP paths come in.
  var listenTCPPort: UInt16?
  var addresses: [IPAddress]
  var mark: UInt32
  var sharesPort: Bool
  var rings: ThreadRings

  /// What a socket of this family listens at; nil when it is to be an address of the other.
  func listenAddress(isIPv6: Bool, port: UInt16) -> DatagramAddress? {
    guard let wanted = listenAddress else { return isIPv6 ? .ipv6(high: 0, low: 0, port: port) : .ipv4(0, port: port) }
    return (wanted.family == .v6) == isIPv6 ? DatagramAddress(wanted, port: port) : nil
  }
}

/// One thread of the packet child: a TUN queue, sockets and an engine. No lock, no task, no allocation for a packet; the control thread
/// talks to it through two mailboxes.
///
/// A turn: wait; read the TUN device; read the sockets; timers; send until the engine has nothing that may go. What came from the network
/// is written to the device after each batch, while it is warm.
@safe final class PacketThread {
  /// Packets read from the device in a turn, and bytes: then the sockets have their turn.
  static let readLimit = 64
  static let readByteLimit = 256 * 1024
  /// Batches of datagrams taken from one socket in a turn.
  static let receiveLimit = 2
  /// Runs sent in a turn before the device and the sockets are looked at again.
  static let sendLimit = 64
  /// So few datagrams in a turn are no stream.
  static let loneDatagrams: UInt64 = 2
  /// Nanoseconds between two readings of a clock that are taken for one moment, and tries to get them.
  static let clockPrecision: UInt64 = 5_000
  static let clockAttempts = 5
  /// Listening sockets, the first in the table: one of each family.
  static let listenerCount: UInt32 = 2
  /// The wall clock may be slewed by half a millisecond a second; arrival times must be better than that.
  static let wallClockInterval: UInt64 = 100_000_000
  /// On a machine or a link where an answer takes less than `spinRoundTrip`, the thread looks for it so long before it sleeps: waking an
  /// idle processor takes longer than the answer. Nanoseconds.
  static let spinRoundTrip: UInt64 = 400_000
  static let spinTime: UInt64 = 100_000

  enum Tag {
    static let device: UInt64 = 0
    static let mailbox: UInt64 = 1
    /// Of TCP; one for each family.
    static let listener: UInt64 = 2
    /// From another thread, by its number.
    static let ring: UInt64 = 16
    static let socket: UInt64 = 1 << 32
  }

  let plan: PacketThreadPlan
  let engine: BondEngine
  let device: TUNDevice
  let poll: PacketPoll
  let receiver: DatagramReceiver
  var merger: SegmentMerger
  var sockets: [OpenSocket] = []
  var uplinks: [UplinkState] = []
  var streams = StreamSet()
  let commands: Mailbox<ThreadCommand>
  let reports: Mailbox<ThreadReport>
  private let readBuffer: UnsafeMutablePointer<UInt8>
  private let runBuffer: UnsafeMutablePointer<UInt8>
  private var isStopping = false
  private var wallClockSetAt = Instant.zero
  var figures = ThreadSnapshot(
    peers: [], drops: [], socketDrops: 0, sendFailures: 0, deviceDrops: 0, deviceReads: 0, deviceWrites: 0, sends: 0, sentDatagrams: 0,
    receives: 0, receivedDatagrams: 0)

  /// A UDP socket by its number in routes. The number stays with its purpose when the socket is made anew.
  struct OpenSocket {
    var socket: UDPSocket?
    var binding: PathConfiguration.Binding
    var isIPv6: Bool
    var drops: UInt32 = 0
    /// Where the last datagram was sent to: the address that a bound socket has for now.
    var lastDestination: DatagramAddress?
    /// The device that it is bound to, by number; 0: none.
    var interface: UInt32 = 0
  }

  struct UplinkState {
    var peer: PeerID
    var index: Int
    var plan: UplinkPlan
    var address: DatagramAddress?
    /// The kernel said that the device is down, or the address gone.
    var isDown = false
    // A TCP uplink's connection, or 0, and when to try the next one.
    var stream: UInt32 = 0
    var backoff = ReconnectBackoff()
    var retryAt = Instant.distantFuture
    /// The last connection ended before anything authentic came.
    var wasRefused = false
    var isFailing = false
  }

  init(_ plan: PacketThreadPlan, commands: Mailbox<ThreadCommand>, reports: Mailbox<ThreadReport>) throws {
    self.plan = plan
    self.commands = commands
    self.reports = reports
    poll = try PacketPoll()
    device = try TUNDevice(adopting: plan.tunDescriptor)
    receiver = DatagramReceiver(bufferCount: 8)
    merger = SegmentMerger(mergesUDP: device.offload == .tcpAndUDP)
    engine = BondEngine(plan.configuration, entropy: { SecretKey(randomByteCount: $0) }, at: SystemClock.now)
    engine.localAddress4 = plan.addresses.first { $0.family == .v4 }
    engine.localAddress6 = plan.addresses.first { $0.family == .v6 }
    // SAFETY: one read of the device and one run; freed in deinit.
    unsafe readBuffer = .allocate(capacity: TUNDevice.readByteCount)
    unsafe runBuffer = .allocate(capacity: BondEngine.runByteCapacity)
    try openListeners()
    steerListeners()
    try openStreamListeners()
    try registerRings()
    try poll.register(device.descriptor, tag: Tag.device)
    try poll.register(commands.descriptor, tag: Tag.mailbox)
  }

  deinit {
    unsafe readBuffer.deallocate()
    unsafe runBuffer.deallocate()
  }

  func run() {
    var now = SystemClock.now
    setWallClock(now)
    report(.started(udpPort: listenPort))
    while !isStopping {
      let count = waitForWork(&now)
      let datagramsBefore = figures.receivedDatagrams
      if now.nanoseconds(since: wallClockSetAt) > Self.wallClockInterval { setWallClock(now) }
      for index in 0..<count {
        let ready = poll[index]
        switch ready.tag {
        case Tag.device: readDevice(now)
        case Tag.mailbox: takeCommands(now)
        case Tag.listener, Tag.listener + 1: acceptStreams(Int(ready.tag - Tag.listener), now)
        case Tag.ring..<Tag.socket: takeRing(Int(ready.tag - Tag.ring), now)
        case _ where ready.tag >= Tag.socket + UInt64(StreamNumbers.first):
          streamReady(UInt32(truncatingIfNeeded: ready.tag &- Tag.socket), ready.interest, now)
        default:
          let number = Int(ready.tag &- Tag.socket)
          receive(number, now)
        }
      }
      // Decrypting what came took up to milliseconds, which must not count as the path's delay.
      now = SystemClock.now
      if engine.nextDeadline <= now { engine.advance(to: now) }
      if streams.deadline <= now { advanceStreams(now) }
      flushDeliveries()
      // The kernel has answered a lone packet (an echo, a request's first segment) by the time it is written: one datagram takes the answer
      // and our own acknowledgement.
      if (1...Self.loneDatagrams).contains(figures.receivedDatagrams &- datagramsBefore) { readDevice(now) }
      send(now)
      if !engine.events.isEmpty { takeEvents(now) }
      if engine.hasNews { passNews() }
    }
    report(.stopped)
  }

  /// The last turn stopped at its limit.
  var hasMoreToSend = false
  /// Until when an answer to what was sent may come so soon that sleeping costs more than looking.
  private var spinUntil = Instant.zero

  /// Waits until a descriptor is ready or a deadline has come; leaves the time of waking in `now`.
  private func waitForWork(_ now: inout Instant) -> Int {
    let deadline = hasMoreToSend ? now : min(engine.nextDeadline, streams.deadline)
    while now < spinUntil, now < deadline {
      let count = poll.wait(until: now, now: now)
      now = SystemClock.now
      if count > 0 { return count }
      ProcessLimits.yield()
    }
    let count = poll.wait(until: deadline, now: now)
    now = SystemClock.now
    return count
  }

  private func setWallClock(_ now: Instant) {
    wallClockSetAt = now
    // The two clocks at one moment: a thread that lost its processor in between would date every arrival too early.
    for _ in 0..<Self.clockAttempts {
      let before = SystemClock.now
      let unix = SystemClock.unixNanoseconds
      let after = SystemClock.now
      guard after.nanoseconds(since: before) < Self.clockPrecision else { continue }
      engine.unixOffset = unix &- before.nanoseconds &- after.nanoseconds(since: before) / 2
      return
    }
    if engine.unixOffset == 0 { engine.unixOffset = SystemClock.unixNanoseconds &- SystemClock.now.nanoseconds }
  }

  private func takeEvents(_ now: Instant) {
    engine.drainEvents {
      switch $0 {
      case .closeStream(let number): streams.closing.append(number)
      case .askStream(let number): streams.asked.append(number)
      default: report(.event($0))
      }
    }
    if !streams.asked.isEmpty { tellOfStreams(now) }
    if !streams.closing.isEmpty { closeNamedStreams(now) }
  }

  func report(_ report: ThreadReport) {
    // Full: the control thread is far behind; what it misses it can ask for again.
    _ = reports.send(report)
  }

  // MARK: The device

  private func readDevice(_ now: Instant) {
    var byteCount = 0
    for _ in 0..<Self.readLimit {
      // SAFETY: the buffer holds `readByteCount` bytes.
      let count = unsafe device.read(into: readBuffer, capacity: TUNDevice.readByteCount)
      if count <= 0 { return }
      figures.deviceReads &+= 1
      guard count > VirtioHeader.byteCount else { continue }
      byteCount += count
      if engine.handsOver, unsafe handOver(readBuffer, count) { continue }
      let header = unsafe VirtioHeader(Span(_unsafeStart: UnsafePointer(readBuffer), count: VirtioHeader.byteCount))
      var packet = unsafe MutableSpan(_unsafeStart: readBuffer + VirtioHeader.byteCount, count: count - VirtioHeader.byteCount)
      engine.offer(&packet, header, at: now)
      if byteCount >= Self.readByteLimit { return }
    }
  }

  /// Writes what may be delivered, packets of a flow together.
  func flushDeliveries() {
    let count = engine.deliveryCount
    guard count > 0 else { return }
    for index in 0..<count {
      let delivery = unsafe engine[delivery: index]
      if merger.isFull { writeBatches() }
      // SAFETY: the engine keeps the bytes until `releaseDeliveries`.
      unsafe merger.add(delivery.start, byteCount: delivery.count, isPartial: delivery.isChecksumPartial)
    }
    writeBatches()
    engine.releaseDeliveries()
  }

  private func writeBatches() {
    for index in 0..<merger.count {
      let pieces = unsafe merger.finish(index)
      let outcome = unsafe device.write(pieces.baseAddress.unsafelyUnwrapped, count: pieces.count)
      figures.deviceWrites &+= 1
      if outcome != .written { figures.deviceDrops &+= UInt64(merger.packetCount(of: index)) }
    }
    merger.removeAll()
  }

  // MARK: The network

  private func receive(_ number: Int, _ now: Instant) {
    guard number < sockets.count, let socket = sockets[number].socket else { return }
    for _ in 0..<Self.receiveLimit {
      let count = socket.receive(into: receiver)
      if count == 0 { return }
      figures.receives &+= 1
      for index in 0..<count {
        let message = receiver[index]
        if message.dropCount != 0 { noteDrops(message.dropCount, number) }
        guard !message.isTruncated, message.byteCount > 0 else { continue }
        figures.receivedDatagrams &+= UInt64(message.datagramCount)
        var route = Route(socket: UInt32(number), remote: message.source)
        if let local = message.destination {
          if sockets[number].binding == .any {
            route.local = local
            route.interface = message.interface
          } else {
            sockets[number].lastDestination = local
          }
        }
        unsafe engine.receive(
          receiver.bytes(index), count: message.byteCount, segmentByteCount: message.segmentByteCount, from: route,
          trafficClass: message.typeOfService, arrivedAt: arrival(message.unixNanoseconds, now), at: now)
      }
      // What was delivered lies in the receive buffers: written before they are filled again.
      flushDeliveries()
      if count < DatagramReceiver.bufferLimit / 2 { return }
    }
  }

  /// The kernel's time of arrival on our clock. It may be a little later than `now`, the start of the turn; what is far off was stamped
  /// before the wall clock was set, and is not believed.
  @inline(__always) private func arrival(_ stamp: UInt64, _ now: Instant) -> Instant {
    let arrival = Instant(nanoseconds: stamp &- engine.unixOffset)
    guard stamp != 0, arrival.nanoseconds &- now.nanoseconds &+ Self.arrivalLimit < 2 &* Self.arrivalLimit else { return now }
    return arrival
  }

  /// A datagram that waited longer in its socket is taken for one that came now.
  private static let arrivalLimit: UInt64 = 1_000_000_000

  private func noteDrops(_ count: UInt32, _ number: Int) {
    let new = count &- sockets[number].drops
    sockets[number].drops = count
    figures.socketDrops &+= UInt64(new)
  }

  private func send(_ now: Instant) {
    var now = now
    var count = 0
    while count < Self.sendLimit {
      guard let run = unsafe engine.nextRun(into: runBuffer, capacity: BondEngine.runByteCapacity, at: now) else { break }
      send(run, now)
      now = SystemClock.now  // encrypting a run takes long enough to matter for a round trip of 100 µs
      count &+= 1
    }
    hasMoreToSend = count == Self.sendLimit
    guard count > 0 else { return }
    spinUntil = engine.shortestRoundTrip < Self.spinRoundTrip ? Instant(nanoseconds: now.nanoseconds &+ Self.spinTime) : .zero
  }

  private func send(_ run: OutgoingRun, _ now: Instant) {
    if run.route.isStream { return unsafe sendStream(run, runBuffer, now) }
    let number = Int(run.route.socket)
    guard number < sockets.count, let socket = sockets[number].socket else {
      figures.sendFailures &+= 1
      return
    }
    let source = run.route.local.isUnspecified ? nil : run.route.local
    socket.setProbesPathMTU(run.dontFragment)  // stock peers share the listening socket with ours
    let outcome = unsafe socket.send(
      runBuffer, count: run.byteCount, segmentByteCount: run.segmentByteCount, to: run.route.remote, from: source,
      interface: source == nil ? 0 : run.route.interface, typeOfService: run.trafficClass)
    figures.sends &+= 1
    figures.sentDatagrams &+= UInt64(run.datagramCount)
    if !outcome.isSent {
      figures.sendFailures &+= UInt64(run.datagramCount)
      if outcome == .tooBig { engine.refusedAsTooBig(run, at: SystemClock.now) }
    }
  }

  /// The address and port that a path's datagrams leave from, for status.
  private func completeLocal(_ route: inout Route?) {
    guard let known = route, !known.isStream, Int(known.socket) < sockets.count else { return }
    let place = sockets[Int(known.socket)]
    guard let bound = place.socket?.localAddress else { return }
    var local = known.local
    if local.isUnspecified { local = bound.isUnspecified ? place.lastDestination ?? bound : bound }
    local.port = bound.port
    if !local.isUnspecified { route?.local = local }
  }

  // MARK: The control thread

  private func takeCommands(_ now: Instant) {
    while let command = commands.receive() {
      switch command {
      case .setPeer(let id, let settings, let plans): setPeer(id, settings, plans, now)
      case .removePeer(let id):
        engine.removePeer(id)
        uplinks.removeAll { $0.peer == id }
        closeStrayStreams(now)
      case .resolved(let id, let uplink, let address): resolved(id, uplink, address, now)
      case .connect(let id): engine.connect(id, at: now)
      case .setScheduler(let kind): engine.setScheduler(kind)
      case .snapshot(let request):
        var snapshot = figures
        snapshot.peers = engine.snapshot(at: now)
        for peer in snapshot.peers.indices {
          for path in snapshot.peers[peer].paths.indices { completeLocal(&snapshot.peers[peer].paths[path].route) }
        }
        snapshot.drops = engine.dropList
        snapshot.streams = streams.figures
        report(.snapshot(request, snapshot))
      case .share(let share): take(share, now)
      case .needHandshake(let id, let promptly): engine.needHandshake(id, promptly: promptly, at: now)
      case .networkChanged(let changes): networkChanged(changes, now)
      case .stop: isStopping = true
      }
    }
  }
}
