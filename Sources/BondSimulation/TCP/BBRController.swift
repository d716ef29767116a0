internal import CausewayBase

/// BBR version 1 as Linux has it (Cardwell et al., ACM Queue 2016; net/ipv4/tcp_bbr.c): models the path by the largest delivery rate of
/// ten round trips and the least round trip of ten seconds, and paces. Without its detection of policers. Times in nanoseconds, windows
/// in segments, rates in segments a nanosecond.
struct BBRController {
  enum Mode { case startup, drain, probeBandwidth, probeRoundTrip }

  /// One acknowledgement's delivery rate (tcp_rate.c).
  struct RateSample {
    /// Segments delivered while the newest acknowledged one was under way; negative: no sample.
    var delivered = -1
    var interval: UInt64 = 0
    /// The connection's delivered count when that one was sent.
    var priorDelivered: UInt64 = 0
    var isApplicationLimited = false
    var roundTrip: UInt64?
    var acknowledged = 0
    var losses = 0
    var inFlight = 0
    var priorInFlight = 0
    var deliveredTotal: UInt64 = 0
  }

  static let highGain = 2885.0 / 1000 + 1.0 / 256
  static let drainGain = 1000.0 / 2885
  static let windowGain = 2.0
  static let cycle = [1.25, 0.75, 1, 1, 1, 1, 1, 1]
  static let minimumWindow = 4
  static let bandwidthRounds: UInt64 = 10
  static let minimumWindowTime: UInt64 = 10_000_000_000
  static let probeTime: UInt64 = 200_000_000
  static let pacingMargin = 0.99

  private(set) var window = CubicController.initialWindow
  private(set) var mode = Mode.startup
  private(set) var pacingRate = 0.0
  private var pacingGain = Self.highGain
  private var windowGainNow = Self.highGain
  private var maximum = WindowedMaximum()
  private var roundCount: UInt64 = 0
  private var nextRoundDelivered: UInt64 = 0
  private var isRoundStart = false
  private var leastRoundTrip = UInt64.max
  private var leastStamp: UInt64 = 0
  private var fullBandwidth = 0.0
  private var fullBandwidthCount = 0
  private var isFull = false
  private var cycleIndex = 0
  private var cycleStart: UInt64 = 0
  private var probeDoneAt: UInt64 = 0
  private var isProbeRoundDone = false
  private var priorWindow = 0
  private var conservesPackets = false
  private var wasRecovering = false
  private var isIdleRestart = false
  // Aggregated acknowledgements
  private var extraAcknowledged = [0, 0]
  private var extraIndex = 0
  private var extraRounds = 0
  private var acknowledgementEpoch: UInt64 = 0
  private var epochAcknowledged = 0
  private var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  var bandwidth: Double { maximum.value }

  /// Segments sent at one moment: about a millisecond's worth, at least two.
  func burst(segmentByteCount: Int) -> Int {
    let bytes = pacingRate * Double(segmentByteCount) * 1e9 / 1024
    let room = leastRoundTrip == .max ? 64 : min(63, leastRoundTrip / 1000 >> 9)
    let extra = room < 16 ? Double(65_536 >> Int(room)) : 0
    return max(pacingRate * 1e9 * Double(segmentByteCount) < 150_000 ? 1 : 2, Int(min(65_000, bytes + extra)) / segmentByteCount)
  }

  mutating func start(roundTrip: UInt64, at now: UInt64) {
    pacingRate = Self.highGain * Double(window) / Double(max(1, roundTrip))
    (leastRoundTrip, leastStamp) = (roundTrip, now)
  }

  // MARK: Loss

  mutating func saveWindow() {
    priorWindow = wasRecovering || mode == .probeRoundTrip ? max(priorWindow, window) : window
  }

  mutating func timeOut(inFlight: Int) {
    saveWindow()
    wasRecovering = true
    fullBandwidth = 0
    isRoundStart = true
    window = max(1, inFlight + 1)
  }

  mutating func undo() {
    (fullBandwidth, fullBandwidthCount) = (0, 0)
    window = max(window, priorWindow)
  }

  mutating func restartFromIdle() { isIdleRestart = true }

  // MARK: Each acknowledgement

  mutating func update(_ sample: RateSample, isRecovering: Bool, segmentByteCount: Int, at now: UInt64) {
    updateBandwidth(sample, now)
    updateAggregation(sample, now)
    advanceCycle(sample, now)
    checkFull(sample)
    checkDrain(sample, now)
    updateRoundTrip(sample, now)
    let rate = Self.pacingMargin * pacingGain * bandwidth
    if bandwidth > 0, isFull || rate > pacingRate { pacingRate = rate }
    setWindow(sample, isRecovering, burst(segmentByteCount: segmentByteCount))
  }

  private mutating func updateBandwidth(_ sample: RateSample, _ now: UInt64) {
    isRoundStart = false
    guard sample.delivered >= 0, sample.interval > 0 else { return }
    if sample.priorDelivered >= nextRoundDelivered {
      nextRoundDelivered = sample.deliveredTotal
      roundCount += 1
      isRoundStart = true
      conservesPackets = false
    }
    let rate = Double(sample.delivered) / Double(sample.interval)
    if !sample.isApplicationLimited || rate >= bandwidth { maximum.update(rate, round: roundCount) }
  }

  private mutating func updateAggregation(_ sample: RateSample, _ now: UInt64) {
    guard sample.acknowledged > 0, sample.delivered >= 0, sample.interval > 0 else { return }
    if isRoundStart {
      extraRounds += 1
      if extraRounds >= 5 {
        extraRounds = 0
        extraIndex = 1 - extraIndex
        extraAcknowledged[extraIndex] = 0
      }
    }
    var expected = bandwidth * Double(now - acknowledgementEpoch)
    if Double(epochAcknowledged) <= expected || epochAcknowledged + sample.acknowledged >= 1 << 20 {
      epochAcknowledged = 0
      acknowledgementEpoch = now
      expected = 0
    }
    epochAcknowledged += sample.acknowledged
    let extra = min(window, epochAcknowledged - Int(expected))
    extraAcknowledged[extraIndex] = max(extraAcknowledged[extraIndex], extra)
  }

  private func delayProduct(_ gain: Double) -> Int {
    leastRoundTrip == .max ? CubicController.initialWindow : Int((bandwidth * Double(leastRoundTrip) * gain).rounded(.up))
  }

  private func target(_ gain: Double, _ burst: Int) -> Int {
    var target = delayProduct(gain) + 3 * burst
    target = (target + 1) & ~1
    if mode == .probeBandwidth && cycleIndex == 0 { target += 2 }
    return target
  }

  private mutating func advanceCycle(_ sample: RateSample, _ now: UInt64) {
    guard mode == .probeBandwidth else { return }
    let isLong = now - cycleStart > leastRoundTrip
    let isDone: Bool
    if pacingGain == 1 {
      isDone = isLong
    } else if pacingGain > 1 {
      isDone = isLong && (sample.losses > 0 || sample.priorInFlight >= target(pacingGain, 2))
    } else {
      isDone = isLong || sample.priorInFlight <= target(1, 2)
    }
    if isDone { setCycle((cycleIndex + 1) % Self.cycle.count, now) }
  }

  private mutating func setCycle(_ index: Int, _ now: UInt64) {
    (cycleIndex, cycleStart, pacingGain) = (index, now, Self.cycle[index])
  }

  private mutating func probeBandwidth(_ now: UInt64) {
    mode = .probeBandwidth
    windowGainNow = Self.windowGain
    // Any phase but the one that drains.
    setCycle((8 - Int(random.next() % 7)) % 8, now)
  }

  private mutating func checkFull(_ sample: RateSample) {
    if isFull || !isRoundStart || sample.isApplicationLimited { return }
    if bandwidth >= fullBandwidth * 1.25 {
      (fullBandwidth, fullBandwidthCount) = (bandwidth, 0)
      return
    }
    fullBandwidthCount += 1
    isFull = fullBandwidthCount >= 3
  }

  private mutating func checkDrain(_ sample: RateSample, _ now: UInt64) {
    if mode == .startup && isFull {
      (mode, pacingGain, windowGainNow) = (.drain, Self.drainGain, Self.highGain)
    }
    if mode == .drain && sample.inFlight <= target(1, 2) { probeBandwidth(now) }
  }

  private mutating func updateRoundTrip(_ sample: RateSample, _ now: UInt64) {
    let isOld = now > leastStamp + Self.minimumWindowTime
    if let roundTrip = sample.roundTrip, roundTrip <= leastRoundTrip || isOld {
      (leastRoundTrip, leastStamp) = (roundTrip, now)
    }
    if isOld && !isIdleRestart && mode != .probeRoundTrip {
      saveWindow()
      (mode, pacingGain, windowGainNow, probeDoneAt) = (.probeRoundTrip, 1, 1, 0)
    }
    if mode == .probeRoundTrip {
      if probeDoneAt == 0 && sample.inFlight <= Self.minimumWindow {
        (probeDoneAt, isProbeRoundDone) = (now + Self.probeTime, false)
        nextRoundDelivered = sample.deliveredTotal
      } else if probeDoneAt > 0 {
        if isRoundStart { isProbeRoundDone = true }
        if isProbeRoundDone && now > probeDoneAt {
          leastStamp = now
          window = max(window, priorWindow)
          if isFull {
            probeBandwidth(now)
          } else {
            (mode, pacingGain, windowGainNow) = (.startup, Self.highGain, Self.highGain)
          }
        }
      }
    }
    if sample.delivered > 0 { isIdleRestart = false }
  }

  private mutating func setWindow(_ sample: RateSample, _ isRecovering: Bool, _ burst: Int) {
    var next = window
    if sample.acknowledged > 0 {
      if sample.losses > 0 { next = max(1, next - sample.losses) }
      if isRecovering && !wasRecovering {
        conservesPackets = true
        nextRoundDelivered = sample.deliveredTotal
        next = sample.inFlight + sample.acknowledged
      } else if wasRecovering && !isRecovering {
        next = max(next, priorWindow)
        conservesPackets = false
      }
      wasRecovering = isRecovering
      if conservesPackets {
        next = max(next, sample.inFlight + sample.acknowledged)
      } else {
        var target = delayProduct(windowGainNow)
        if isFull { target += min(Int(bandwidth * 100_000_000), max(extraAcknowledged[0], extraAcknowledged[1])) }
        target = (target + 3 * burst + 1) & ~1
        if mode == .probeBandwidth && cycleIndex == 0 { target += 2 }
        if isFull {
          next = min(next + sample.acknowledged, target)
        } else if next < target || sample.deliveredTotal < UInt64(CubicController.initialWindow) {
          next += sample.acknowledged
        }
        next = max(next, Self.minimumWindow)
      }
    }
    window = mode == .probeRoundTrip ? min(next, Self.minimumWindow) : next
  }
}

/// The largest of what was seen in the last ten rounds, kept as its three best candidates (Kathleen Nichols' algorithm, as in the kernel).
private struct WindowedMaximum {
  private var candidates: InlineArray<3, (round: UInt64, value: Double)> = .init(repeating: (0, 0))

  var value: Double { candidates[0].value }

  mutating func update(_ value: Double, round: UInt64) {
    let window = BBRController.bandwidthRounds
    let new = (round: round, value: value)
    if value >= candidates[0].value || round - candidates[2].round > window {
      for index in 0..<3 { candidates[index] = new }
      return
    }
    if value >= candidates[1].value {
      candidates[1] = new
      candidates[2] = new
    } else if value >= candidates[2].value {
      candidates[2] = new
    }
    let age = round - candidates[0].round
    if age > window {
      candidates[0] = candidates[1]
      candidates[1] = candidates[2]
      candidates[2] = new
      if round - candidates[0].round > window {
        candidates[0] = candidates[1]
        candidates[1] = candidates[2]
      }
    } else if candidates[1].round == candidates[0].round && age > window / 4 {
      candidates[1] = new
      candidates[2] = new
    } else if candidates[2].round == candidates[1].round && age > window / 2 {
      candidates[2] = new
    }
  }
}
