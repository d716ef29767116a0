import CausewayBase
import CausewayRelayCore
import Testing

private let day: Int64 = 86_400
private let start = WallTime(seconds: 1_800_000_000)
private let mine = AccountID(rawValue: 1)
private let other = AccountID(rawValue: 2)

private func row(
  _ name: String = "shop1", _ account: AccountID? = mine, _ kind: Reservation.Kind = .requested, released: WallTime? = nil,
  port: UInt16? = nil
) throws -> Reservation {
  Reservation(name: try TunnelName(name), account: account, kind: kind, lastUsed: start, released: released, tcpPort: port)
}

@Suite struct ReservationStandingTests {
  @Test(
    "requested names are held for 90 days, random ones for 24 hours, and both cool down for 7 days",
    arguments: [
      (.requested, 0, "held"), (.requested, 90 * day - 1, "held"), (.requested, 90 * day, "cooling"), (.requested, 97 * day - 1, "cooling"),
      (.requested, 97 * day, "free"), (.random, 24 * 3600 - 1, "held"), (.random, 24 * 3600, "cooling"), (.random, 8 * day - 1, "cooling"),
      (.random, 8 * day, "free"), (.requested, -5 * day, "held"),
    ] as [(Reservation.Kind, Int64, String)])
  func standing(_ kind: Reservation.Kind, _ age: Int64, _ expected: String) throws {
    let standing = ReservationPolicy().standing(of: try row("shop1", mine, kind), at: start + age)
    let name =
      switch standing {
      case .held: "held"
      case .coolingDown: "cooling"
      case .free: "free"
      }
    #expect(name == expected)
  }

  @Test("a released name cools down from its release, also without an owner")
  func released() throws {
    let policy = ReservationPolicy()
    let released = start + day
    for account in [mine, nil] {
      let reservation = try row("shop1", account, released: released)
      #expect(policy.standing(of: reservation, at: released) == .coolingDown(until: released + 7 * day))
      #expect(policy.standing(of: reservation, at: released + 7 * day) == .free)
    }
  }

  @Test("the cooling time is the policy's: zero frees at once")
  func configurable() throws {
    var policy = ReservationPolicy()
    policy.coolDownSeconds = 0
    #expect(policy.standing(of: try row(released: start), at: start) == .free)
  }
}

@Suite struct ReservationClaimTests {
  private func claim(
    _ existing: Reservation?, by account: AccountID = mine, as kind: Reservation.Kind = .requested, own: [Reservation] = [],
    _ policy: ReservationPolicy = ReservationPolicy(), at now: WallTime = start
  ) throws(NameError) -> Reservation {
    let name: TunnelName
    if let existing { name = existing.name } else { name = try TunnelName("shop1") }
    return try policy.claim(name, as: kind, by: account, existing: existing, own: own, at: now)
  }

  @Test("a held name is its account's: the same account keeps it with its port, another hears 'taken'")
  func held() throws {
    let existing = try row(port: 20_001)
    let kept = try claim(existing, at: start + 5)
    #expect(kept.tcpPort == 20_001)
    #expect(kept.lastUsed == start + 5)
    #expect(throws: NameError.taken(existing.name)) { try claim(existing, by: other) }
  }

  @Test("a released name returns to its account at once, and to others after seven days to the second")
  func coolsDown() throws {
    let existing = try row(released: start, port: 20_001)
    #expect(try claim(existing, at: start).tcpPort == 20_001)
    #expect(throws: NameError.coolingDown(existing.name, secondsLeft: 1)) { try claim(existing, by: other, at: start + (7 * day - 1)) }
    let taken = try claim(existing, by: other, at: start + 7 * day)
    #expect(taken.account == other)
    #expect(taken.tcpPort == nil)
  }

  @Test("a name whose account was removed cools down for everybody")
  func orphan() throws {
    let existing = try row("shop1", nil, released: start)
    #expect(throws: NameError.coolingDown(existing.name, secondsLeft: 7 * day)) { try claim(existing) }
  }

  @Test("asking for one's random name makes it a requested one; a requested one never turns random")
  func kinds() throws {
    #expect(try claim(try row("shop1", mine, .random), as: .requested).kind == .requested)
    #expect(try claim(try row("shop1", mine, .requested), as: .random).kind == .requested)
    #expect(try claim(nil, as: .random).kind == .random)
  }

  @Test("the limit counts held names only, and never the one that is asked for")
  func limit() throws {
    var policy = ReservationPolicy()
    policy.namesPerAccount = 2
    let one = try row("one")
    let two = try row("two", mine, .random)
    let gone = try row("gone", released: start)
    #expect(throws: NameError.nameLimit(2)) { try claim(nil, own: [one, two, gone], policy) }
    #expect(try claim(one, own: [one, two, gone], policy).name == one.name)
    #expect(try claim(nil, own: [one, gone], policy).account == mine)
    // The random one has run out a day later.
    #expect(try claim(nil, own: [one, two], policy, at: start + 2 * day).account == mine)
  }

  @Test("reconnecting soon after costs no write; a change or ten minutes do")
  func needsNoWrite() throws {
    let policy = ReservationPolicy()
    let existing = try row(port: 20_001)
    var claimed = existing
    claimed.lastUsed = start + 599
    #expect(policy.needsNoWrite(claimed, over: existing, at: start + 599))
    #expect(!policy.needsNoWrite(claimed, over: existing, at: start + 600))
    #expect(!policy.needsNoWrite(claimed, over: nil, at: start + 599))
    claimed.tcpPort = 20_002
    #expect(!policy.needsNoWrite(claimed, over: existing, at: start + 599))
    #expect(!policy.needsNoWrite(existing, over: try row(released: start, port: 20_001), at: start))
  }
}

@Suite struct PortPolicyTests {
  private let policy: ReservationPolicy = {
    var policy = ReservationPolicy()
    policy.ports = 20_000...20_003
    policy.portsPerAccount = 2
    return policy
  }()

  private func choose(_ users: [Reservation], avoided: Set<UInt16> = [], seed: UInt64 = 1, at now: WallTime = start) throws(NameError)
    -> UInt16
  {
    var random = SeededRandom(seed: seed)
    return try policy.choosePort(users: users, avoided: avoided, at: now, using: &random)
  }

  @Test("a port sticks to its name unless another is wanted, it could not be bound, or it left the range")
  func sticky() throws {
    var request = NameRequest(account: mine, port: .any)
    let claimed = try row(port: 20_001)
    #expect(policy.stickyPort(of: claimed, for: request) == 20_001)
    request.avoidedPorts = [20_001]
    #expect(policy.stickyPort(of: claimed, for: request) == nil)
    request = NameRequest(account: mine, port: .exactly(20_002))
    #expect(policy.stickyPort(of: claimed, for: request) == nil)
    #expect(policy.stickyPort(of: try row(port: 30_000), for: NameRequest(account: mine, port: .any)) == nil)
  }

  @Test("any free port of the range is chosen, by the seed, until none is left", arguments: [UInt64(1), 2, 3, 4, 5])
  func chooses(_ seed: UInt64) throws {
    var users: [Reservation] = []
    var ports: [UInt16] = []
    for index in 0..<4 {
      let port = try choose(users, seed: seed)
      #expect(try choose(users, seed: seed) == port)
      ports.append(port)
      users.append(try row("name\(index)", other, port: port))
    }
    #expect(ports.sorted() == [20_000, 20_001, 20_002, 20_003])
    #expect(throws: NameError.noPortFree(20_000...20_003)) { try choose(users, seed: seed) }
  }

  @Test("a cooling name's port is the last resort, and the one that cooled longest goes first")
  func coolingPorts() throws {
    let users = [
      try row("a", other, port: 20_000), try row("b", other, released: start + 5, port: 20_001),
      try row("c", other, released: start + 3, port: 20_002), try row("d", other, released: start + -8 * day, port: 20_003),
    ]
    #expect(try choose(users, at: start + 10) == 20_003)
    #expect(try choose(users, avoided: [20_003], at: start + 10) == 20_002)
    #expect(try choose(users, avoided: [20_003, 20_002], at: start + 10) == 20_001)
    #expect(throws: NameError.noPortFree(20_000...20_003)) { try choose(users, avoided: [20_001, 20_002, 20_003], at: start + 10) }
  }

  @Test("a wanted port must be in the range and nobody's")
  func exactly() throws {
    let name = try TunnelName("shop1")
    func check(_ port: UInt16, _ holder: Reservation?, avoided: Set<UInt16> = []) throws(NameError) {
      try policy.checkPort(port, for: name, by: mine, holder: holder, avoided: avoided, at: start)
    }
    try check(20_000, nil)
    try check(20_000, try row("shop1", mine, port: 20_000))
    try check(20_000, try row("old", mine, released: start, port: 20_000))
    try check(20_000, try row("old", other, released: start + -7 * day, port: 20_000))
    #expect(throws: NameError.portOutOfRange(80, 20_000...20_003)) { try check(80, nil) }
    #expect(throws: NameError.portTaken(20_000)) { try check(20_000, try row("old", other, port: 20_000)) }
    #expect(throws: NameError.portTaken(20_000)) { try check(20_000, try row("old", mine, port: 20_000)) }
    #expect(throws: NameError.portTaken(20_000)) { try check(20_000, try row("old", other, released: start, port: 20_000)) }
    #expect(throws: NameError.portTaken(20_000)) { try check(20_000, nil, avoided: [20_000]) }
  }

  @Test("the limit counts the ports of held names")
  func limit() throws {
    let own = [try row("a", port: 20_000), try row("b", port: 20_001), try row("c"), try row("d", released: start, port: 20_002)]
    #expect(throws: NameError.portLimit(2)) { try policy.checkPortLimit(for: try TunnelName("c"), own: own, at: start) }
    try policy.checkPortLimit(for: try TunnelName("a"), own: own, at: start)
  }

  @Test("the whole range of 16 bits is a range too")
  func fullRange() throws {
    var policy = ReservationPolicy()
    policy.ports = 1...65_535
    var random = SeededRandom(seed: 3)
    for _ in 0..<100 {
      let port = try policy.choosePort(users: [], avoided: [], at: start, using: &random)
      #expect(port >= 1)
    }
  }
}
