extension ReservationPolicy {
  /// Gives `name` to `account`, or says why not.
  /// - Parameters:
  ///   - existing: What the store knows about this name.
  ///   - own: All that the store has of this account; what it no longer holds is not counted.
  /// - Returns: The row to keep, used now; its port is the one that stuck to the name. A name asked for by `.exactly` is a requested
  ///   one from then on, and never falls back to random while it is held.
  package func claim(
    _ name: TunnelName, as kind: Reservation.Kind, by account: AccountID, existing: Reservation?, own: [Reservation], at now: WallTime
  ) throws(NameError) -> Reservation {
    var claimed = Reservation(name: name, account: account, kind: kind, lastUsed: now)
    let isOurs = existing?.account == account
    if let existing {
      switch standing(of: existing, at: now) {
      case .held:
        guard isOurs else { throw .taken(name) }
        if existing.kind == .requested { claimed.kind = .requested }
        claimed.tcpPort = existing.tcpPort
        return claimed
      case .coolingDown(let until):
        guard isOurs else { throw .coolingDown(name, secondsLeft: until - now) }
      case .free: break
      }
    }
    if heldNames(own, except: name, at: now) >= namesPerAccount { throw .nameLimit(namesPerAccount) }
    if isOurs, let port = existing?.tcpPort, heldPorts(own, except: name, at: now) < portsPerAccount { claimed.tcpPort = port }
    return claimed
  }

  /// Whether the store can leave `existing` as it is: nothing changed but the time of use, and that only a little.
  package func needsNoWrite(_ claimed: Reservation, over existing: Reservation?, at now: WallTime) -> Bool {
    guard var existing, isHeld(existing, at: now) else { return false }
    let age = now - existing.lastUsed
    guard age < useGranularitySeconds else { return false }
    existing.lastUsed = claimed.lastUsed
    return existing == claimed
  }

  private func heldNames(_ own: [Reservation], except name: TunnelName, at now: WallTime) -> Int {
    own.count { $0.name != name && isHeld($0, at: now) }
  }

  func heldPorts(_ own: [Reservation], except name: TunnelName, at now: WallTime) -> Int {
    own.count { $0.name != name && $0.tcpPort != nil && isHeld($0, at: now) }
  }
}
