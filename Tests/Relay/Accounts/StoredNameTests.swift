import CausewayRelayCore
import Testing

@testable import CausewayRelay

@Suite struct StoredNameTests {
  let folder = TemporaryFolder()
  let store: SQLiteStore
  let mine: AccountID
  let other: AccountID
  var policy = ReservationPolicy()

  init() throws {
    store = try SQLiteStore(path: folder.path + "/relay.db")
    mine = try store.makeAccount("me@example.org").0.id
    other = try store.makeAccount("other@example.org").0.id
    policy.ports = 20_000...20_003
  }

  private func reserve(
    _ account: AccountID, _ wish: NameRequest.Name = .any, _ port: NameRequest.Port = .none, avoiding: Set<UInt16> = [],
    at now: WallTime = start, seed: UInt64 = 1
  ) throws(StoreError) -> Reservation {
    try store.reserve(NameRequest(account: account, name: wish, port: port, avoidedPorts: avoiding), policy, at: now, seed: seed)
  }

  @Test("what was reserved is in the store, and another account hears so")
  func reserved() throws {
    let shop = try name("shop1")
    let reservation = try reserve(mine, .exactly(shop))
    #expect(try store.reservation(of: shop) == reservation)
    #expect(throws: StoreError.name(.taken(shop))) { try reserve(other, .exactly(shop)) }
  }

  @Test("random names never collide, even from the same seed")
  func randomNames() throws {
    var names: Set<TunnelName> = []
    for _ in 0..<20 { names.insert(try reserve(mine, .any, seed: 42).name) }
    #expect(names.count == 20)
  }

  @Test("a random name comes back to its client for a day, and is replaced when it went to somebody else")
  func previous() throws {
    let first = try reserve(mine)
    #expect(try reserve(mine, .previous(first.name), at: start + 3600).name == first.name)
    #expect(try store.reservation(of: first.name)?.kind == .random)
    let late = start + 3600 + day + 7 * day
    #expect(try reserve(other, .exactly(first.name), at: late).account == other)
    let replaced = try reserve(mine, .previous(first.name), at: late)
    #expect(replaced.name != first.name)
    #expect(replaced.kind == .random)
  }

  @Test("a released name returns to its account at once and to another after seven days")
  func release() throws {
    let shop = try name("shop1")
    _ = try reserve(mine, .exactly(shop), .exactly(20_001))
    #expect(try store.release(shop, at: start)?.account == mine)
    #expect(try store.release(shop, at: start) == nil)
    #expect(throws: StoreError.name(.coolingDown(shop, secondsLeft: 7 * day))) { try reserve(other, .exactly(shop)) }
    #expect(try reserve(mine, .exactly(shop), .any).tcpPort == 20_001)
    _ = try store.release(shop, at: start)
    #expect(try reserve(other, .exactly(shop), at: start + 7 * day).account == other)
  }

  @Test("names of a removed account cool down without an owner")
  func removeAccount() throws {
    let shop = try name("shop1")
    _ = try reserve(mine, .exactly(shop))
    #expect(try store.removeAccount(mine, at: start) == [shop])
    #expect(throws: StoreError.name(.coolingDown(shop, secondsLeft: 7 * day))) { try reserve(other, .exactly(shop)) }
    #expect(throws: StoreError.noSuchAccount) { try reserve(mine, .exactly(shop)) }
  }

  @Test("a disabled account gets no name")
  func disabled() throws {
    try store.setEnabled(mine, false)
    #expect(throws: StoreError.accountDisabled) { try reserve(mine) }
  }

  @Test("a TCP port sticks to its name, also through HTTP use, and is nobody else's")
  func ports() throws {
    let shop = try name("shop1")
    let port = try #require(try reserve(mine, .exactly(shop), .any).tcpPort)
    #expect(try reserve(mine, .exactly(shop), .none).tcpPort == port)
    #expect(try reserve(mine, .exactly(shop), .any, seed: 99).tcpPort == port)
    #expect(throws: StoreError.name(.portTaken(port))) { try reserve(other, .any, .exactly(port)) }
    #expect(throws: StoreError.name(.portOutOfRange(80, 20_000...20_003))) { try reserve(other, .any, .exactly(80)) }
    let moved = try #require(try reserve(mine, .exactly(shop), .any, avoiding: [port]).tcpPort)
    #expect(moved != port)
    #expect(try reserve(other, .any, .exactly(port)).tcpPort == port)
  }

  @Test("all ports of the range are given, then a cooling one, then none")
  func portsRunOut() throws {
    var names: [TunnelName] = []
    var ports: Set<UInt16> = []
    for _ in 0..<4 {
      let reservation = try reserve(mine, .any, .any)
      names.append(reservation.name)
      ports.insert(try #require(reservation.tcpPort))
    }
    #expect(ports == [20_000, 20_001, 20_002, 20_003])
    #expect(throws: StoreError.name(.noPortFree(20_000...20_003))) { try reserve(other, .any, .any) }
    let freed = try #require(try store.release(names[2], at: start)?.tcpPort)
    #expect(try reserve(other, .any, .any).tcpPort == freed)
    #expect(try store.reservation(of: names[2])?.tcpPort == nil)
  }

  @Test("a refused request writes nothing")
  func refusedWritesNothing() throws {
    #expect(throws: StoreError.self) { try reserve(mine, .exactly(try name("shop1")), .exactly(80)) }
    #expect(try store.reservation(of: try name("shop1")) == nil)
  }

  @Test("reconnecting within ten minutes changes no row")
  func reconnectWritesNothing() throws {
    let shop = try name("shop1")
    _ = try reserve(mine, .exactly(shop))
    #expect(try reserve(mine, .exactly(shop), at: start + 599).lastUsed == start)
    #expect(try reserve(mine, .exactly(shop), at: start + 600).lastUsed == start + 600)
  }

  @Test("use keeps a name alive; what nobody uses is forgotten when it is free again, as policy says")
  func purge() throws {
    let random = try reserve(mine).name
    let requested = try name("shop1")
    let released = try name("shop2")
    for wanted in [requested, released] { _ = try reserve(mine, .exactly(wanted)) }
    _ = try store.release(released, at: start)
    try store.noteUse(of: [random, released], at: start + day)
    for (age, left) in [(7 * day - 1, 3), (7 * day, 2), (9 * day - 1, 2), (9 * day, 1), (97 * day - 1, 1), (97 * day, 0)] {
      let now = start + age
      _ = try store.purge(policy, at: now)
      let rows = try store.reservations(of: nil, after: nil, limit: 10)
      #expect(rows.count == left, "after \(age) s")
      let allStay = rows.allSatisfy { policy.standing(of: $0, at: now) != .free }
      #expect(allStay)
    }
  }

  @Test("revoked tokens are forgotten after 30 days")
  func purgeTokens() throws {
    let (_, token) = try store.makeAccount("third@example.org")
    try store.revoke(token.hash, at: start)
    _ = try store.purge(policy, at: start + (30 * day - 1))
    #expect(try store.authenticate(token.hash) == .revokedToken)
    _ = try store.purge(policy, at: start + 30 * day)
    #expect(try store.authenticate(token.hash) == .unknownToken)
  }
}
