import CausewayBase
import CausewayPaths
import Testing

@Suite struct Explore {
  func report(_ name: String, _ bond: VirtualBond, seconds: Double, from: Double = 2) {
    var line = name
    for path in bond.links.indices {
      let s = bond.senders[path].snapshot
      line += " | p\(path) \((bond.megabits(path, from: from, to: seconds) * 10).rounded() / 10) C \((Double(s.capacity) * 8 / 1e5).rounded() / 10) wait p50 \((bond.waitPercentile(path, 0.5) * 10).rounded() / 10) p99 \((bond.waitPercentile(path, 0.99) * 10).rounded() / 10) drop \(bond.links[path].droppedCount) lost \(s.lostPacketCount) spur \(s.spuriousPacketCount)"
    }
    print(line + " changes \(bond.changes.count)")
  }
  func series(_ b: VirtualBond, _ from: Int, _ to: Int, _ step: Int) -> [Int] {
    var out: [Int] = []
    var t = from
    while t < to {
      let a: Double = Double(t) / 10
      let e: Double = Double(t + step) / 10
      out.append(Int(b.megabits(0, from: a, to: e)))
      t += step
    }
    return out
  }
  func trace(_ bond: VirtualBond, _ from: Double, _ to: Double, _ step: Double) {
    var t = from
    while t <= to {
      bond.at(t) { b in
        var line = "  t \((b.elapsed * 1000).rounded() / 1000)"
        for path in b.links.indices {
          let s = b.senders[path].snapshot
          line += " | C \((Double(s.capacity) * 8 / 1e4).rounded() / 100) D \((Double(s.deliveredRate) * 8 / 1e4).rounded() / 100) q \(Double(s.queueing) / 1e6) w \((b.links[path].waiting(at: b.now) / 1e4).rounded() / 100) fl \(s.inFlightByteCount)/\(s.budgetByteCount) \(s.isStarting ? "S" : "") rtt \(s.smoothedRoundTrip / 1000)/\(s.minimumRoundTrip / 1000) j \(s.jitter/1000)"
        }
        print(line)
      }
      t += step
    }
  }
  @Test func all() {
    func one(_ name: String, _ links: [VirtualLink], _ seconds: Double = 12, ret: Double = 10, _ setup: (VirtualBond) -> Void = { _ in }) {
      let b = VirtualBond(links, returnMilliseconds: ret)
      setup(b)
      b.run(seconds: seconds)
      report(name, b, seconds: seconds)
    }
    one("50/10", [VirtualLink(50, milliseconds: 10)])
    one("100/1", [VirtualLink(100, milliseconds: 1)], ret: 1)
    one("20/40±5 .5%", [VirtualLink(20, milliseconds: 40, jitter: 5, loss: 0.005)])
    one("5/100", [VirtualLink(5, milliseconds: 100)], ret: 2)
    one("200/2 2%", [VirtualLink(200, milliseconds: 2, loss: 0.02)], ret: 2)
    one("50/10 5%", [VirtualLink(50, milliseconds: 10, loss: 0.05)])
    one("50/10 ±30", [VirtualLink(50, milliseconds: 40, jitter: 30)])
    one("1/300 1%", [VirtualLink(1, milliseconds: 300, loss: 0.01)], 20, ret: 300)
    one("100+100", [VirtualLink(100, milliseconds: 1), VirtualLink(100, milliseconds: 1)], ret: 1)
    one("100+50", [VirtualLink(100, milliseconds: 1), VirtualLink(50, milliseconds: 1)], ret: 1)
    one("50/10+20/40", [VirtualLink(50, milliseconds: 10), VirtualLink(20, milliseconds: 40, jitter: 5, loss: 0.005)])
    one("100/1 tbf 64k", [VirtualLink(100, milliseconds: 1, burst: 64_000)], ret: 1)
    one("50/10 tbf 256k", [VirtualLink(50, milliseconds: 10, burst: 256_000)])
    one("50/10 policer 32k", [{ var l = VirtualLink(50, milliseconds: 10, burst: 32_000); l.isPolicer = true; return l }()])
  }

  @Test func t1() {
    let b = VirtualBond([{ var l = VirtualLink(50, milliseconds: 10, burst: 32_000); l.isPolicer = true; return l }()])
    trace(b, 0.02, 1.2, 0.1)
    b.run(seconds: 1.3)
  }
  @Test func t2() {
    let b = VirtualBond([VirtualLink(50, milliseconds: 40, jitter: 30)])
    trace(b, 0.02, 4, 0.1)
    b.run(seconds: 4)
  }
  @Test func t3() {
    let b = VirtualBond([VirtualLink(1, milliseconds: 300, loss: 0.01)], returnMilliseconds: 300)
    trace(b, 0.02, 12, 0.4)
    b.run(seconds: 12)
  }

  @Test func steps() {
    do {
      let b = VirtualBond([VirtualLink(50, milliseconds: 10)])
      b.at(4) { $0.links[0].setRate(megabits: 5, at: $0.now) }
      b.at(8) { $0.links[0].setRate(megabits: 50, at: $0.now) }
      b.run(seconds: 12)
      print("step50-5-50", series(b, 40, 120, 2))
      report("", b, seconds: 12)
    }
    do {
      let b = VirtualBond([VirtualLink(50, milliseconds: 10)])
      b.at(4) { $0.links[0].delay = 290_000_000 }
      b.at(10) { $0.links[0].delay = 10_000_000 }
      trace(b, 3.95, 8, 0.1)
      b.run(seconds: 14)
      print("rtt20-300-20", series(b, 40, 140, 2))
      for c in b.changes { print(c.path, c.change.from, c.change.to, c.change.reason, Double(c.change.at.nanoseconds) / 1e9 - 1) }
      report("", b, seconds: 14)
    }
    do {
      var l = VirtualLink(0, milliseconds: 0.05); l.grain = 50_000
      let b = VirtualBond([l], returnMilliseconds: 0.05)
      b.receivers[0].packetLimit = 128
      b.machineRate = 500e6
      b.at(0.1) { print("unshaped C at 100 ms", Double($0.senders[0].snapshot.capacity) * 8 / 1e6) }
      b.at(0.2) { print("unshaped C at 200 ms", Double($0.senders[0].snapshot.capacity) * 8 / 1e6) }
      b.run(seconds: 0.5)
      print("unshaped", series(b, 0, 5, 1))
      report("", b, seconds: 0.5, from: 0.2)
    }
    do {
      let b = VirtualBond([VirtualLink(50, milliseconds: 10), VirtualLink(50, milliseconds: 10)])
      b.offered = 2_000_000
      b.at(5.003) { $0.links[0].isDead = true }
      b.at(8) { $0.links[0].isDead = false }
      b.run(seconds: 12)
      for c in b.changes { print(c.path, c.change.from, c.change.to, c.change.reason, Double(c.change.at.nanoseconds) / 1e9 - 1) }
      print("hole", series(b, 40, 120, 2))
      report("", b, seconds: 14)
    }
  }
}
