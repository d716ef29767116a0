internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayScraping
package import CausewayTelemetry
internal import CausewayWire

// CausewayRelay: the server behind the URLs. Accounts/ keeps who may; Sessions/ keeps who is here; Routing/ says where a name leads;
// Ingress/ takes visitors. Relay puts them together on one event loop.

/// One relay: built from its configuration, run until a signal ends it.
package final class Relay {
  /// How long lock holders (a command that manages accounts) are waited for at the start.
  static let lockPatienceMilliseconds = 2000
  /// How often names in use are written down, and what is free again is forgotten.
  static let housekeepingInterval = Duration.seconds(1800)

  private let configuration: RelayConfiguration
  private let log: Logger
  private let loop: EventLoop
  private let pool = ChunkPool()
  private let metrics = RelayMetrics()
  private let store: StoreThread
  private let routes: RouteTable
  private let sessions: SessionRegistry
  private let ingress: Ingress
  private var listeners: [IngressListener] = []
  private var metricsServer: MetricsServer?
  private var admin: AdminSocket?
  private var signals: Signals?
  private var hangUp: () -> Void = {}
  private var housekeeping: LoopTimer?
  private var drain: RelayDrain?
  private var tls: TLSContext?

  /// Why a relay does not start: one line.
  package struct StartError: Error {
    package var message: String
  }

  /// Runs a relay until SIGINT or SIGTERM. `ready` gets its URL once it listens.
  /// - Returns: the process's exit code.
  /// - Parameter hangUp: SIGHUP came: the log is to be opened again.
  package static func run(
    _ configuration: RelayConfiguration, log: Logger, ready: (String) -> Void, hangUp: @escaping () -> Void = {}
  ) -> Int32 {
    do {
      let directory = configuration.data
      try directory.prepare()
      let lock = try directory.lock(waitingMilliseconds: lockPatienceMilliseconds)
      let relay = try Relay(configuration, lock, log: log)
      relay.hangUp = hangUp
      ready(relay.readyURL)
      relay.loop.run()
      relay.shutDown()
      return 0
    } catch {
      log.error(Self.message(of: error))
      return 1
    }
  }

  private static func message(of error: any Error) -> String {
    switch error {
    case let error as DataDirectoryError: error.message
    case let error as StoreError: error.message
    case let error as StartError: error.message
    case let error as TLSError: error.message
    case let error as SystemError: error.description
    default: "\(error)"
    }
  }

  private init(_ configuration: RelayConfiguration, _ lock: borrowing DataDirectoryLock, log: Logger) throws {
    self.configuration = configuration
    self.log = log
    loop = try EventLoop()
    let database = try configuration.data.openStore(lock)
    let now = WallTime.current
    _ = try database.purge(configuration.policy, at: now)
    let known = try Self.knownNames(database, configuration.policy, at: now)
    store = try StoreThread(database)
    routes = RouteTable(loop: loop, knownNames: known)
    let pseudonym = "causeway-" + Hexadecimal.text(Secrets.random(byteCount: 6)[...])
    let policy = IngressPolicy(
      domain: configuration.domain, publicHost: configuration.publicURL?.address.host, pseudonym: pseudonym,
      trustedProxies: configuration.trustedProxies)
    ingress = Ingress(loop: loop, routes: routes, policy: policy, pool: pool)
    ingress.metrics = metrics
    if let certificate = configuration.tlsCertificate, let key = configuration.tlsKey {
      tls = try TLSContext(certificateChainFile: certificate, keyFile: key)
    }
    for listen in configuration.listen {
      let kind: IngressListener.Kind = if listen.isTLS, let tls { .https(tls) } else { .http }
      do throws(SystemError) {
        listeners.append(try IngressListener(listen.address, kind, trustedProxies: configuration.trustedProxies, ingress))
      } catch {
        throw StartError(
          message:
            "cannot listen on \(listen.address): \(error.message)\(error.code == 98 ? "; another program has the port: choose another with --listen" : error.code == 99 ? "; no interface of this machine has that address" : "")"
        )
      }
    }
    sessions = SessionRegistry(
      loop: loop, pool: pool, routes: routes, store: store, policy: configuration.policy,
      urls: Self.urls(configuration, listeners.map(\.address)), metrics: metrics, log: log)
    ingress.controlPath = sessions
    sessions.acceptTCP = { [unowned ingress] descriptor, address, route in ingress.acceptTCP(descriptor, address, route) }
    admin = try AdminSocket(
      in: configuration.data, lock, on: loop, store, policy: configuration.policy, clock: { WallTime.current },
      apply: { [unowned sessions] in sessions.apply($0) })
    if let address = configuration.metrics {
      do throws(SystemError) {
        metricsServer = try MetricsServer(address, on: loop) { [unowned self] deliver in
          refreshMetrics()
          let page = ByteBuffer()
          metrics.registry.render(into: page)
          deliver(page)
        }
      } catch {
        throw StartError(
          message:
            "cannot serve metrics on \(address): \(error.message)\(error.code == 98 ? "; another program has the port: choose another with --metrics" : "")"
        )
      }
      log.info("metrics", ["url": .string("http://\(metricsServer?.address?.description ?? "")/metrics")])
    }
    signals = try Signals([.interrupt, .terminate, .hangUp], on: loop) { [unowned self] in signalled($0) }
    housekeeping = LoopTimer(loop) { [unowned self] _ in keepHouse() }
    housekeeping?.set(after: Self.housekeepingInterval)
  }

  private static func knownNames(
    _ store: any AccountStore, _ policy: ReservationPolicy, at now: WallTime
  ) throws(StoreError) -> Set<String> {
    var names: Set<String> = []
    var last: TunnelName?
    while true {
      let page = try store.reservations(of: nil, after: last, limit: 1000)
      for reservation in page where policy.isHeld(reservation, at: now) { names.insert(reservation.name.text) }
      guard page.count == 1000, let next = page.last?.name else { return names }
      last = next
    }
  }

  /// Scheme and port of the public URL, else of the first https listener, else of the first http one.
  private static func urls(_ configuration: RelayConfiguration, _ addresses: [SocketAddress]) -> PublicURLs {
    if let url = configuration.publicURL {
      return PublicURLs(
        scheme: url.isSecure ? "https" : "http", port: url.address.port, domain: configuration.domain, tcpBase: addresses[0])
    }
    let index = configuration.listen.firstIndex { $0.isTLS } ?? 0
    return PublicURLs(
      scheme: configuration.listen[index].isTLS ? "https" : "http", port: addresses[index].port, domain: configuration.domain,
      tcpBase: addresses[0])
  }

  /// Where the first listener is reached from here, also behind a proxy: nobody else would tell the port that 0 became.
  private var readyURL: String {
    let listen = configuration.listen[0]
    return "\(listen.isTLS ? "https" : "http")://\(listeners[0].address)"
  }

  private func signalled(_ signal: Signal) {
    switch signal {
    case .hangUp:
      hangUp()
      do throws(TLSError) {
        try tls?.reload()
        if tls != nil { log.info("certificate read again") }
      } catch {
        log.error("the certificate was not reloaded, the old one stays: \(error.message)")
      }
    default:
      // Who asks twice doesn't want to wait.
      guard drain == nil else { return loop.stop() }
      log.info("stopping: running requests have \(Int(RelayDrain.requestLimit.inSeconds)) s, a second signal ends them")
      for listener in listeners { listener.close() }
      noteNamesInUse()
      drain = RelayDrain(ingress, sessions) { [unowned self] in loop.stop() }
    }
  }

  private func refreshMetrics() { metrics.scraped.refresh(ingress, sessions, store) }

  private func keepHouse() {
    let (names, policy) = (sessions.namesInUse, configuration.policy)
    let routes = LoopBound(routes, loop)
    _ = store.submit(on: loop) { store -> Set<String>? in
      let now = WallTime.current
      do throws(StoreError) {
        try store.noteUse(of: names.compactMap { try? TunnelName(label: $0) }, at: now)
        _ = try store.purge(policy, at: now)
        return try Self.knownNames(store, policy, at: now)
      } catch {
        return nil  // tried again in half an hour; reservations last a day at least
      }
    } _: { known in
      if let known { routes.value.keepKnown(known) }
    }
    housekeeping?.set(after: Self.housekeepingInterval)
  }

  private func noteNamesInUse() {
    let names = sessions.namesInUse
    _ = store.submit { store in
      do throws(StoreError) { try store.noteUse(of: names.compactMap { try? TunnelName(label: $0) }, at: WallTime.current) } catch {}
    }
  }

  private func shutDown() {
    admin?.close()
    metricsServer?.close()
    for listener in listeners { listener.close() }
    noteNamesInUse()
    sessions.endAll("the relay is stopping")
    ingress.closeAll()
    store.stop()
  }
}
