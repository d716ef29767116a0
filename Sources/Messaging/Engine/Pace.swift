internal import CUCX
internal import CausewayBase
internal import Glibc
internal import Synchronization

/// How an engine waits for work.
public enum ProgressMode: Equatable, Sendable {
  /// Looks for so long, then sleeps. The time shrinks to nothing by itself where spinning only takes the core from others.
  case adaptive(spin: Duration)
  /// Sleeps whenever there is nothing to do.
  case blocking
  /// Never sleeps, on a core of its own (nil: wherever the kernel puts it).
  case busy(core: Int?)
  /// No thread: the program calls `Engine.progress()`, and waits for `Engine.descriptor`.
  case manual

  /// `adaptive` with the usual 50 µs.
  public static let standard = ProgressMode.adaptive(spin: .microseconds(50))
}

/// The spin budget of an engine's thread. The owner of the driver's lock only.
final class Pace {
  let neverSleeps: Bool
  let isManual: Bool
  private let most: UInt64
  /// For ever, and ten times of it is a number.
  private static let longest: UInt64 = 1 << 60
  /// How long a thread that waits for a completion drives before it sleeps: longer than it takes to wake a peer that sleeps, or two that
  /// have fallen asleep would never find back to speed.
  var guestBudget: UInt64 { isManual || neverSleeps ? 500_000 : 10 * most }
  /// Nanoseconds without work before a sleep.
  // An atomic only because a field of a class is checked for exclusive access at each look.
  private let current: Atomic<UInt64>
  /// The cores that the thread may run on, and how often it was pushed off one.
  private let coreCount: () -> Int
  private let switchCount: () -> Int64
  /// On one core a spin is worth while only for somebody on another: few are tried, and seldom.
  private static let trials = 8
  private static let trialPause = 1024
  private static let window = 32
  private static let pause = 512

  private var involuntarySwitches: Int64 = 0
  /// Of the present window: spins that began, those that ended in a sleep, and those of them during which the thread was pushed off its core.
  private var spins = 0
  private var sleeps = 0
  private var disturbed = 0
  private var sleepsUntilCount = 0
  /// More than one core to run on.
  private var hasCores = true

  init(
    _ mode: ProgressMode, coreCount: @escaping () -> Int = { Int(cucx_core_count()) },
    switchCount: @escaping () -> Int64 = cucx_involuntary_switches
  ) {
    switch mode {
    case .adaptive(let spin):
      most = min(UInt64(max(0, spin.wholeNanoseconds)), Self.longest)
      neverSleeps = false
    case .blocking, .manual:
      most = 0
      neverSleeps = false
    case .busy:
      most = .max
      neverSleeps = true
    }
    isManual = mode == .manual
    current = Atomic(most)
    self.coreCount = coreCount
    self.switchCount = switchCount
  }

  @inline(__always) private(set) var budget: UInt64 {
    get { current.load(ordering: .relaxed) }
    set { current.store(newValue, ordering: .relaxed) }
  }

  /// There is nothing to do any more. What comes before the next sleep was worth the spin.
  func willSpin() { spins += 1 }

  /// Before each sleep. A thread that is pushed off its core while it spins in vain shares that core with somebody who has better use
  /// for it. With one core for all its threads it can't be told by that: there nothing comes while it spins unless a peer runs elsewhere.
  /// Judged over a window; without a budget it is tried again now and then.
  func willSleep() {
    guard most > 0, !neverSleeps else { return }
    if sleepsUntilCount == 0 {
      sleepsUntilCount = 256
      hasCores = coreCount() > 1
    }
    sleepsUntilCount -= 1
    sleeps += 1
    if budget == 0 {
      if sleeps >= (hasCores ? Self.pause : Self.trialPause) { reset(most) }
      return
    }
    let switches = switchCount()
    if switches != involuntarySwitches { disturbed += 1 }
    involuntarySwitches = switches
    guard sleeps >= (hasCores ? Self.window : Self.trials) else { return }
    let isWorthIt = disturbed * 2 <= sleeps && (hasCores || spins >= 2 * sleeps)
    reset(isWorthIt ? most : 0)
  }

  private func reset(_ budget: UInt64) {
    self.budget = budget
    spins = 0
    sleeps = 0
    disturbed = 0
    involuntarySwitches = switchCount()
  }
}
