internal import Synchronization

/// Whether there are more threads than cores, as those that drive while they wait find out: one that spins and is pushed off its core
/// took it from somebody, perhaps the very peer that it waits for. Then nobody spins for a while, each time longer.
final class Crowd: Sendable {
  private static let shortest: UInt64 = 5_000_000
  private static let longest: UInt64 = 320_000_000

  private let until = Atomic<UInt64>(0)
  private let pause = Atomic<UInt64>(0)

  /// Somebody was pushed off.
  func note(_ now: UInt64) {
    let last = until.load(ordering: .relaxed)
    // Not long after the last time: the crowd is still there.
    let length = now < last &+ Self.longest ? min(Self.longest, 2 * pause.load(ordering: .relaxed)) : Self.shortest
    pause.store(max(Self.shortest, length), ordering: .relaxed)
    until.store(now &+ max(Self.shortest, length), ordering: .relaxed)
  }

  /// How long one may spin now, of `budget`.
  func budget(_ budget: UInt64, _ now: UInt64) -> UInt64 { now < until.load(ordering: .relaxed) ? 0 : budget }
}
