import CausewayPaths
internal import Synchronization

/// The rate of each uplink of a peer, shared by the packet threads: what a user fixed holds for all of them together, and a flow on one
/// thread may have all of it. Of what is learned, threads that would send more get equal parts. Each thread writes what it sends, reads what the others write, and takes its part; all come to the same
/// division. No lock, and nothing for a packet: each thread looks every few milliseconds while it sends.
public final class SharedRates: Sendable {
  public static let threadLimit = 8
  /// Our uplinks, then the peer's.
  static let placeLimit = 2 * PathNumbering.limit

  private let claims = InlineArray<496, Atomic<UInt64>> { _ in Atomic(0) }

  public init() {
    assert(Self.placeLimit * Self.threadLimit == 496, "a claim for each place and thread")
  }

  func write(_ claim: RateClaim, place: Int, thread: Int) {
    claims[place * Self.threadLimit + thread].store(claim.rawValue, ordering: .relaxed)
  }

  /// What all threads send, and how many would send more.
  func sum(place: Int, threads: Int) -> (bytesPerSecond: UInt64, hungryCount: Int) {
    var (bytes, hungry) = (UInt64(0), 0)
    for index in 0..<min(threads, Self.threadLimit) {
      let claim = RateClaim(rawValue: claims[place * Self.threadLimit + index].load(ordering: .relaxed))
      bytes &+= claim.bytesPerSecond
      hungry += claim.isHungry ? 1 : 0
    }
    return (bytes, hungry)
  }

  /// A thread's part of `rate`, by what all of them claim.
  func part(of rate: UInt64, place: Int, thread: Int, threads: Int) -> UInt64 {
    var list = InlineArray<8, RateClaim>(repeating: .none)
    for index in 0..<min(threads, Self.threadLimit) {
      list[index] = RateClaim(rawValue: claims[place * Self.threadLimit + index].load(ordering: .relaxed))
    }
    return RateDivision.part(of: rate, list, thread: thread, threads: threads)
  }
}

/// What one thread sends on an uplink, in bytes per second, and whether that is all it may: then it would send more.
struct RateClaim: RawRepresentable, Equatable, BitwiseCopyable {
  var rawValue: UInt64
  init(rawValue: UInt64) { self.rawValue = rawValue }
  init(bytesPerSecond: UInt64, isHungry: Bool) { rawValue = bytesPerSecond << 1 | (isHungry ? 1 : 0) }
  static let none = RateClaim(rawValue: 0)

  var bytesPerSecond: UInt64 { rawValue >> 1 }
  var isHungry: Bool { rawValue & 1 != 0 }

  /// This share of its part makes a thread hungry.
  static let hungryPercent: UInt64 = 85
}

/// Max-min fairness: who needs little gets half more than that, the others share the rest equally.
enum RateDivision {
  /// - Returns: All parts together are `rate`, but for threads that sent nothing lately: they may begin with a little before the others
  ///   have made room.
  static func part(of rate: UInt64, _ claims: InlineArray<8, RateClaim>, thread: Int, threads: Int) -> UInt64 {
    let own = claims[thread]
    let least = max(1, rate / UInt64(2 * threads))
    var (rest, open) = (rate, 0)
    var isOpen: UInt8 = 0
    for index in 0..<threads where claims[index] != .none {
      isOpen |= 1 << UInt8(index)
      open += 1
    }
    guard open > 0 else { return max(least, rate / UInt64(threads)) }
    // Satisfies the modest ones until who is left would take more than an equal part.
    var isSettled = false
    while !isSettled, open > 0 {
      isSettled = true
      let equal = rest / UInt64(open)
      for index in 0..<threads where isOpen & (1 << UInt8(index)) != 0 {
        let wish = wish(claims[index])
        guard wish < equal else { continue }
        isOpen &= ~(1 << UInt8(index))
        open -= 1
        rest -= min(rest, wish)
        isSettled = false
      }
    }
    if open > 0 {
      if isOpen & (1 << UInt8(thread)) != 0 { return max(least, rest / UInt64(open)) }
      return max(least, own == .none ? 0 : wish(own))
    }
    return max(least, (own == .none ? 0 : wish(own)) + rest / UInt64(threads))
  }

  private static func wish(_ claim: RateClaim) -> UInt64 {
    claim.isHungry ? .max : claim.bytesPerSecond &+ claim.bytesPerSecond / 2
  }
}
