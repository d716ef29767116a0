/// How long names stay, and how many an account may hold. The relay's configuration overrides the defaults.
package struct ReservationPolicy: Equatable, Sendable {
  /// A requested name stays with its account for so long after its last use.
  package static let defaultRequestedSeconds: Int64 = 90 * 86_400
  /// A random name stays for so long after its last use.
  package static let defaultRandomSeconds: Int64 = 24 * 3600
  /// After its release another account gets a name only this much later; its old account gets it at once.
  package static let defaultCoolDownSeconds: Int64 = 7 * 86_400
  package static let defaultNamesPerAccount = 100
  package static let defaultPortsPerAccount = 50
  package static let defaultPorts: ClosedRange<UInt16> = 20_000...20_999
  /// A use is written down again only when the last one is older: reconnecting clients cost no disk write.
  package static let defaultUseGranularitySeconds: Int64 = 600

  package var requestedSeconds = defaultRequestedSeconds
  package var randomSeconds = defaultRandomSeconds
  package var coolDownSeconds = defaultCoolDownSeconds
  package var namesPerAccount = defaultNamesPerAccount
  package var portsPerAccount = defaultPortsPerAccount
  package var ports = defaultPorts
  package var useGranularitySeconds = defaultUseGranularitySeconds

  package init() {}

  /// Whose a name is at some moment.
  package enum Standing: Equatable, Sendable {
    case held(until: WallTime)
    /// Its old account may take it, others not yet.
    case coolingDown(until: WallTime)
    case free
  }

  /// A name that its account forgot counts as released at the moment its time ran out.
  package func standing(of reservation: Reservation, at now: WallTime) -> Standing {
    let end: WallTime
    if let released = reservation.released {
      end = released
    } else {
      end = reservation.lastUsed + lifetime(of: reservation.kind)
      if now < end && reservation.account != nil { return .held(until: end) }
    }
    let free = end + coolDownSeconds
    return now < free ? .coolingDown(until: free) : .free
  }

  package func isHeld(_ reservation: Reservation, at now: WallTime) -> Bool {
    if case .held = standing(of: reservation, at: now) { return true }
    return false
  }

  package func lifetime(of kind: Reservation.Kind) -> Int64 {
    switch kind {
    case .random: randomSeconds
    case .requested: requestedSeconds
    }
  }
}
