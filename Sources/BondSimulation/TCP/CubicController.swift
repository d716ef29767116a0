/// CUBIC with HyStart as Linux has it (RFC 9438, net/ipv4/tcp_cubic.c): how the congestion window grows, and what is left of it after a
/// loss. Times in nanoseconds, windows in segments.
struct CubicController {
  static let beta = 717.0 / 1024
  /// Segments per second cubed.
  static let scaling = 0.4
  static let initialWindow = 10

  private(set) var window = Self.initialWindow
  private(set) var slowStartThreshold = Int.max
  private var windowCredit = 0
  // CUBIC
  private var lastMaximum = 0
  private var origin = 0.0
  private var timeToOrigin = 0.0
  private var epochStart: UInt64 = 0
  private var acknowledgedInEpoch = 0
  private var renoWindow = 0
  private var leastDelay: UInt64 = 0
  // HyStart
  private var roundStart: UInt64 = 0
  private var lastAcknowledgement: UInt64 = 0
  private var roundEnd: UInt64 = 0
  private var leastDelayOfRound = UInt64.max
  private var sampleCount = 0

  static let hystartLowWindow = 16
  static let hystartSamples = 8

  init() {}

  var isInSlowStart: Bool { window < slowStartThreshold }

  mutating func setWindow(_ segments: Int) { window = max(1, segments) }

  /// The window to fall to after a loss; remembers where it was.
  mutating func reduce() {
    epochStart = 0
    lastMaximum = window < lastMaximum ? Int(Double(window) * (1 + Self.beta) / 2) : window
    slowStartThreshold = max(2, Int(Double(window) * Self.beta))
  }

  /// After a retransmission time-out nothing of the curve is left.
  mutating func forgetCurve() {
    lastMaximum = 0
    epochStart = 0
    leastDelay = 0
    (origin, timeToOrigin) = (0, 0)
  }

  /// What `reduce` did was for nothing.
  mutating func undo(window: Int, threshold: Int) {
    self.window = max(self.window, window)
    slowStartThreshold = max(slowStartThreshold, threshold)
  }

  mutating func leaveSlowStart() { slowStartThreshold = window }

  // MARK: Growth

  /// - Parameter segments: newly acknowledged ones, while the window was the limit.
  mutating func grow(by segments: Int, at now: UInt64) {
    var segments = segments
    if isInSlowStart {
      let room = slowStartThreshold == .max ? segments : min(segments, slowStartThreshold - window)
      window += room
      segments -= room
    }
    if segments > 0 { avoidCongestion(segments, segmentsPerStep(segments, now)) }
  }

  private mutating func avoidCongestion(_ segments: Int, _ perStep: Int) {
    if windowCredit >= perStep {
      windowCredit = 0
      window += 1
    }
    windowCredit += segments
    if windowCredit >= perStep {
      window += windowCredit / perStep
      windowCredit %= perStep
    }
  }

  /// After how many acknowledged segments the window grows by one.
  private mutating func segmentsPerStep(_ segments: Int, _ now: UInt64) -> Int {
    acknowledgedInEpoch += segments
    if epochStart == 0 {
      epochStart = max(1, now)
      acknowledgedInEpoch = segments
      renoWindow = window
      if lastMaximum <= window {
        (timeToOrigin, origin) = (0, Double(window))
      } else {
        origin = Double(lastMaximum)
        timeToOrigin = cubeRoot((origin - Double(window)) / Self.scaling)
      }
    }
    let offset = Double(now &+ leastDelay &- epochStart) * 1e-9 - timeToOrigin
    let target = origin + Self.scaling * offset * offset * offset
    var count = target > Double(window) ? Double(window) / (target - Double(window)) : 100 * Double(window)
    if lastMaximum == 0 { count = min(count, 20) }
    // Never slower than Reno would be.
    let renoStep = max(1, window * 15 / 8)
    while acknowledgedInEpoch > renoStep {
      acknowledgedInEpoch -= renoStep
      renoWindow += 1
    }
    if renoWindow > window { count = min(count, Double(window) / Double(renoWindow - window)) }
    return max(2, Int(min(count, 1e9)))
  }

  private func cubeRoot(_ value: Double) -> Double {
    if value <= 0 { return 0 }
    // Newton from above the root; a dozen steps are plenty for windows.
    var root = max(1, value)
    while true {
      let next = (2 * root + value / (root * root)) / 3
      if root - next < 1e-9 * root { return next }
      root = next
    }
  }

  // MARK: HyStart

  /// - Parameters:
  ///   - delay: round trip of the newest acknowledged segment that was sent once.
  ///   - acknowledged, sent: sequence positions, to tell rounds.
  mutating func sample(delay: UInt64, acknowledged: UInt64, sent: UInt64, at now: UInt64) {
    // The first second after a reduction says little about the empty path.
    if epochStart != 0 && now &- epochStart < 1_000_000_000 { return }
    if leastDelay == 0 || delay < leastDelay { leastDelay = max(1, delay) }
    guard isInSlowStart, window >= Self.hystartLowWindow else { return }
    if acknowledged > roundEnd || roundStart == 0 {
      (roundStart, lastAcknowledgement, roundEnd) = (now, now, sent)
      (leastDelayOfRound, sampleCount) = (.max, 0)
    }
    if now &- lastAcknowledgement <= 2_000_000 {
      lastAcknowledgement = now
      // The train's bound; half of it because nothing paces.
      if now &- roundStart > (leastDelay + 1_000_000) / 2 {
        leaveSlowStart()
        return
      }
    }
    leastDelayOfRound = min(leastDelayOfRound, delay)
    if sampleCount < Self.hystartSamples {
      sampleCount += 1
    } else if leastDelayOfRound > leastDelay + min(16_000_000, max(4_000_000, leastDelay / 8)) {
      leaveSlowStart()
    }
  }
}
