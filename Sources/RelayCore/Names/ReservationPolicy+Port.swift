extension ReservationPolicy {
  /// The port that `claimed` keeps without any further look at the store, or nil when one has to be found.
  package func stickyPort(of claimed: Reservation, for request: NameRequest) -> UInt16? {
    guard let port = claimed.tcpPort, ports.contains(port), !request.avoidedPorts.contains(port) else { return nil }
    if case .exactly(let wanted) = request.port, wanted != port { return nil }
    return port
  }

  /// Whether the account may have one port more; `own` as in `claim`.
  package func checkPortLimit(for name: TunnelName, own: [Reservation], at now: WallTime) throws(NameError) {
    if heldPorts(own, except: name, at: now) >= portsPerAccount { throw .portLimit(portsPerAccount) }
  }

  /// Whether the tunnel `name` of `account` may have exactly this port, which now belongs to `holder`, if to any name.
  package func checkPort(
    _ port: UInt16, for name: TunnelName, by account: AccountID, holder: Reservation?, avoided: Set<UInt16>, at now: WallTime
  ) throws(NameError) {
    guard ports.contains(port) else { throw .portOutOfRange(port, ports) }
    if avoided.contains(port) { throw .portTaken(port) }
    guard let holder, holder.name != name else { return }
    switch standing(of: holder, at: now) {
    case .held: throw .portTaken(port)
    case .coolingDown: if holder.account != account { throw .portTaken(port) }
    case .free: break
    }
  }

  /// Any port of the range that no name holds: a drawn one and those above it, then around from the bottom. When all are held or cool
  /// down, the one that has been cooling longest is given early: a port is scarcer than a name, and says less about its owner.
  /// - Parameter users: Every reservation with a port, whosever.
  package func choosePort(
    users: [Reservation], avoided: Set<UInt16>, at now: WallTime, using random: inout some RandomNumberGenerator
  ) throws(NameError) -> UInt16 {
    var blocked = avoided
    var oldest: (port: UInt16, until: WallTime)?
    for user in users {
      guard let port = user.tcpPort, ports.contains(port), !avoided.contains(port) else { continue }
      switch standing(of: user, at: now) {
      case .held: blocked.insert(port)
      case .coolingDown(let until):
        blocked.insert(port)
        if until < oldest?.until ?? WallTime(seconds: .max) { oldest = (port, until) }
      case .free: break
      }
    }
    let count = ports.count
    let start = Int.random(in: 0..<count, using: &random)
    for step in 0..<count {
      let port = ports.lowerBound + UInt16((start + step) % count)
      if !blocked.contains(port) { return port }
    }
    if let oldest { return oldest.port }
    throw .noPortFree(ports)
  }
}
