internal import CUCX
internal import Synchronization

/// Whether there are more threads than cores, as those that drive while they wait find out: one that spins and is pushed off its core
/// took it from somebody, perhaps the very peer that it waits for. Then nobody spins for a while, each time longer. Threads bound to one
/// core are not pushed off it by a peer that they wait for: there it counts that a spin was in vain.
final class Crowd: Sendable {
  private static let shortest: UInt64 = 5_000_000
  private static let longest: UInt64 = 320_000_000
  private static let longestInVain: UInt64 = 40_000_000

  private let until = Atomic<UInt64>(0)
  private let pause = Atomic<UInt64>(0)

  /// Somebody was pushed off.
  func note(_ now: UInt64) { rest(now, Self.longest) }

  /// Somebody spun as long as one may, and nothing came.
  func noteVain(_ now: UInt64) { if cucx_core_count() == 1 { rest(now, Self.longestInVain) } }

  private func rest(_ now: UInt64, _ longest: UInt64) {
    let last = until.load(ordering: .relaxed)
    // Not long after the last time: the crowd is still there.
    let length = now < last &+ Self.longest ? min(longest, 2 * pause.load(ordering: .relaxed)) : Self.shortest
    pause.store(max(Self.shortest, length), ordering: .relaxed)
    until.store(now &+ max(Self.shortest, length), ordering: .relaxed)
  }

  /// How long one may spin now, of `budget`.
  func budget(_ budget: UInt64, _ now: UInt64) -> UInt64 { now < until.load(ordering: .relaxed) ? 0 : budget }
}
