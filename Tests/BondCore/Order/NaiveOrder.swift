@testable import CausewayBondCore

/// What a ReorderBuffer must do, written for clarity: numbers of 64 bits that never wrap, sets and sorted arrays.
struct NaiveOrder {
  struct Packet {
    var sequence: Int
    var previous: Int
    var bucket: Int
    var isUnordered: Bool
  }

  private struct Held {
    var packet: Packet
    var arrival: UInt64
    var place: Int
  }

  private var seen = Set<Int>()
  private var highest = 0
  private var released: [Int: Int] = [:]
  private var held: [Held] = []
  private var arrivals = 0
  var holdLimit: UInt64
  var memoryLimit = Int.max
  /// Everything delivered, in order.
  private(set) var delivered: [Int] = []

  init(holdLimit: UInt64) { self.holdLimit = holdLimit }

  mutating func receive(_ packet: Packet, at now: UInt64) -> ReorderBuffer.Verdict {
    if packet.sequence <= highest - 65_472 || !seen.insert(packet.sequence).inserted { return .duplicate }
    highest = max(highest, packet.sequence)
    let last = released[packet.bucket] ?? 0
    if packet.isUnordered {
      delivered.append(packet.sequence)
      return .deliver
    }
    if packet.sequence <= last {
      delivered.append(packet.sequence)
      return .late
    }
    let isBehindHeld = held.contains { $0.packet.bucket == packet.bucket && $0.packet.sequence < packet.sequence }
    if packet.sequence - packet.previous <= last || packet.previous == 0 && !isBehindHeld {
      delivered.append(packet.sequence)
      released[packet.bucket] = packet.sequence
      follow(packet.bucket)
      return .deliver
    }
    held.append(Held(packet: packet, arrival: now, place: arrivals))
    arrivals += 1
    if packet.previous == 0 { give(upTo: packet.sequence, of: packet.bucket) }
    while held.count > memoryLimit { giveOldest() }
    return .hold
  }

  mutating func skip(_ bucket: Int, upTo sequence: Int) {
    guard sequence > released[bucket] ?? 0 else { return }
    give(upTo: sequence, of: bucket)
    released[bucket] = max(sequence, released[bucket] ?? 0)
    follow(bucket)
  }

  mutating func advance(to now: UInt64) {
    while let oldest = held.min(by: { $0.place < $1.place }), now >= oldest.arrival + holdLimit { giveOldest() }
  }

  private mutating func giveOldest() {
    guard let oldest = held.min(by: { $0.place < $1.place }) else { return }
    give(upTo: oldest.packet.sequence, of: oldest.packet.bucket)
  }

  private mutating func give(upTo sequence: Int, of bucket: Int) {
    while let i = first(of: bucket), held[i].packet.sequence <= sequence { release(i) }
    follow(bucket)
  }

  private mutating func follow(_ bucket: Int) {
    while let i = first(of: bucket), held[i].packet.sequence - held[i].packet.previous <= released[bucket] ?? 0 { release(i) }
  }

  private func first(of bucket: Int) -> Int? {
    held.indices.filter { held[$0].packet.bucket == bucket }.min { held[$0].packet.sequence < held[$1].packet.sequence }
  }

  private mutating func release(_ index: Int) {
    let packet = held.remove(at: index).packet
    delivered.append(packet.sequence)
    released[packet.bucket] = max(packet.sequence, released[packet.bucket] ?? 0)
  }
}
