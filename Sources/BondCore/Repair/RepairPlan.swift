/// How packets are protected by parity: `parityCount` REPAIR frames for every `memberCount` packets, `depth` groups interleaved.
package struct RepairPlan: Equatable, Sendable {
  package var memberCount: Int
  package var parityCount: Int
  /// Neighbouring packets go to different groups, so that a burst of `depth * parityCount` losses can be mended.
  package var depth: Int
  /// A group is closed this long after its first packet, in nanoseconds, full or not.
  package var span: UInt64

  package init(memberCount: Int, parityCount: Int, depth: Int = 1, span: UInt64) {
    self.depth = max(1, min(RepairEncoder.depthLimit, depth))
    self.memberCount = max(1, min(RepairHeader.spanLimit / self.depth, memberCount))
    self.parityCount = max(1, min(RepairHeader.parityLimit, parityCount))
    self.span = span
  }

  package var overhead: Double { Double(parityCount) / Double(memberCount) }
}

/// Decides whether parity pays on a path, and how much of it.
///
/// A resend costs what was lost; parity costs always. So parity only where a resend comes too late, and where there is loss: never on a
/// path without. The measure is the share of packets that stay lost; among the plans that are good enough the cheapest is taken, in
/// bytes and in delay, and when none is, the best.
package enum RepairPolicy {
  package struct Situation: Equatable, Sendable {
    /// Share of packets lost in this direction, as measured over the last seconds, 0...1.
    package var loss: Double
    /// Losses in a row, on average; 1 when they come alone.
    package var burst: Double
    /// Nanoseconds.
    package var smoothedRoundTrip: UInt64
    package var roundTripVariation: UInt64
    package var minimumRoundTrip: UInt64
    /// What is sent on the path.
    package var packetsPerSecond: Double
    /// Share of the sequence space that goes over this path: groups span 64 sequences at most.
    package var share: Double
    /// Whether a plan is in force: it takes less to stay than to begin.
    package var isActive: Bool

    package init(
      loss: Double, burst: Double = 1, smoothedRoundTrip: UInt64, roundTripVariation: UInt64, minimumRoundTrip: UInt64,
      packetsPerSecond: Double, share: Double = 1, isActive: Bool = false
    ) {
      self.loss = loss
      self.burst = burst
      self.smoothedRoundTrip = smoothedRoundTrip
      self.roundTripVariation = roundTripVariation
      self.minimumRoundTrip = minimumRoundTrip
      self.packetsPerSecond = packetsPerSecond
      self.share = share
      self.isActive = isActive
    }
  }

  /// Loss from which parity begins, and below which it ends.
  package static let lossToBegin = 0.001
  package static let lossToEnd = 0.0005
  /// Bytes of parity for each byte of data, as planned. The encoder's own limit is `RepairEncoder.overheadLimit`.
  package static let overheadLimit = 0.14
  /// The longest a group may take to fill, which is also the longest a mended packet is late: half the round trip within these bounds,
  /// nanoseconds. On a path of 600 ms being 300 ms late is still better than being lost.
  package static let spanFloor: UInt64 = ResendRule.deadline
  package static let spanCap: UInt64 = 400_000_000
  /// What parity should at least divide the loss by.
  package static let reduction = 50.0
  /// Waiting 100 ms for a group is worth 5 % of overhead.
  private static let overheadPerSecond = 0.5

  package static func plan(for situation: Situation) -> RepairPlan? {
    guard situation.loss >= (situation.isActive ? lossToEnd : lossToBegin), situation.packetsPerSecond > 0 else { return nil }
    guard
      !ResendRule.isInTime(
        smoothedRoundTrip: situation.smoothedRoundTrip, variation: situation.roundTripVariation, minimum: situation.minimumRoundTrip)
    else { return nil }
    let spanLimit = max(spanFloor, min(spanCap, situation.smoothedRoundTrip / 2))
    let reach = Int(Double(RepairHeader.spanLimit) * max(0.05, min(1, situation.share)))
    let longest = min(reach, Int(min(1e6, situation.packetsPerSecond * Double(spanLimit) / 1e9)))
    var best: (plan: RepairPlan, cost: Double, isGood: Bool, residual: Double)?
    for parities in 1...RepairHeader.parityLimit {
      let shortest = Int((Double(parities) / overheadLimit).rounded(.up))
      for depth in 1...RepairEncoder.depthLimit {
        for members in stride(from: shortest, through: longest / depth, by: parities) {
          let residual = residual(loss: situation.loss, burst: situation.burst, members: members, parities: parities, depth: depth)
          let span = Double(members * depth) / situation.packetsPerSecond
          let cost = Double(parities) / Double(members) + span * overheadPerSecond
          let isGood = residual * reduction <= situation.loss
          let isBetter =
            best.map { best in isGood == best.isGood ? (isGood ? cost < best.cost : residual < best.residual) : isGood } ?? true
          guard isBetter else { continue }
          // Traffic is not even: a group may take half as long again before it is closed unfilled.
          best = (RepairPlan(memberCount: members, parityCount: parities, depth: depth, span: spanLimit * 3 / 2), cost, isGood, residual)
        }
      }
    }
    return best?.plan
  }

  /// The share of packets that stay lost: of groups with more losses than parities, the part lost. Losses come in bursts of a geometric
  /// length (Gilbert's model); neighbours in a group are `depth` packets apart.
  package static func residual(loss: Double, burst: Double = 1, members: Int, parities: Int, depth: Int = 1) -> Double {
    guard loss > 0, loss < 1 else { return max(0, min(1, loss)) }
    // Losses in a row by chance alone are 1 / (1 - loss) long; the correlation of neighbours follows from what is more.
    let length = max(1 / (1 - loss), min(64, burst))
    let correlation = 1 - 1 / length - loss / (1 - loss) / length
    var far = 1.0
    for _ in 0..<depth { far *= max(0, correlation) }
    let afterLost = loss + (1 - loss) * far
    let afterGood = loss * (1 - far)
    // Probabilities of 0...parities losses so far, the last packet lost or not.
    var lost = InlineArray<4, Double>(repeating: 0)
    var good = InlineArray<4, Double>(repeating: 0)
    let count = members + parities
    good[0] = 1 - loss
    lost[1] = loss
    for _ in 1..<count {
      for n in stride(from: parities, through: 0, by: -1) {
        let arrived = good[n] * (1 - afterGood) + lost[n] * (1 - afterLost)
        lost[n] = n == 0 ? 0 : good[n - 1] * afterGood + lost[n - 1] * afterLost
        good[n] = arrived
      }
    }
    var mended = 0.0
    for n in 0...parities { mended += Double(n) * (good[n] + lost[n]) }
    return max(0, loss - mended / Double(count))
  }
}
