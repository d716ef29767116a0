import CausewayBase
import CausewayBondCore
import CausewayCrypto
import CausewayLinuxIO
import CausewayPaths
import CausewayScraping
import CausewaySupport
import CausewayWire
import Glibc

/// The packet child: packets and keys, and nothing that root is needed for but the sockets it makes. The main thread talks to the parent,
/// looks names up and collects what packet threads tell; it never sees a packet.
package final class BondWorker {
  /// Commands and reports that may wait in a mailbox.
  static let mailboxCapacity = 4096
  /// A lost uplink's name is looked up again this often.
  static let lookupInterval = Duration.seconds(10)

  private let loop: EventLoop
  private var channel: WorkerChannel!
  private var threads: [RunningThread] = []
  private var plans: [PacketThreadPlan] = []
  private var isStopping = false
  private var configuration = WorkerConfiguration()
  private var peerIDs: [PeerKey: PeerID] = [:]
  private var nextPeerID: UInt32 = 1
  /// What stands at each place of a peer's list of uplinks. Places outlive a reload: path ids follow from them.
  private var uplinks: [PeerID: [UplinkPlace]] = [:]
  /// With several threads only.
  private var sharedRates: [PeerID: SharedRates] = [:]
  private var lookups: [LookupKey: Lookup] = [:]
  private var lookupTimers: [LookupKey: LoopTimer] = [:]
  private var monitor: MonitorHandler?
  private var isReady = false
  private var startedAt = Instant.zero
  private var pendingStatus: [UInt32: PendingStatus] = [:]
  private var nextSnapshot: UInt32 = 1
  private let intervals = IntervalTable()
  private let resolver = Resolver()
  private var exitCode: Int32 = 0
  private var metricsServer: MetricsServer?

  private struct LookupKey: Hashable {
    var peer: PeerID
    var uplink: Int
  }

  private struct PendingStatus {
    var deliver: (BondStatus) -> Void
    var left: Int
    var parts: [ThreadSnapshot]
  }

  private final class RunningThread {
    let commands: Mailbox<ThreadCommand>
    let reports: Mailbox<ThreadReport>
    var thread: Thread?
    var registration: EventLoop.Registration?
    var udpPort: UInt16 = 0
    /// Commands that found the mailbox full, oldest first.
    private var backlog: [ThreadCommand] = []

    /// In order, and none is lost: state of other threads goes this way.
    func tell(_ command: ThreadCommand) {
      backlog.append(command)
      flush()
    }

    var hasBacklog: Bool { !backlog.isEmpty && thread != nil }

    func flush() {
      guard !backlog.isEmpty else { return }
      let count = backlog.firstIndex { !commands.send($0) } ?? backlog.count
      backlog.removeFirst(count)
    }

    init() throws(SystemError) {
      commands = try Mailbox(capacity: BondWorker.mailboxCapacity)
      reports = try Mailbox(capacity: BondWorker.mailboxCapacity)
    }
  }

  /// Runs the child to its end.
  /// - Parameter parent: The process that must be alive.
  /// - Returns: The exit code.
  package static func run(parent: Int32) -> Int32 {
    guard followParent(parent) else { return 1 }
    Signals.ignoreBrokenPipe()
    // The terminal's signals are the parent's business; it says when to stop.
    signal(SIGINT, SIG_IGN)
    signal(SIGTERM, SIG_IGN)
    signal(SIGHUP, SIG_IGN)
    do throws(SystemError) {
      let worker = try BondWorker()
      worker.loop.run()
      return worker.exitCode
    } catch {
      return 1
    }
  }

  private init() throws(SystemError) {
    loop = try EventLoop()
    channel = try WorkerChannel(
      adopting: FileDescriptor(adopting: WorkerConfiguration.channelDescriptor), on: loop,
      received: { [unowned self] in self.received($0) }, ended: { [unowned self] _ in self.loop.stop() })
  }

  // MARK: The parent

  private func received(_ message: WorkerMessage) {
    switch message {
    case .configure(let configuration, let timestamp):
      do { try start(configuration, timestamp) } catch { fail("\(error)") }
    case .reload(let configuration): reload(configuration)
    case .statusRequest(let id): requestStatus { [unowned self] in self.channel.send(.status(id: id, $0)) }
    case .stop: stop()
    default: break
    }
  }

  private func fail(_ text: String) {
    channel.send(.failed(text))
    exitCode = 1
    stop()
  }

  private func stop() {
    isStopping = true
    for thread in threads { thread.tell(.stop) }
    for thread in threads {
      while thread.hasBacklog {  // its mailbox was full: it takes what is there
        usleep(1000)
        thread.flush()
      }
      thread.thread?.join()
    }
    loop.stop()
  }

  // MARK: Start

  private func start(_ configuration: WorkerConfiguration, _ timestamp: [UInt8]) throws {
    self.configuration = configuration
    guard let privateKey = configuration.privateKey else { throw SystemError(EINVAL, "no private key") }
    startedAt = SystemClock.now
    let identity = StaticIdentity(privateKey: privateKey)
    let bootID: UInt64 = SecretKey(randomByteCount: 8).bytes.littleEndian(at: 0)
    try dropPrivileges(keeping: configuration.privileges)
    let rings = try ThreadRings.make(configuration.queueCount)
    for index in 0..<configuration.queueCount {
      let running = try RunningThread()
      threads.append(running)
      running.registration = try loop.register(
        running.reports.descriptor, ReportHandler(worker: self, index: index), levelTriggered: true)
      var engine = EngineConfiguration(identity: identity, bootID: bootID)
      engine.innerMTU = configuration.mtu
      engine.scheduler = SchedulerKind(rawValue: configuration.scheduler.rawValue) ?? .auto
      engine.repairs = configuration.repair.resends
      engine.parity = configuration.repair.parity
      engine.duplicates = configuration.repair.duplicates
      engine.copiesDSCP = configuration.copiesDSCP
      engine.shard = index
      engine.shardCount = configuration.queueCount
      if timestamp.count == TAI64N.byteCount { engine.greatestSentTimestamp = TAI64N(timestamp.span) }
      let plan = PacketThreadPlan(
        configuration: engine, tunDescriptor: WorkerConfiguration.firstQueueDescriptor + CInt(index),
        listenPort: configuration.listenPort ?? 0, listenAddress: configuration.listenAddress,
        listenTCPPort: index == 0 ? configuration.listenTCPPort : nil, addresses: configuration.addresses,
        mark: configuration.firewallMark, sharesPort: configuration.queueCount > 1, rings: rings[index])
      plans.append(plan)
    }
    try startThread(0)
    applyPeers()
    monitor = try? MonitorHandler(loop) { [unowned self] changes in
      for thread in self.threads { thread.tell(.networkChanged(changes)) }
    }
  }

  /// One after the other: the kernel numbers sockets of a port in the order of their binds, and the first may choose the port.
  private func startThread(_ index: Int) throws(SystemError) {
    var plan = plans[index]
    if index > 0 { plan.listenPort = threads[0].udpPort }
    let (ready, commands, reports) = (plan, threads[index].commands, threads[index].reports)
    threads[index].thread = try Thread(name: "packets \(index)") {
      do {
        try PacketThread(ready, commands: commands, reports: reports).run()
      } catch {
        _ = reports.send(.failed("\(error)"))
      }
    }
  }

  private func started(_ index: Int, _ port: UInt16) throws(SystemError) {
    threads[index].udpPort = port
    guard index + 1 < threads.count else { return becameReady() }
    try startThread(index + 1)
  }

  private func reload(_ new: WorkerConfiguration) {
    configuration = new
    applyPeers()
    let kind = SchedulerKind(rawValue: new.scheduler.rawValue) ?? .auto
    for thread in threads { thread.tell(.setScheduler(kind)) }
    channel.send(.reloaded(""))
  }

  private func applyPeers() {
    let wanted = Set(configuration.peers.map(\.publicKey))
    for (key, id) in peerIDs where !wanted.contains(key) {
      for thread in threads { thread.tell(.removePeer(id)) }
      for lookup in lookupTimers.keys where lookup.peer == id { lookupTimers[lookup] = nil }
      peerIDs[key] = nil
      sharedRates[id] = nil
      intervals.forget(id)
    }
    for peer in configuration.peers {
      let id = peerIDs[peer.publicKey] ?? newPeerID(peer.publicKey)
      let places = arrange(peer.paths, id)
      var settings = PeerSettings(peer, rates(of: id))
      settings.uplinks = places.map { UplinkSettings($0) }
      let plans = places.map { UplinkPlan($0.path) }
      for thread in threads { thread.tell(.setPeer(id, settings, plans)) }
      for (index, plan) in plans.enumerated() where plan.address == nil && !places[index].isRemoved {
        look(LookupKey(peer: id, uplink: index), plan)
      }
      if peer.initiates || peer.persistentKeepalive > 0 || peer.paths.count > 1 {
        threads[0].tell(.connect(id))  // handshakes are the first thread's
      }
    }
  }

  /// Puts paths that were there before at their old places, and new ones behind them; what is gone keeps its place, marked.
  private func arrange(_ paths: [PathConfiguration], _ id: PeerID) -> [UplinkPlace] {
    var places = uplinks[id] ?? []
    for index in places.indices { places[index].isRemoved = true }
    for path in paths {
      if let known = places.firstIndex(where: { $0.path.identity == path.identity }) {
        places[known] = UplinkPlace(path: path)
      } else if places.count < BondConfiguration.maximumPathCount / max(1, configuration.queueCount) {
        places.append(UplinkPlace(path: path))
      } else if let free = places.firstIndex(where: \.isRemoved) {
        places[free] = UplinkPlace(path: path)
      } else {
        log(isWarning: true, "too many paths for one peer: '\(path.name)' is not used")
      }
    }
    uplinks[id] = places
    return places
  }

  private func rates(of id: PeerID) -> SharedRates? {
    guard configuration.queueCount > 1 else { return nil }
    let rates = sharedRates[id] ?? SharedRates()
    sharedRates[id] = rates
    return rates
  }

  private func newPeerID(_ key: PeerKey) -> PeerID {
    defer { nextPeerID += 1 }
    let id = PeerID(nextPeerID)
    peerIDs[key] = id
    return id
  }

  // MARK: Names

  private func look(_ key: LookupKey, _ plan: UplinkPlan) {
    lookups[key] = resolver.resolve(plan.host, port: plan.port, deadline: loop.now + .seconds(10), on: loop) { [unowned self] result in
      self.lookups[key] = nil
      if case .success(let addresses) = result, let address = addresses.compactMap(\.datagram).first {
        for thread in self.threads { thread.tell(.resolved(key.peer, uplink: key.uplink, address)) }
        return
      }
      self.log(isWarning: true, "cannot look up \(plan.host): trying again in 10 s")
      self.lookLater(key, plan)
    }
  }

  private func lookLater(_ key: LookupKey, _ plan: UplinkPlan) {
    let timer = LoopTimer(loop) { [unowned self] _ in
      self.lookupTimers[key] = nil
      self.look(key, plan)
    }
    timer.set(at: loop.now + Self.lookupInterval)
    lookupTimers[key] = timer
  }

  // MARK: Reports

  fileprivate func takeReports(_ index: Int) {
    for thread in threads { thread.flush() }
    while let report = threads[index].reports.receive() {
      switch report {
      case .started(let port):
        guard !isStopping else { continue }
        do throws(SystemError) { try started(index, port) } catch { fail("\(error)") }
      case .share(let share): for thread in threads.dropFirst() { thread.tell(.share(share)) }
      case .needsHandshake(let id, let promptly): threads[0].tell(.needHandshake(id, promptly: promptly))
      case .failed(let text): fail(text)
      case .event(let event): handle(event)
      case .log(let line): log(isWarning: line.isWarning, line.text)
      case .snapshot(let request, let snapshot): collect(request, snapshot)
      case .stopped: break
      }
    }
  }

  private func becameReady() {
    guard !isReady else { return }
    isReady = true
    var readiness = WorkerReadiness()
    readiness.udpPort = threads[0].udpPort
    readiness.metricsPort = serveMetrics()
    channel.send(.ready(readiness))
  }

  private func log(isWarning: Bool, _ text: String) {
    channel.send(.log(WorkerLogLine(level: isWarning ? "warning" : "info", text: text)))
  }

  private func name(_ id: PeerID) -> PeerKey? { peerIDs.first { $0.value == id }?.key }

  private func handle(_ event: BondEvent) {
    switch event {
    case .timestampSent(let timestamp):
      let bytes = timestamp.bytes
      channel.send(.timestamp((0..<12).map { bytes[$0] }))
    case .handshakeCompleted(let id): log(isWarning: false, "handshake with \(name(id)?.short ?? "a peer") completed")
    case .peerKind(let id, let kind):
      if kind != .unknown {
        log(
          isWarning: false,
          "peer \(name(id)?.short ?? "?") is \(kind == .bond ? "Causeway: paths can be added" : "stock WireGuard: one path")")
      }
    case .pathChanged(let id, let path, let change): tell(id, path, change)
    case .uplinkLost(let id, let uplink):
      if let places = uplinks[id], uplink < places.count, !places[uplink].isRemoved {
        let plan = UplinkPlan(places[uplink].path)
        let key = LookupKey(peer: id, uplink: uplink)
        if plan.address == nil, lookups[key] == nil, lookupTimers[key] == nil { lookLater(key, plan) }
      }
    case .pathOpened(let id, let path, let uplink):
      if let uplink, let places = uplinks[id], uplink < places.count { pathNames[PathKey(peer: id, path: path)] = places[uplink].path.name }
    case .pathMoved(let id, let path, let route):
      log(isWarning: false, "peer \(name(id)?.short ?? "?"): path \(path) is now at \(SocketAddress(route.remote))")
    case .uplinksUnnumbered(let id, let limit, let peerThreads): tellUnnumbered(id, limit, peerThreads)
    case .closeStream, .askStream: break
    }
  }

  private func tellUnnumbered(_ id: PeerID, _ limit: Int, _ peerThreads: Int) {
    let names = (uplinks[id] ?? []).enumerated().filter { $0.offset >= limit && !$0.element.isRemoved }.map(\.element.path.name)
    guard !names.isEmpty else { return }
    log(
      isWarning: true,
      "peer \(name(id)?.short ?? "?") has \(peerThreads) threads, this end \(configuration.queueCount): only \(limit) paths have an id on each of them, "
        + "so not all flows can use \(names.joined(separator: ", ")); lower Threads here or there")
  }

  private struct PathKey: Hashable {
    var peer: PeerID
    var path: PathID
  }
  private var pathNames: [PathKey: String] = [:]

  private func tell(_ id: PeerID, _ path: PathID, _ change: PathChange) {
    var event = PathEvent()
    event.peer = name(id)?.short ?? ""
    event.pathID = path.rawValue
    event.name = pathNames[PathKey(peer: id, path: path)] ?? ""
    event.from = "\(change.from)"
    event.to = "\(change.to)"
    event.reason = "\(change.reason)"
    channel.send(.pathEvent(event))
  }

  // MARK: Status

  private func requestStatus(_ deliver: @escaping (BondStatus) -> Void) {
    let request = nextSnapshot
    nextSnapshot &+= 1
    pendingStatus[request] = PendingStatus(deliver: deliver, left: threads.count, parts: [])
    for thread in threads { thread.tell(.snapshot(request)) }
  }

  private func collect(_ request: UInt32, _ snapshot: ThreadSnapshot) {
    guard var pending = pendingStatus[request] else { return }
    pending.parts.append(snapshot)
    pending.left -= 1
    pendingStatus[request] = pending
    guard pending.left == 0 else { return }
    pendingStatus[request] = nil
    let status = StatusAssembly(
      configuration: configuration, peerIDs: peerIDs, uplinks: uplinks, intervals: intervals, startedAt: startedAt, now: SystemClock.now
    )
    .status(pending.parts, udpPort: threads[0].udpPort)
    pending.deliver(status)
  }

  // MARK: Metrics

  /// A bond is worth more than its metrics: without their address it works all the same, and says so.
  private func serveMetrics() -> UInt16? {
    guard let wanted = configuration.metrics, let address = SocketAddress(literal: wanted.host, port: wanted.port) else { return nil }
    do throws(SystemError) {
      let server = try MetricsServer(address, on: loop) { [unowned self] deliver in
        self.requestStatus { status in
          let page = ByteBuffer()
          page.append(BondMetrics.text(status))
          deliver(page)
        }
      }
      metricsServer = server
      return server.address?.port
    } catch {
      log(isWarning: true, "no metrics at \(address): \(error.message); set another address with Metrics = or promListenAddr")
      return nil
    }
  }

  private final class ReportHandler: EventHandler {
    unowned let worker: BondWorker
    let index: Int
    init(worker: BondWorker, index: Int) {
      self.worker = worker
      self.index = index
    }
    func handle(_ readiness: Readiness) { worker.takeReports(index) }
  }

  private final class MonitorHandler: EventHandler {
    private let monitor: NetlinkMonitor
    private let changed: ([NetworkChange]) -> Void
    init(_ loop: EventLoop, _ changed: @escaping ([NetworkChange]) -> Void) throws(SystemError) {
      monitor = try NetlinkMonitor()
      self.changed = changed
      _ = try loop.register(monitor.descriptor, self, levelTriggered: true)
    }
    func handle(_ readiness: Readiness) {
      var changes: [NetworkChange] = []
      monitor.read { changes.append($0) }
      if !changes.isEmpty { changed(changes) }
    }
  }
}

extension PeerSettings {
  init(_ peer: BondConfiguration.Peer, _ rates: SharedRates?) {
    self.init(publicKey: PublicKey(peer.publicKey.bytes.span))
    self.rates = rates
    presharedKey = peer.presharedKey
    allowedIPs = peer.allowedIPs
    persistentKeepalive = peer.persistentKeepalive > 0 ? .seconds(Int64(peer.persistentKeepalive)) : nil
  }
}

extension UplinkSettings {
  init(_ place: UplinkPlace) {
    let path = place.path
    self.init(name: path.name)
    weight = path.weight ?? 0
    rateUp = path.rateUp ?? 0
    rateDown = path.rateDown ?? 0
    preference = path.isBackup ? 1 : 0
    isStream = path.transport == .tcp
    isRemoved = place.isRemoved
  }
}

/// A path in a peer's list, or what was one before a reload.
struct UplinkPlace {
  var path: PathConfiguration
  var isRemoved = false
}

extension UplinkPlan {
  init(_ path: PathConfiguration) {
    binding = path.binding
    transport = path.transport
    host = path.host
    port = path.port
    address = path.address.map { DatagramAddress($0, port: path.port) }
  }
}
