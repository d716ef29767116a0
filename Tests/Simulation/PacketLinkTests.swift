import CausewayBase
import CausewaySimulation
import Testing

@Suite struct PacketLinkTests {
  private func bytes(_ number: Int, _ count: Int) -> [UInt8] {
    [UInt8(number >> 8), UInt8(number & 255)] + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count - 2)
  }

  private func drain(_ link: PacketLink, until end: Instant = .distantFuture) -> [(bytes: [UInt8], arrival: PacketLink.Arrival)] {
    var result: [(bytes: [UInt8], arrival: PacketLink.Arrival)] = []
    while let next = link.nextArrival, next <= end {
      _ = link.receive(at: next) { bytes, arrival in result.append(((0..<bytes.count).map { bytes[$0] }, arrival)) }
    }
    return result
  }

  @Test("datagrams come out whole, by arrival, with their tag") func order() {
    var parameters = LinkParameters()
    (parameters.delay, parameters.jitter) = (.milliseconds(20), .milliseconds(10))
    let link = PacketLink(parameters, seed: 5)
    for number in 0..<500 {
      link.send(
        bytes(number, 2 + number % 1400).span, congestionBits: 2, tag: UInt64(number), at: .zero + .milliseconds(number))
    }
    #expect(link.inFlightCount == 500)
    let arrived = drain(link)
    #expect(arrived.map(\.arrival.at) == arrived.map(\.arrival.at).sorted())
    #expect(arrived.map(\.arrival.tag) != (0..<500).map { UInt64($0) })
    #expect(
      arrived.allSatisfy { item in
        let number = Int(item.arrival.tag)
        return item.bytes == bytes(number, 2 + number % 1400) && item.arrival.sentAt == .zero + .milliseconds(number)
          && item.arrival.congestionBits == 2
      })
    #expect(Set(arrived.map(\.arrival.tag)).count == 500)
  }

  @Test("damage changes one bit or the length; a copy arrives right behind") func damage() {
    var parameters = LinkParameters()
    parameters.corruption = 1
    let flipped = PacketLink(parameters, seed: 1)
    flipped.send([UInt8](repeating: 0, count: 100).span, at: .zero)
    #expect(drain(flipped).map { $0.bytes.reduce(0) { $0 + $1.nonzeroBitCount } } == [1])
    parameters = LinkParameters()
    (parameters.truncation, parameters.duplication) = (1, 1)
    let cut = PacketLink(parameters, seed: 2)
    cut.send([UInt8](repeating: 7, count: 100).span, at: .zero)
    let pieces = drain(cut).map(\.bytes)
    #expect(pieces.count == 2 && pieces[0] == pieces[1] && pieces[0].count < 100 && pieces[0].allSatisfy { $0 == 7 })
  }

  @Test("events change the link at their time, in the order written") func events() {
    let second = Instant.zero + .seconds(1)
    let link = PacketLink(
      events: [
        LinkEvent(at: second + .seconds(1), .blackhole(false), .delay(.milliseconds(5))), LinkEvent(at: second, .blackhole(true)),
        LinkEvent(at: second + .seconds(1), .mtu(50)),
      ], seed: 1)
    for number in 0..<30 { link.send(bytes(number, 40 + number).span, tag: UInt64(number), at: .zero + .milliseconds(100 * number)) }
    let arrived = drain(link)
    #expect(arrived.map(\.arrival.tag) == Array(0..<10))
    #expect(link.statistics.blackholed == 10 && link.statistics.tooLong == 10)
    link.change(at: second + .seconds(5)) { $0.mtu = .max }
    link.send(bytes(1, 100).span, at: second + .seconds(5))
    #expect(link.nextArrival == second + .seconds(5) + .milliseconds(5))
    link.removeAll()
    #expect(link.nextArrival == nil)
  }

  @Test("only what may be marked is marked, and what is longer than the link takes vanishes") func marks() {
    var parameters = LinkParameters()
    (parameters.bytesPerSecond, parameters.markingThreshold) = (100_000, .milliseconds(1))
    let link = PacketLink(parameters, longest: 200, seed: 1)
    for bits: UInt8 in [0, 0, 2, 1] { link.send(bytes(1, 200).span, congestionBits: bits, at: .zero) }
    link.send(bytes(1, 201).span, at: .zero)
    #expect(drain(link).map(\.arrival.congestionBits) == [0, 0, 3, 3])
  }
}
