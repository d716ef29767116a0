import CausewayBase
import CausewayPaths
import Testing

/// The capacity law on virtual links. Nothing is configured; shares are of what a link carries, waits are in our part of its queue.
@Suite struct CapacityTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var links: [VirtualLink]
    var back = 10.0
    /// Share of each link's rate that arrives from second 2 on; losses are taken off by the reader.
    var share = 0.97
    var median = 8.0
    var seconds = 6.0
    var testDescription: String { name }
  }

  static let cases: [Case] = [
    Case(name: "50 Mbit 10 ms", links: [VirtualLink(50, milliseconds: 10)]),
    Case(name: "100 Mbit 1 ms", links: [VirtualLink(100, milliseconds: 1)], back: 1, seconds: 4),
    Case(name: "20 Mbit 40±5 ms 0.5 %", links: [VirtualLink(20, milliseconds: 40, jitter: 5, loss: 0.005)]),
    Case(name: "5 Mbit 100 ms", links: [VirtualLink(5, milliseconds: 100)], back: 2, seconds: 8),
    Case(name: "50 Mbit 2 % loss", links: [VirtualLink(50, milliseconds: 10, loss: 0.02)], share: 0.95),
    Case(name: "50 Mbit 5 % loss", links: [VirtualLink(50, milliseconds: 10, loss: 0.05)], share: 0.92),
    Case(name: "1 Mbit 300 ms 1 %", links: [VirtualLink(1, milliseconds: 300, loss: 0.01)], back: 300, share: 0.9, median: 60, seconds: 20),
    Case(
      name: "100 + 100", links: [VirtualLink(100, milliseconds: 1), VirtualLink(100, milliseconds: 1)], back: 1, seconds: 4),
    Case(name: "100 + 50", links: [VirtualLink(100, milliseconds: 1), VirtualLink(50, milliseconds: 1)], back: 1, seconds: 4),
    Case(
      name: "50 and 20 with jitter and loss",
      links: [VirtualLink(50, milliseconds: 10), VirtualLink(20, milliseconds: 40, jitter: 5, loss: 0.005)]),
    Case(name: "token bucket of 64 KB", links: [VirtualLink(100, milliseconds: 1, burst: 64_000)], back: 1, seconds: 4),
    Case(name: "token bucket of 256 KB", links: [VirtualLink(50, milliseconds: 10, burst: 256_000)]),
    Case(name: "policer", links: [VirtualLink(50, milliseconds: 10, burst: 32_000, isPolicer: true)]),
    Case(name: "jitter of 20±15 ms", links: [VirtualLink(50, milliseconds: 20, jitter: 15)], share: 0.75),
  ]

  @Test(arguments: cases)
  func `fills the link and keeps its queue short`(_ test: Case) {
    let bond = VirtualBond(test.links, returnMilliseconds: test.back)
    bond.run(seconds: test.seconds)
    for path in test.links.indices {
      let rate = test.links[path].rate * 8 / 1e6
      let got = bond.megabits(path, from: 2, to: test.seconds)
      #expect(got >= test.share * rate, "path \(path): \(got) of \(rate) Mbit/s")
      let wait = bond.waitPercentile(path, 0.5)
      #expect(wait <= test.median, "path \(path): median wait \(wait) ms")
    }
    #expect(bond.changes.allSatisfy { $0.change.to == .normal }, "no path is set aside: \(bond.changes)")
  }

  static let streams: [Case] = [
    Case(name: "50 Mbit 10 ms", links: [VirtualLink(50, milliseconds: 10, isStream: true)]),
    Case(
      name: "50 Mbit 10 ms 0.5 %",
      links: [VirtualLink(50, milliseconds: 10), VirtualLink(50, milliseconds: 10, loss: 0.005, isStream: true)]),
    Case(
      name: "20 Mbit 40 ms 0.5 %",
      links: [VirtualLink(50, milliseconds: 10), VirtualLink(20, milliseconds: 40, loss: 0.005, isStream: true)],
      seconds: 12),
    Case(name: "alone, 50 Mbit 10 ms 1 %", links: [VirtualLink(50, milliseconds: 10, loss: 0.01, isStream: true)], share: 0.95),
  ]

  @Test(arguments: streams)
  func `a stream that repeats its losses carries as much as a link without any, and nothing is sent twice`(_ test: Case) {
    let bond = VirtualBond(test.links)
    bond.run(seconds: test.seconds)
    for path in test.links.indices {
      let rate = test.links[path].rate * 8 / 1e6
      let got = bond.megabits(path, from: 2, to: test.seconds)
      #expect(got >= test.share * rate, "path \(path): \(got) of \(rate) Mbit/s")
      let wait = bond.waitPercentile(path, 0.5)
      #expect(wait <= test.median, "path \(path): median wait \(wait) ms")
      if test.links[path].isStream { #expect(bond.senders[path].snapshot.lostPacketCount == 0) }
    }
    #expect(bond.changes.allSatisfy { $0.change.to == .normal }, "no path is set aside: \(bond.changes)")
  }

  @Test func `a queue on a stream is drained, whoever fills it`() {
    let bond = VirtualBond([VirtualLink(50, milliseconds: 10, isStream: true)])
    bond.at(3) {
      $0.offered = 5_900_000  // less than the pace, more than the link will take
      $0.links[0].setRate(megabits: 45, at: $0.now)
    }
    bond.at(3.9) { #expect($0.links[0].waiting(at: $0.now) < 12e6, "\($0.links[0].waiting(at: $0.now))") }
    bond.run(seconds: 6)
    #expect(bond.megabits(0, from: 4, to: 6) > 44)
    #expect(bond.links[0].waiting(at: bond.now) < 8e6, "\(bond.links[0].waiting(at: bond.now))")
  }

  @Test func `a stream that falls into a black hole is set aside as a datagram path is`() throws {
    let bond = VirtualBond([VirtualLink(50, milliseconds: 10, loss: 0.005, isStream: true), VirtualLink(50, milliseconds: 10)])
    bond.at(3.003) { $0.links[0].isDead = true }
    bond.run(seconds: 4)
    let changes = bond.changes.filter { $0.path == 0 }.map(\.change)
    try #require(changes.map(\.to) == [.normal, .unstable, .lost])
    let hole = Instant(nanoseconds: bond.origin + 3_003_000_000)
    #expect(changes[1].at - hole < .milliseconds(200) && changes[2].at - hole < .milliseconds(400), "\(changes)")
  }

  @Test func `follows 50 to 5 to 50 Mbit/s within a second`() {
    let bond = VirtualBond([VirtualLink(50, milliseconds: 10)])
    bond.at(3) { $0.links[0].setRate(megabits: 5, at: $0.now) }
    bond.at(6) { $0.links[0].setRate(megabits: 50, at: $0.now) }
    bond.at(4.5) {
      #expect($0.links[0].waiting(at: $0.now) < 20e6, "the queue of the step is gone")
      #expect($0.senders[0].capacityBytesPerSecond < 800_000)
    }
    bond.run(seconds: 8)
    #expect(bond.megabits(0, from: 4, to: 6) > 4.6)
    #expect(bond.megabits(0, from: 7, to: 8) > 48)
  }

  @Test func `a round trip of 300 ms instead of 20 is not taken for a queue for long`() {
    let bond = VirtualBond([VirtualLink(50, milliseconds: 10)])
    bond.at(3) { $0.links[0].delay = 290_000_000 }
    bond.run(seconds: 10)
    #expect(bond.megabits(0, from: 6, to: 7) > 25)
    #expect(bond.megabits(0, from: 8, to: 10) > 45)
  }

  @Test func `an unshaped link reaches gigabits within 100 ms and is not throttled`() {
    var link = VirtualLink(0, milliseconds: 0.05)
    link.grain = 50_000
    let bond = VirtualBond([link], returnMilliseconds: 0.05)
    bond.receivers[0].packetLimit = 128
    bond.machineRate = 500e6
    bond.at(0.1) { #expect($0.senders[0].capacityBytesPerSecond > 250_000_000) }
    bond.run(seconds: 0.3)
    #expect(bond.megabits(0, from: 0.1, to: 0.3) > 3900)
  }

  @Test func `a load below the capacity lowers no estimate`() {
    let bond = VirtualBond([VirtualLink(50, milliseconds: 10)])
    bond.run(seconds: 3)
    let before = bond.senders[0].capacityBytesPerSecond
    bond.offered = 1_000_000
    bond.run(seconds: 8)
    #expect(bond.senders[0].capacityBytesPerSecond >= before / 100 * 99)
  }

  @Test func `a fixed rate is kept and a ceiling is not passed`() {
    for limit in [RateLimit.fixed(2_500_000), .ceiling(2_500_000)] {
      let bond = VirtualBond([VirtualLink(50, milliseconds: 10)])
      bond.senders[0].rateLimit = limit
      bond.run(seconds: 4)
      let got = bond.megabits(0, from: 2, to: 4)
      #expect(got > 19.4 && got < 20.5, "\(limit): \(got)")
    }
  }

  @Test func `under full load a black hole is seen within 110 ms, lost within 250, and carries its share soon after it ends`() throws {
    let bond = VirtualBond([VirtualLink(50, milliseconds: 10), VirtualLink(50, milliseconds: 10)])
    bond.at(3.003) { $0.links[0].isDead = true }
    bond.at(5) { $0.links[0].isDead = false }
    bond.run(seconds: 9)
    let changes = bond.changes.filter { $0.path == 0 }.map(\.change)
    try #require(changes.map(\.to) == [.normal, .unstable, .lost, .normal])
    let hole = Instant(nanoseconds: bond.origin + 3_003_000_000)
    #expect(changes[1].at - hole < .milliseconds(110) && changes[2].at - hole < .milliseconds(250), "\(changes)")
    #expect(bond.megabits(0, from: 7, to: 9) > 45)
    #expect(bond.megabits(1, from: 3, to: 9) > 47)
  }
}
