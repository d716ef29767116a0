import CausewayBase
import CausewayBondCore
import CausewayLinuxIO
import CausewayPaths
import CausewayWire
import Glibc

// Sockets of a packet thread: two that listen, one of each family, and one for each way that is bound to a device or an address.

extension PacketThread {
  var listenPort: UInt16 { sockets.first?.socket?.localAddress.port ?? 0 }

  /// The same port for both families; when any port will do, the second follows the first.
  func openListeners() throws {
    var port = plan.listenPort
    for isIPv6 in [false, true] {
      guard let address = plan.listenAddress(isIPv6: isIPv6, port: port) else {
        sockets.append(OpenSocket(socket: nil, binding: .any, isIPv6: isIPv6))
        continue
      }
      do {
        try open(UDPSocket(bindingTo: address, options: options()), .any, isIPv6)
        if port == 0 { port = sockets[sockets.count - 1].socket?.localAddress.port ?? 0 }
      } catch {
        // A machine without IPv6 has one socket.
        guard isIPv6, plan.listenAddress == nil else { throw error }
        sockets.append(OpenSocket(socket: nil, binding: .any, isIPv6: isIPv6))
      }
    }
  }

  private func options() -> UDPSocket.Options {
    var options = UDPSocket.Options()
    options.mark = plan.mark
    options.sharesPort = plan.sharesPort
    return options
  }

  @discardableResult
  private func open(_ socket: UDPSocket, _ binding: PathConfiguration.Binding, _ isIPv6: Bool) throws -> Int {
    let number = sockets.count
    sockets.append(OpenSocket(socket: socket, binding: binding, isIPv6: isIPv6, interface: interfaceIndex(binding)))
    try poll.register(socket.descriptor, tag: Tag.socket + UInt64(number))
    return number
  }

  // MARK: Uplinks

  func setPeer(_ id: PeerID, _ settings: PeerSettings, _ plans: [UplinkPlan], _ now: Instant) {
    do throws(PeerError) { try engine.setPeer(id, settings, at: now) } catch {
      return report(.log(LogText(isWarning: true, text: "peer \(settings.publicKey): \(error)")))
    }
    let known = uplinks.filter { $0.peer == id }
    uplinks.removeAll { $0.peer == id }
    for (index, plan) in plans.enumerated() {
      var state = UplinkState(peer: id, index: index, plan: plan)
      if let same = known.first(where: { $0.plan == plan && $0.index == index }) { state = same }
      state.address = plan.address ?? known.first { $0.plan == plan }?.address
      uplinks.append(state)
    }
    closeStrayStreams(now)
    for place in uplinks.indices where uplinks[place].peer == id { connectUplink(place, now) }
  }

  func resolved(_ id: PeerID, _ uplink: Int, _ address: DatagramAddress, _ now: Instant) {
    guard let place = uplinks.firstIndex(where: { $0.peer == id && $0.index == uplink }) else { return }
    uplinks[place].address = address
    connectUplink(place, now)
  }

  /// Gives the engine a route for an uplink whose far end is known, over its own socket or one that listens.
  func connectUplink(_ place: Int, _ now: Instant) {
    let state = uplinks[place]
    if state.plan.transport == .tcp { return connectStream(place, now) }
    guard let address = state.address else { return }
    let isIPv6 = address.family == .ipv6
    guard let number = socketNumber(for: state.plan.binding, isIPv6: isIPv6) else { return }
    engine.setUplink(state.index, of: state.peer, route: Route(socket: UInt32(number), remote: address), at: now)
  }

  private func socketNumber(for binding: PathConfiguration.Binding, isIPv6: Bool) -> Int? {
    // Answers to what goes out by a shared socket come in on any thread: only the first thread's ways use it.
    let isOwn = binding != .any || plan.configuration.shard > 0
    let places = sockets.indices.dropFirst(isOwn ? Int(Self.listenerCount) : 0)
    if let known = places.first(where: { sockets[$0].binding == binding && sockets[$0].isIPv6 == isIPv6 }) {
      if sockets[known].socket != nil { return known }
      guard isOwn else { return nil }
      guard let socket = boundSocket(binding, isIPv6) else { return nil }
      sockets[known].socket = socket
      sockets[known].interface = interfaceIndex(binding)
      try? poll.register(socket.descriptor, tag: Tag.socket + UInt64(known))
      return known
    }
    guard let socket = boundSocket(binding, isIPv6) else {
      sockets.append(OpenSocket(socket: nil, binding: binding, isIPv6: isIPv6))  // its number waits for the interface
      return nil
    }
    return try? open(socket, binding, isIPv6)
  }

  private func boundSocket(_ binding: PathConfiguration.Binding, _ isIPv6: Bool) -> UDPSocket? {
    var options = options()
    options.sharesPort = false
    var address: DatagramAddress = isIPv6 ? .ipv6(high: 0, low: 0, port: 0) : .ipv4(0, port: 0)
    switch binding {
    case .any: break
    case .device(let name): options.device = name
    case .source(let source): address = DatagramAddress(source, port: 0)
    }
    do throws(SystemError) { return try UDPSocket(bindingTo: address, options: options) } catch {
      report(.log(LogText(isWarning: true, text: "\(error)")))
      return nil
    }
  }

  /// Sockets whose interface or address went are made anew when it is back.
  func networkChanged(_ changes: [NetworkChange], _ now: Instant) {
    for place in uplinks.indices {
      if uplinks[place].plan.transport == .tcp {
        connectUplink(place, now)
        continue
      }
      let binding = uplinks[place].plan.binding
      guard binding != .any, let address = uplinks[place].address else { continue }
      let isIPv6 = address.family == .ipv6
      guard let number = sockets.firstIndex(where: { $0.binding == binding && $0.isIPv6 == isIPv6 }) else { continue }
      let fresh = boundSocket(binding, isIPv6)
      let interface = interfaceIndex(binding)
      if let fresh, sockets[number].socket == nil || sockets[number].interface != interface {
        if let old = sockets[number].socket { poll.deregister(old.descriptor) }
        sockets[number].socket = fresh
        sockets[number].interface = interface
        try? poll.register(fresh.descriptor, tag: Tag.socket + UInt64(number))
        connectUplink(place, now)
      }
      uplinks[place].isDown = fresh == nil || (linkIsDown(interface, changes) ?? uplinks[place].isDown)
      engine.setUplink(uplinks[place].index, of: uplinks[place].peer, isDown: uplinks[place].isDown, at: now)
    }
  }

  /// Of the device that a socket is bound to: another number under the same name is another device. 0: none.
  private func interfaceIndex(_ binding: PathConfiguration.Binding) -> UInt32 {
    guard case .device(let name) = binding else { return 0 }
    return unsafe if_nametoindex(name)
  }

  /// What the newest news of an interface say; nil: nothing.
  private func linkIsDown(_ interface: UInt32, _ changes: [NetworkChange]) -> Bool? {
    var isDown: Bool?
    for change in changes where interface != 0 && change.interface == interface {
      switch change.kind {
      case .link(let isUp, let isRunning): isDown = !isUp || !isRunning
      case .linkRemoved: isDown = true
      default: break
      }
    }
    return isDown
  }
}

extension DatagramAddress {
  init(_ address: IPAddress, port: UInt16) {
    switch address.family {
    case .v4: self = .ipv4(UInt32(truncatingIfNeeded: address.low), port: port)
    case .v6: self = .ipv6(high: address.high, low: address.low, port: port)
    }
  }
}
