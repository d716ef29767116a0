import CausewayBase
import Testing

@testable import CausewayBondCore

/// A path that carries packets up to `mtu`, one round trip of 50 ms, and the search over it.
private struct Path {
  var search: PathMTUSearch
  var mtu: Int
  var now = Instant(nanoseconds: 1_000_000_000)
  var changes: [Int] = []
  var probes: [Int] = []
  private var echoes: [(at: Instant, id: UInt32)] = []
  /// Probes still to be lost whatever their size.
  var lose = 0

  init(mtu: Int, wanted: Int, isIPv6: Bool = false) {
    search = PathMTUSearch(wanted: wanted, isIPv6: isIPv6)
    self.mtu = mtu
  }

  mutating func start() {
    var facts: [PathMTUSearch.Fact] = []
    search.start(at: now, roundTrip: 50_000_000, &facts)
    handle(facts)
  }

  mutating func handle(_ facts: [PathMTUSearch.Fact]) {
    for fact in facts {
      switch fact {
      case .changed(let size): changes.append(size)
      case .probe(let size, let id):
        probes.append(size)
        if lose > 0 { lose -= 1 } else if size <= mtu { echoes.append((now + .milliseconds(50), id)) }
      }
    }
  }

  mutating func run(_ duration: Duration) {
    let end = now + duration
    while true {
      let next = min(echoes.map(\.at).min() ?? .distantFuture, search.nextDeadline ?? .distantFuture)
      guard next <= end else { break }
      now = next
      var facts: [PathMTUSearch.Fact] = []
      if let i = echoes.firstIndex(where: { $0.at == now }) {
        search.echoed(id: echoes.remove(at: i).id, at: now, &facts)
      } else {
        search.advance(to: now, &facts)
      }
      handle(facts)
    }
    now = end
  }

  mutating func data(lost: Bool, _ size: Int) {
    var facts: [PathMTUSearch.Fact] = []
    if lost { search.lost(byteCount: size, at: now, &facts) } else { search.acknowledged(byteCount: size) }
    handle(facts)
  }
}

@Suite struct PathMTUSearchTests {
  @Test(
    "one round trip finds what the path carries of what the bond wants",
    arguments: [
      (1500, 1468, 1468), (1492, 1468, 1468), (1460, 1468, 1452), (1420, 1468, 1420), (1400, 1468, 1400), (1300, 1468, 1280),
      (9000, 9068, 9000), (1500, 9068, 1500), (65_535, 9068, 9068), (1500, 1200, 1280),
    ])
  func finds(mtu: Int, wanted: Int, found: Int) {
    var path = Path(mtu: mtu, wanted: wanted)
    path.start()
    path.run(.milliseconds(50))
    #expect(path.search.byteCount == found)
    path.run(.seconds(5))
    #expect(path.search.byteCount == found)
    #expect(!path.search.isSearching)
    #expect(path.probes.allSatisfy { $0 <= max(wanted, 1280) })
  }

  @Test("each size is tried three times, then every ten minutes")
  func tries() {
    var path = Path(mtu: 1452, wanted: 1468)
    path.start()
    path.run(.seconds(5))
    #expect(path.probes.count { $0 == 1468 } == 3)
    path.run(.seconds(580))
    #expect(path.probes.count { $0 == 1468 } == 3)
    path.mtu = 1500
    path.run(.seconds(30))
    #expect(path.search.byteCount == 1468)
    #expect(path.search.nextDeadline == nil)
  }

  @Test("lost probes are sent again")
  func lossy() {
    var path = Path(mtu: 1500, wanted: 1468)
    path.lose = 10
    path.start()
    path.run(.seconds(2))
    #expect(path.search.byteCount == 1468)
  }

  @Test("a black hole: three full-size losses while small ones pass, then proof, then back to the base")
  func blackHole() {
    var path = Path(mtu: 1500, wanted: 1468)
    path.start()
    path.run(.seconds(1))
    path.mtu = 1400
    path.data(lost: true, 1468)
    path.data(lost: true, 1468)
    path.data(lost: true, 1468)
    #expect(!path.search.isSearching)  // perhaps all is lost: that is not the MTU's fault
    path.data(lost: false, 100)
    path.data(lost: true, 1468)
    #expect(path.search.isSearching)
    path.run(.seconds(2))
    #expect(path.changes == [1468, 1280, 1400])
  }

  @Test("losses alone are no black hole")
  func noBlackHole() {
    var path = Path(mtu: 1500, wanted: 1468)
    path.start()
    path.run(.seconds(1))
    for i in 0..<300 {
      path.data(lost: i % 3 != 0, 1468)
      path.data(lost: false, 100)
      path.run(.milliseconds(10))
    }
    #expect(path.changes == [1468])
    // Three in a row by chance: the proof says that all is well.
    path.data(lost: true, 1468)
    path.data(lost: false, 100)
    for _ in 0..<3 { path.data(lost: true, 1468) }
    path.run(.seconds(1))
    #expect(path.changes == [1468])
    #expect(!path.search.isSearching)
  }

  @Test("an IPv4 path that doesn't carry the base falls to 576; an IPv6 one cannot")
  func tiny() {
    var path = Path(mtu: 600, wanted: 1468)
    path.start()
    path.run(.seconds(3))
    #expect(path.search.byteCount == 576)
    var v6 = Path(mtu: 600, wanted: 1488, isIPv6: true)
    v6.start()
    v6.run(.seconds(3))
    #expect(v6.search.byteCount == 1280)
    #expect(!v6.search.isProven)
  }

  @Test("what the host refuses to send is not tried again")
  func refused() {
    var path = Path(mtu: 1452, wanted: 1468)
    path.start()
    var facts: [PathMTUSearch.Fact] = []
    path.search.refused(byteCount: 1468, at: path.now, &facts)
    path.run(.seconds(5))
    #expect(path.search.byteCount == 1452)
    #expect(path.probes.count { $0 == 1468 } == 1)
    path.search.refused(byteCount: 1300, at: path.now, &facts)
    #expect(facts == [.changed(byteCount: 1280)])
  }

  @Test("echoes nobody asked for change nothing")
  func foreign() {
    var path = Path(mtu: 1500, wanted: 1468)
    var facts: [PathMTUSearch.Fact] = []
    path.search.echoed(id: 0x8000_0000, at: path.now, &facts)
    path.start()
    path.search.echoed(id: 7, at: path.now, &facts)
    #expect(facts.isEmpty)
    #expect(path.search.byteCount == 1280)
  }
}
