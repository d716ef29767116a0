/// Somebody whom the loop polls and asks before it sleeps, because its events come by memory as well as by descriptor (a UCX worker).
/// All calls on the loop's thread.
public protocol LoopCompanion: AnyObject {
  /// At the start of each turn. It may stay inside while it finds something to do, or spins; it comes back as soon as the loop
  /// `hasWaitingWork`, and often enough for descriptors and timers.
  func poll() -> CompanionAnswer
  /// The loop is about to sleep. False when something came meanwhile: it looks without waiting.
  func willWait() -> Bool
  /// After each sleep, before anything else.
  func didWait()
}

/// How the loop goes on after a companion's poll.
public enum CompanionAnswer {
  /// Jobs and closures only: neither descriptors nor timers are looked at.
  case runWork
  /// A turn that does not wait.
  case look
  /// A turn that waits when it finds nothing.
  case wait
}
