internal import CausewayBase
package import CausewayRelayCore

extension SQLiteStore {
  private static let nameColumns = "SELECT name, account, kind, last_used, released, tcp_port FROM names"

  package func reserve(
    _ request: NameRequest, _ policy: ReservationPolicy, at now: WallTime, seed: UInt64
  ) throws(StoreError) -> Reservation {
    try database.transaction { () throws(StoreError) in
      guard let account = try account(request.account) else { throw .noSuchAccount }
      guard account.isEnabled else { throw .accountDisabled }
      var random = SeededRandom(seed: seed)
      let own = try database.rows("\(Self.nameColumns) WHERE account = ?1", [.integer(account.id.rawValue)], reservation)
      var claimed = try claim(request, policy, own, at: now, &random)
      try assignPort(to: &claimed, request, policy, own, at: now, &random)
      let existing = try reservation(of: claimed.name)
      if let existing, policy.needsNoWrite(claimed, over: existing, at: now) { return existing }
      try write(claimed)
      return claimed
    }
  }

  private func claim(
    _ request: NameRequest, _ policy: ReservationPolicy, _ own: [Reservation], at now: WallTime, _ random: inout SeededRandom
  ) throws(StoreError) -> Reservation {
    func claim(_ name: TunnelName, _ kind: Reservation.Kind) throws(StoreError) -> Reservation {
      let existing = try reservation(of: name)
      do throws(NameError) {
        return try policy.claim(name, as: kind, by: request.account, existing: existing, own: own, at: now)
      } catch {
        throw .name(error)
      }
    }
    switch request.name {
    case .exactly(let name): return try claim(name, .requested)
    case .previous(let name):
      do throws(StoreError) {
        return try claim(name, .random)
      } catch {
        switch error {
        case .name(.taken), .name(.coolingDown): break  // somebody else's by now: a new one
        default: throw error
        }
      }
    case .any: break
    }
    let drawn = try RandomName.generate(using: &random) { (name) throws(StoreError) in try reservation(of: name) != nil }
    guard let drawn else { throw .name(.noNameFree) }
    return try claim(drawn, .random)
  }

  private func assignPort(
    to claimed: inout Reservation, _ request: NameRequest, _ policy: ReservationPolicy, _ own: [Reservation], at now: WallTime,
    _ random: inout SeededRandom
  ) throws(StoreError) {
    if request.port == .none { return }
    if policy.stickyPort(of: claimed, for: request) != nil { return }
    // What may be needed is read first: policy never sees the database.
    var holder: Reservation?
    var users: [Reservation] = []
    if case .exactly(let port) = request.port {
      holder = try database.row("\(Self.nameColumns) WHERE tcp_port = ?1", [.integer(Int64(port))], reservation)
    } else {
      users = try database.rows("\(Self.nameColumns) WHERE tcp_port IS NOT NULL", [], reservation)
    }
    do throws(NameError) {
      try policy.checkPortLimit(for: claimed.name, own: own, at: now)
      if case .exactly(let port) = request.port {
        try policy.checkPort(port, for: claimed.name, by: request.account, holder: holder, avoided: request.avoidedPorts, at: now)
        claimed.tcpPort = port
      } else {
        claimed.tcpPort = try policy.choosePort(users: users, avoided: request.avoidedPorts, at: now, using: &random)
      }
    } catch {
      throw .name(error)
    }
  }

  private func write(_ reservation: Reservation) throws(StoreError) {
    if let port = reservation.tcpPort {
      // Policy gave the port of a name that only cools down, or that is free again: it belongs to this one now.
      try database.run(
        "UPDATE names SET tcp_port = NULL WHERE tcp_port = ?1 AND name <> ?2", [.integer(Int64(port)), .text(reservation.name.text)])
    }
    let sql = """
      INSERT INTO names (name, account, kind, last_used, released, tcp_port) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
      ON CONFLICT (name) DO UPDATE SET account = ?2, kind = ?3, last_used = ?4, released = ?5, tcp_port = ?6
      """
    try database.run(
      sql,
      [
        .text(reservation.name.text), .integer(reservation.account?.rawValue), .integer(reservation.kind.rawValue),
        .integer(reservation.lastUsed.seconds), .integer(reservation.released?.seconds), .integer(reservation.tcpPort.map { Int64($0) }),
      ])
  }

  package func noteUse(of names: [TunnelName], at now: WallTime) throws(StoreError) {
    if names.isEmpty { return }
    try database.transaction { () throws(StoreError) in
      for name in names {
        try database.run(
          "UPDATE names SET last_used = ?2 WHERE name = ?1 AND released IS NULL AND last_used < ?2",
          [.text(name.text), .integer(now.seconds)])
      }
    }
  }

  package func reservation(of name: TunnelName) throws(StoreError) -> Reservation? {
    try database.row("\(Self.nameColumns) WHERE name = ?1", [.text(name.text)], reservation)
  }

  package func reservations(of account: AccountID?, after name: TunnelName?, limit: Int) throws(StoreError) -> [Reservation] {
    let after = SQLiteValue.text(name?.text ?? "")
    let limit = SQLiteValue.integer(Int64(limit))
    if let account {
      return try database.rows(
        "\(Self.nameColumns) WHERE name > ?1 AND account = ?3 ORDER BY name LIMIT ?2",
        [after, limit, .integer(account.rawValue)], reservation)
    }
    return try database.rows("\(Self.nameColumns) WHERE name > ?1 ORDER BY name LIMIT ?2", [after, limit], reservation)
  }

  package func release(_ name: TunnelName, at now: WallTime) throws(StoreError) -> Reservation? {
    try database.transaction { () throws(StoreError) in
      guard let held = try reservation(of: name), held.released == nil else { return nil }
      try database.run("UPDATE names SET released = ?2 WHERE name = ?1", [.text(name.text), .integer(now.seconds)])
      return held
    }
  }

  package func purge(_ policy: ReservationPolicy, at now: WallTime) throws(StoreError) -> Int {
    // The dates at which `ReservationPolicy.standing` says `.free`.
    let released = now + -policy.coolDownSeconds
    let random = released + -policy.lifetime(of: .random)
    let requested = released + -policy.lifetime(of: .requested)
    return try database.transaction { () throws(StoreError) in
      try database.run(
        """
        DELETE FROM names WHERE released <= ?1
          OR (released IS NULL AND kind = 0 AND last_used <= ?2) OR (released IS NULL AND kind = 1 AND last_used <= ?3)
        """, [.integer(released.seconds), .integer(random.seconds), .integer(requested.seconds)])
      var count = database.changedRowCount
      try database.run("DELETE FROM tokens WHERE revoked <= ?1", [.integer((now + -TokenUse.revokedSeconds).seconds)])
      count += database.changedRowCount
      return count
    }
  }

  private func reservation(_ row: SQLiteStatement) throws(StoreError) -> Reservation {
    guard let kind = Reservation.Kind(rawValue: row.integer(2)) else {
      throw .database(path: database.path, code: 11, detail: "the table of names holds an unknown kind")
    }
    return Reservation(
      name: try name(row, 0), account: row.optionalInteger(1).map { AccountID(rawValue: $0) }, kind: kind,
      lastUsed: WallTime(seconds: row.integer(3)), released: row.optionalInteger(4).map { WallTime(seconds: $0) },
      tcpPort: row.optionalInteger(5).map { UInt16(truncatingIfNeeded: $0) })
  }
}
