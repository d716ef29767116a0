import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite struct ShardTests {
  /// Sends `count` packets of a flow from each queue of both sides, one each 10 ms.
  private func exchange(_ pair: ThreadedPair, count: UInt32) {
    var number: UInt32 = 0
    pair.run(
      for: .milliseconds(Int64(count) * 10),
      {
        guard number < count else { return }
        for side in 0..<2 {
          for queue in pair.ends[side].engines.indices {
            pair.send(from: side, queue: queue, flow: UInt16(1000 + queue), number: number)
          }
        }
        number += 1
      })
    pair.run(for: .seconds(1))
  }

  /// The numbers of each flow, in order of delivery.
  private func flows(_ end: ThreadedPair.End) -> [UInt16: [UInt32]] {
    var flows: [UInt16: [UInt32]] = [:]
    for packet in end.delivered { flows[packet.flow, default: []].append(packet.number) }
    return flows
  }

  @Test("every packet of every queue arrives once and in the order of its flow", arguments: 1...3, 1...3)
  func ordered(opening: Int, accepting: Int) {
    let pair = ThreadedPair(threads: [opening, accepting], uplinks: 2)
    pair.run(for: .seconds(2))
    exchange(pair, count: 200)
    let expected = Array(UInt32(0)..<200)
    for (side, threads) in [(1, opening), (0, accepting)] {
      let flows = flows(pair.ends[side])
      #expect(flows.count == threads)
      for (flow, numbers) in flows { #expect(numbers == expected, "flow \(flow) to side \(side)") }
    }
  }

  @Test("with as many threads on both ends nothing goes from thread to thread, and a flow stays on its own", arguments: [2, 3, 8])
  func separate(threads: Int) {
    let pair = ThreadedPair(threads: [threads, threads], uplinks: 2)
    pair.run(for: .seconds(2))
    for end in pair.ends { end.forwardCount = 0 }
    exchange(pair, count: 50)
    for end in pair.ends {
      #expect(end.forwardCount == 0)
      #expect(end.handOverCount == 0)
      #expect(end.delivered.count == 50 * threads)
      for packet in end.delivered { #expect(packet.shard == Int(packet.flow) - 1000) }
    }
  }

  @Test("until the peer is known to have threads, the first thread sends everything")
  func handsOverAtFirst() {
    let pair = ThreadedPair(threads: [2, 2], uplinks: 1)
    pair.send(from: 0, queue: 1, flow: 7, number: 1)
    #expect(pair.ends[0].handOverCount == 1)
    pair.run(for: .seconds(2))
    #expect(pair.ends[1].delivered.map(\.number) == [1])
    #expect(pair.ends[1].delivered.first?.shard == 0)
  }

  @Test("new keys reach every thread in time: nothing is lost over four handshakes", arguments: [[2, 2], [2, 1], [1, 2], [3, 2]])
  func rekeys(threads: [Int]) {
    let pair = ThreadedPair(threads: threads, uplinks: 2)
    pair.run(for: .seconds(2))
    var number: UInt32 = 0
    pair.run(
      for: .seconds(500),
      {
        for queue in pair.ends[0].engines.indices { pair.send(from: 0, queue: queue, flow: UInt16(1000 + queue), number: number) }
        number += 1
      }, every: 100_000_000)
    pair.run(for: .seconds(1))
    for numbers in flows(pair.ends[1]).values { #expect(numbers == Array(0..<number)) }
    for end in pair.ends {
      let drops = end.engines.flatMap(\.dropList)
      for (reason, count) in drops where reason == .unknownIndex || reason == .expiredKeys || reason == .forged {
        Issue.record("\(reason) \(count)")
      }
    }
  }

  @Test("what waits on any thread is dropped when the first one's handshake is given up", arguments: [2, 4])
  func givesUp(threads: Int) {
    let pair = ThreadedPair(threads: [threads, threads], uplinks: 1)
    pair.run(for: .seconds(2))
    pair.isCut = true
    // Keys end after 180 s; by then an attempt is under way, and it ends 90 s later.
    pair.run(for: .seconds(181))
    for queue in 0..<threads {
      for number in 0..<UInt32(20) { pair.send(from: 0, queue: queue, flow: UInt16(1000 + queue), number: number) }
    }
    let waiting = pair.ends[0].engines.map { $0.peers[ThreadedPair.peer]?.queue.packetCount ?? 0 }
    #expect(waiting.allSatisfy { $0 > 0 }, "\(waiting)")
    pair.run(for: .seconds(95), every: 1_000_000_000)
    #expect(pair.ends[0].engines.allSatisfy { $0.peers[ThreadedPair.peer]?.queue.packetCount == 0 })
    #expect(pair.ends[0].engines.allSatisfy { $0.pool.lentCount == 0 })
  }

  @Test("uplinks that have no id on every thread are told once, by the first thread")
  func unnumbered() {
    func told(_ threads: [Int], _ uplinks: Int) -> [[Int]] {
      let pair = ThreadedPair(threads: threads, uplinks: uplinks)
      pair.run(for: .seconds(3))
      return pair.ends[0].events.compactMap {
        if case .uplinksUnnumbered(_, let limit, let peerThreads) = $0 { [limit, peerThreads] } else { nil }
      }
    }
    #expect(told([8, 8], 3) == [])
    #expect(told([8, 8], 4) == [[3, 8]])
    #expect(told([5, 8], 4) == [])
    #expect(told([5, 8], 5) == [[4, 8]])
  }

  @Test("each side knows what the other thinks that its direction carries")
  func capacities() {
    let pair = ThreadedPair(threads: [2, 2], uplinks: 2) { side, settings in
      guard side == 0 else { return }
      settings.uplinks[0].rateUp = 8_000_000
      settings.uplinks[1].rateDown = 3_000_000
    }
    pair.run(for: .seconds(1))
    exchange(pair, count: 200)
    var tellers = 0
    for side in 0..<2 {
      for shard in 0..<2 {
        let mine = pair.ends[side].engines[shard].snapshot()[0].paths.filter { $0.line != nil }
        let theirs = pair.ends[1 - side].engines[shard].snapshot()[0].paths.filter { $0.line != nil }
        #expect(mine.count == 2)
        for path in mine {
          guard let other = theirs.first(where: { $0.sender.id == path.sender.id }) else {
            Issue.record("no path \(path.sender.id)")
            continue
          }
          #expect(other.line?.number == path.line?.number)
          #expect(other.line?.isOurs != path.line?.isOurs)
          #expect(path.remoteCapacity == other.knownCapacity * 8)
          tellers += other.knownCapacity > 0 ? 1 : 0
        }
      }
    }
    #expect(tellers == 4, "one path of each thread and side has a rate")
  }

  @Test("a replayed datagram is refused on whatever thread it comes in")
  func oneWindowForAPath() {
    let pair = ThreadedPair(threads: [2, 2], uplinks: 2)
    pair.run(for: .seconds(2))
    for end in pair.ends {
      var masks: [UInt32: [UInt64]] = [:]
      for engine in end.engines {
        guard let session = engine.peers[ThreadedPair.peer]?.current else { continue }
        masks[session.keys.localIndex, default: []].append(session.ownedPaths)
      }
      #expect(masks.count == 1)
      for list in masks.values {
        #expect(list.count == 2)
        #expect(list.reduce(0, &) == 0, "two threads would open the same path")
        #expect(list.reduce(0, |) == .max)
      }
    }
  }
}
