public import CausewayBase

/// One direction of a link as pure state: says when a packet comes out, or that it is lost, and never holds one. So the same model
/// serves virtual time (`PacketLink`) and a relay between real interfaces. All chance is the caller's generator.
///
/// Order of events for a packet: blackhole, MTU, queue (tail drop), bottleneck, loss, damage, delay. A lost packet has used the
/// bottleneck, as on a wire.
public struct LinkModel: Sendable {
  public private(set) var parameters: LinkParameters
  public private(set) var statistics = Statistics()

  /// What happened so far, in packets; `carriedByteCount` without overhead.
  public struct Statistics: Equatable, Sendable {
    public var offered = 0
    public var carried = 0
    public var carriedByteCount = 0
    public var lost = 0
    public var overflowed = 0
    public var tooLong = 0
    public var blackholed = 0
    public var duplicated = 0
    public var reordered = 0
    public var corrupted = 0
    public var truncated = 0
    public var marked = 0
    /// The longest wait in the queue.
    public var longestWait = Duration.zero

    public init() {}
  }

  /// What becomes of a packet.
  public enum Fate: Equatable, Sendable {
    case carried
    case lost
    case overflowed
    case tooLong
    case blackholed
  }

  /// What becomes of one packet and when.
  public struct Admission: Equatable, Sendable {
    public var fate: Fate
    /// When it comes out; meaningless unless `carried`.
    public var arrival: Instant
    /// When its second copy comes out, if there is one.
    public var duplicateArrival: Instant?
    /// The bit to flip before handing it on: byte = value / 8, bit = value % 8.
    public var flippedBit: Int?
    /// Its length on arrival, where it is cut.
    public var truncatedByteCount: Int?
    /// It met a long queue: set CE if it is ECN-capable.
    public var isMarked = false

    init(_ fate: Fate, arrival: Instant = .zero) {
      self.fate = fate
      self.arrival = arrival
    }
  }

  // When everything admitted so far has left the bottleneck, in ns; behind `now` by at most the burst's worth.
  private var idleFrom: UInt64 = 0
  private var lastArrival: UInt64 = 0
  private var isInBadState = false
  // Parameters in ns, so that a packet costs no Duration arithmetic.
  private var delay: Int64
  private var jitter: UInt64
  private var reorderingDelay: UInt64
  private var burst: UInt64
  private var markingThreshold: UInt64

  public init(_ parameters: LinkParameters = LinkParameters()) {
    self.parameters = parameters
    delay = max(0, parameters.delay.wholeNanoseconds)
    jitter = UInt64(max(0, parameters.jitter.wholeNanoseconds))
    reorderingDelay = UInt64(max(0, parameters.reorderingDelay.wholeNanoseconds))
    burst = parameters.transmissionTime(parameters.burstByteCount)
    markingThreshold = parameters.markingThreshold.map { UInt64(max(0, $0.wholeNanoseconds)) } ?? .max
  }

  /// Takes new parameters from `now` on. Packets already admitted keep their arrival; what waits for the bottleneck delays later ones
  /// according to the new rate.
  public mutating func change(to new: LinkParameters, at now: Instant) {
    let waiting = queuedByteCount(at: now)
    let (statistics, lastArrival, isInBadState) = (statistics, lastArrival, isInBadState)
    self = LinkModel(new)
    self.statistics = statistics
    self.lastArrival = lastArrival
    self.isInBadState = isInBadState
    idleFrom = now.nanoseconds &+ new.transmissionTime(waiting)
  }

  /// Bytes that wait for the bottleneck, overhead included.
  public func queuedByteCount(at now: Instant) -> Int {
    guard idleFrom > now.nanoseconds, let bytesPerSecond = parameters.bytesPerSecond else { return 0 }
    return Int(Double(idleFrom - now.nanoseconds) * 1e-9 * Double(bytesPerSecond))
  }

  /// Puts a packet on the link.
  /// - Parameters:
  ///   - byteCount: >= 0, without overhead.
  ///   - now: not before that of the previous call.
  public mutating func admit<R: RandomNumberGenerator>(_ byteCount: Int, at now: Instant, using random: inout R) -> Admission {
    statistics.offered &+= 1
    // Always the same number of draws, so that changing one share does not shift the rest of a seed's chance.
    let chance = Chance(&random)
    if parameters.isBlackhole {
      statistics.blackholed &+= 1
      return Admission(.blackholed)
    }
    if byteCount > parameters.mtu {
      statistics.tooLong &+= 1
      return Admission(.tooLong)
    }
    let wireByteCount = byteCount &+ parameters.overheadByteCount
    var departure = now.nanoseconds
    var wait: UInt64 = 0
    if let bytesPerSecond = parameters.bytesPerSecond, bytesPerSecond > 0 {
      // The small tolerance keeps a queue of a whole number of packets from losing its last place to rounding.
      if queuedByteCount(at: now) &+ wireByteCount > parameters.queueByteCount &+ 1 {
        statistics.overflowed &+= 1
        return Admission(.overflowed)
      }
      let earliest = now.nanoseconds > burst ? now.nanoseconds &- burst : 0
      let start = max(idleFrom, earliest)
      wait = start > now.nanoseconds ? start &- now.nanoseconds : 0
      idleFrom = start &+ parameters.transmissionTime(wireByteCount)
      departure = max(now.nanoseconds, idleFrom)
      if wait > UInt64(statistics.longestWait.wholeNanoseconds) { statistics.longestWait = .nanoseconds(Int64(wait)) }
    }
    if isLost(chance) {
      statistics.lost &+= 1
      return Admission(.lost)
    }
    var travel = delay
    if jitter > 0 { travel = max(0, travel &- Int64(jitter) &+ Int64(Chance.index(chance.jitter, below: Int(2 &* jitter &+ 1)))) }
    var arrival = departure &+ UInt64(travel)
    if chance.reordering < parameters.reordering {
      arrival &+= reorderingDelay
      statistics.reordered &+= 1
    } else {
      if !parameters.jitterReorders { arrival = max(arrival, lastArrival) }
      lastArrival = arrival
    }
    var admission = Admission(.carried, arrival: Instant(nanoseconds: arrival))
    damage(&admission, byteCount, chance)
    if wait > markingThreshold {
      admission.isMarked = true
      statistics.marked &+= 1
    }
    if chance.duplication < parameters.duplication {
      admission.duplicateArrival = admission.arrival
      statistics.duplicated &+= 1
    }
    statistics.carried &+= 1
    statistics.carriedByteCount &+= byteCount
    return admission
  }

  private mutating func isLost(_ chance: borrowing Chance) -> Bool {
    switch parameters.loss {
    case .none: return false
    case .independent(let share): return chance.loss < share
    case .bursts(let chain):
      if isInBadState {
        if chance.state < chain.toGood { isInBadState = false }
      } else if chance.state < chain.toBad {
        isInBadState = true
      }
      return chance.loss < (isInBadState ? chain.lossInBad : chain.lossInGood)
    }
  }

  private mutating func damage(_ admission: inout Admission, _ byteCount: Int, _ chance: borrowing Chance) {
    guard byteCount > 0 else { return }
    if chance.corruption < parameters.corruption {
      admission.flippedBit = Chance.index(chance.place, below: byteCount * 8)
      statistics.corrupted &+= 1
    }
    if chance.truncation < parameters.truncation {
      admission.truncatedByteCount = Chance.index(chance.cut, below: byteCount)
      statistics.truncated &+= 1
    }
  }
}

/// The chance of one packet: numbers in 0..<1.
private struct Chance: ~Copyable {
  let loss, state, jitter, reordering, duplication, corruption, place, truncation, cut: Double

  init<R: RandomNumberGenerator>(_ random: inout R) {
    (loss, jitter, state) = (Self.unit(random.next()), Self.unit(random.next()), Self.unit(random.next()))
    // Rare events need no 53 bits: two of them share one draw.
    (reordering, duplication) = Self.pair(random.next())
    (corruption, truncation) = Self.pair(random.next())
    (place, cut) = Self.pair(random.next())
  }

  private static func unit(_ bits: UInt64) -> Double { Double(bits &>> 11) * 0x1p-53 }

  private static func pair(_ bits: UInt64) -> (Double, Double) {
    (Double(UInt32(truncatingIfNeeded: bits)) * 0x1p-32, Double(bits &>> 32) * 0x1p-32)
  }

  static func index(_ unit: Double, below count: Int) -> Int { min(count &- 1, Int(unit * Double(count))) }
}
