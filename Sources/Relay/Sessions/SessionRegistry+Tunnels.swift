internal import CausewayCrypto
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTunnelCore

extension SessionRegistry {
  typealias TunnelCompletion = (Result<RelayTunnel, ControlError>) -> Void

  /// Ports tried for a tunnel that asked for none in particular.
  static let portAttempts = 16

  /// Reserves the name on disk, takes it from the account's dead sessions, then serves it. The client hears of it after that.
  func openTunnel(
    _ request: TunnelRequest, for session: RelaySession, avoiding ports: Set<UInt16> = [], _ completion: @escaping TunnelCompletion
  ) {
    if let fault = Self.fault(of: request.basicAuth, isHTTP: request.isHTTP) { return completion(.failure(fault)) }
    var wanted = NameRequest(account: session.account, avoidedPorts: ports)
    do throws(NameError) {
      if let subdomain = request.subdomain {
        wanted.name = .exactly(try TunnelName(subdomain))
      } else if let previous = request.previousName {
        wanted.name = .previous(try TunnelName(previous))
      }
    } catch {
      return completion(.failure(ControlError(.nameInvalid, error.message)))
    }
    if !request.isHTTP { wanted.port = request.remotePort.map { .exactly($0) } ?? .any }
    let (policy, now, seed, names) = (policy, WallTime.current, UInt64.random(in: .min ... .max), wanted)
    let bound = LoopBound((self, session, completion), loop)
    let isAccepted = store.submit(on: loop) { store -> Result<Reservation, StoreError> in
      do throws(StoreError) { return .success(try store.reserve(names, policy, at: now, seed: seed)) } catch { return .failure(error) }
    } _: { result in
      let (registry, session, completion) = bound.value
      switch result {
      case .success(let reservation): registry.claim(reservation, request, session, ports, completion)
      case .failure(let error): completion(.failure(ControlError(error)))
      }
    }
    if !isAccepted { completion(.failure(ControlError(.busy, "the relay is busy: try again soon", retryAfter: 2))) }
  }

  /// A password that cannot be asked for is refused, never ignored: the tunnel's owner relies on it.
  static func fault(of auth: TunnelRequest.BasicAuth?, isHTTP: Bool) -> ControlError? {
    guard let auth else { return nil }
    if !isHTTP { return ControlError(.protocolError, "a TCP tunnel has no place for a password: basic_auth works with protocol http") }
    if BasicAuthVerifier(auth) != nil { return nil }
    return ControlError(
      .protocolError,
      "basic_auth is malformed: it needs a salt of 16 bytes, a hash of 32, and 1 to \(PasswordVerifier.maximumIterations) iterations")
  }

  /// The name is the account's; now it must be free of its other sessions.
  private func claim(
    _ reservation: Reservation, _ request: TunnelRequest, _ session: RelaySession, _ ports: Set<UInt16>,
    _ completion: @escaping TunnelCompletion
  ) {
    let name = reservation.name.text
    guard let holder = holder(of: name) else { return install(reservation, request, session, ports, completion) }
    if holder === session { return completion(.failure(ControlError(.nameTaken, "this session already has the name '\(name)'"))) }
    guard holder.isAttached else {
      holder.lose(name)
      return install(reservation, request, session, ports, completion)
    }
    holder.driver.probe(limit: Self.probeLimit) { [weak self] isAlive in
      guard let self, !session.isOver else { return completion(.failure(ControlError(.sessionEnded, "the session has ended"))) }
      let present = self.holder(of: name)
      // Somebody else took it meanwhile: the question begins anew.
      if let present, present !== holder { return self.claim(reservation, request, session, ports, completion) }
      if isAlive && present != nil {
        return completion(
          .failure(
            ControlError(.nameTaken, "'\(name)' is in use by another session of this account: stop that one, or choose another name")))
      }
      present?.lose(name)
      self.install(reservation, request, session, ports, completion)
    }
  }

  private func install(
    _ reservation: Reservation, _ request: TunnelRequest, _ session: RelaySession, _ ports: Set<UInt16>,
    _ completion: @escaping TunnelCompletion
  ) {
    let name = reservation.name.text
    let auth = request.basicAuth.flatMap { BasicAuthVerifier($0) }
    let number = session.takeTunnelNumber()
    let route = Route(name: name, tunnel: number, driver: session.driver, basicAuth: auth)
    if request.isHTTP {
      let tunnel = RelayTunnel(
        number: number, request: request.request, name: name, url: urls.http(name), port: nil, route: route, listener: nil)
      open(tunnel, of: session)
      return completion(.success(tunnel))
    }
    guard let port = reservation.tcpPort else { return completion(.failure(ControlError(.portUnavailable, "no TCP port is free"))) }
    do throws(SystemError) {
      let listener = try Listener(urls.tcpAddress(port), on: loop) { [unowned self] descriptor, address in
        acceptTCP?(descriptor, address, route)
      }
      let tunnel = RelayTunnel(
        number: number, request: request.request, name: name, url: urls.tcp(port), port: port, route: route, listener: listener)
      open(tunnel, of: session)
      completion(.success(tunnel))
    } catch {
      // Somebody else on this machine has it: take another one, unless it was asked for.
      if request.remotePort == nil && ports.count < Self.portAttempts {
        return openTunnel(request, for: session, avoiding: ports.union([port]), completion)
      }
      completion(.failure(ControlError(.portUnavailable, "TCP port \(port) cannot be opened on the relay: \(error.message)")))
    }
  }

  func close(_ tunnel: RelayTunnel) {
    tunnel.listener?.close()
    tunnel.listener = nil
    routes.remove(tunnel.route)
    if holders[tunnel.name]?.tunnel === tunnel { holders[tunnel.name] = nil }
  }

  private func open(_ tunnel: RelayTunnel, of session: RelaySession) {
    holders[tunnel.name] = (session, tunnel)
    routes.install(tunnel.route)
  }

  func holder(of name: String) -> RelaySession? { holders[name]?.session }

  /// Names in use now, so that their reservations do not run out.
  var namesInUse: [String] { Array(holders.keys) }
}

extension ControlError {
  init(_ error: StoreError) {
    switch error {
    case .name(let name):
      let code: Code =
        switch name {
        case .invalid, .reserved: .nameInvalid
        case .taken, .coolingDown: .nameTaken
        case .portOutOfRange: .portInvalid
        case .portTaken: .portUnavailable
        case .nameLimit, .portLimit, .noPortFree, .noNameFree: .limitReached
        }
      self.init(code, name.message, retryAfter: name.isTemporary ? 30 : nil)
    case .accountDisabled, .noSuchAccount: self.init(.unauthorized, "the relay's owner has withdrawn this access")
    default: self.init(.busy, "the relay's store is not available: try again soon", retryAfter: 2)
    }
  }
}
