import CausewayBase
import CausewayBondCore
import CausewayLinuxIO
import CausewayPaths
import CausewayWire

// How TCP paths of a packet thread begin: uplinks that connect, and again when they end; listeners and the strangers that come in by them.

extension PacketThread {
  // MARK: Uplinks

  /// Connects a TCP uplink whose far end is known, unless it stands, is under way, or has to wait.
  func connectStream(_ place: Int, _ now: Instant) {
    let state = uplinks[place]
    guard state.plan.transport == .tcp, let address = state.address, engine.opensPaths(to: state.peer) else { return }
    if let old = streams[state.stream] {
      if old.remote == address { return }
      closeStream(old, now, retries: false)
    } else if state.retryAt > now && state.retryAt != .distantFuture {
      return
    }
    uplinks[place].retryAt = .distantFuture
    var options = TCPPathSocket.Options()
    options.mark = plan.mark
    switch state.plan.binding {
    case .any: break
    case .device(let name): options.device = name
    case .source(let source): options.source = DatagramAddress(source, port: 0)
    }
    let uplink = StreamUplink(peer: state.peer, index: state.index)
    do throws(SystemError) {
      let socket = try TCPPathSocket(connectingTo: address, options: options)
      guard let number = streams.takeNumber() else {
        streams.figures.refusals &+= 1
        return retryStream(place, now)
      }
      let connection = StreamConnection(
        number, socket, address, uplink: uplink, deadline: Instant(nanoseconds: now.nanoseconds &+ StreamSet.connectTimeout))
      streams.insert(connection)
      uplinks[place].stream = number
      try poll.register(socket.descriptor, tag: Tag.socket + UInt64(number), for: .write)
    } catch {
      noteStreamFailure(place, "\(error)")
      if let connection = streams[uplinks[place].stream] { closeStream(connection, now, retries: false) }
      retryStream(place, now)
    }
    updateStreamDeadline()
  }

  func retryStream(_ place: Int, _ now: Instant) {
    uplinks[place].stream = 0
    uplinks[place].retryAt = uplinks[place].backoff.ended(at: now)
    streams.figures.reconnects &+= 1
    updateStreamDeadline()
  }

  /// One line for a series of failures.
  func noteStreamFailure(_ place: Int, _ text: String) {
    guard !uplinks[place].isFailing else { return }
    uplinks[place].isFailing = true
    report(.log(LogText(isWarning: true, text: "\(text): trying again")))
  }

  /// After the list of uplinks was made anew: connections that nobody wants any more are closed.
  func closeStrayStreams(_ now: Instant) {
    while let stray = streams.first(where: { connection in
      connection.uplink != nil && !uplinks.contains { $0.stream == connection.number && $0.plan.transport == .tcp }
    }) {
      closeStream(stray, now, retries: false)
    }
  }

  func uplinkPlace(_ uplink: StreamUplink?) -> Int? {
    guard let uplink else { return nil }
    return uplinks.firstIndex { $0.peer == uplink.peer && $0.index == uplink.index }
  }

  // MARK: Listeners

  /// One for each family, as for datagrams.
  func openStreamListeners() throws {
    guard let port = plan.listenTCPPort else { return }
    for isIPv6 in [false, true] {
      guard let address = plan.listenAddress(isIPv6: isIPv6, port: port) else { continue }
      do {
        let listener = try TCPPathListener(bindingTo: address)
        try poll.register(listener.descriptor, tag: Tag.listener + UInt64(streams.listeners.count))
        streams.listeners.append(listener)
      } catch {
        // A machine without IPv6 has one listener.
        guard isIPv6, plan.listenAddress == nil else { throw error }
      }
    }
  }

  func acceptStreams(_ index: Int, _ now: Instant) {
    guard index < streams.listeners.count else { return }
    for _ in 0..<StreamSet.acceptLimit {
      guard let (socket, remote) = streams.listeners[index].accept() else { return }
      _ = addStranger(socket, remote, now)
    }
  }

  /// An accepted connection, within what strangers may have.
  func addStranger(_ socket: TCPPathSocket, _ remote: DatagramAddress, _ now: Instant) -> StreamConnection? {
    guard let number = streams.takeNumber() else {
      streams.figures.refusals &+= 1
      return nil
    }
    if let evicted = streams.admission.admit(number, from: remote, at: now), let connection = streams[evicted] {
      streams.figures.evictions &+= 1
      closeStream(connection, now, retries: false)
    }
    let connection = StreamConnection(number, socket, remote, uplink: nil, deadline: .distantFuture)
    streams.insert(connection)
    updateStreamDeadline()
    do throws(SystemError) { try poll.register(socket.descriptor, tag: Tag.socket + UInt64(number)) } catch {
      closeStream(connection, now, retries: false)
      return nil
    }
    return connection
  }
}
