internal import CLinux
internal import Glibc

/// Signals that a program of ours listens to.
public enum Signal: Int32, Sendable, CaseIterable {
  case hangUp = 1
  case interrupt = 2
  case quit = 3
  case user1 = 10
  case user2 = 12
  case terminate = 15
  case childEnded = 17
  case windowChanged = 28
}

/// Delivers signals as events of a loop (signalfd(2)): handlers may do what they like.
public final class Signals: EventHandler {
  private let loop: EventLoop
  private let received: (Signal) -> Void
  private var descriptor: CInt
  private var registration: EventLoop.Registration?

  /// Blocks ordinary delivery in the calling thread and in those it starts later: at the start of `main`, before any thread, for
  /// every signal that will be listened to. A program started from here inherits the mask.
  public static func block(_ signals: [Signal]) throws(SystemError) {
    var numbers = signals.map(\.rawValue)
    // SAFETY: the array outlives the call.
    try SystemError.check(unsafe Int(shim_block_signals(&numbers, CInt(numbers.count))), "pthread_sigmask")
  }

  /// Writing to a closed pipe or socket fails with EPIPE and no longer kills the process.
  public static func ignoreBrokenPipe() { shim_ignore_signal(SIGPIPE) }

  /// `received` runs on the loop. Signals of one kind that arrive together are one call.
  public init(_ signals: [Signal], on loop: EventLoop, _ received: @escaping (Signal) -> Void) throws(SystemError) {
    var numbers = signals.map(\.rawValue)
    // SAFETY: the array outlives the call.
    descriptor = CInt(try SystemError.check(unsafe Int(shim_signal_descriptor(&numbers, CInt(numbers.count))), "signalfd"))
    self.loop = loop
    self.received = received
    registration = try loop.register(descriptor, self, levelTriggered: true)
  }

  deinit {
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
  }

  public func handle(_ readiness: Readiness) {
    while descriptor >= 0 {
      let number = shim_next_signal(descriptor)
      if number <= 0 { return }
      if let signal = Signal(rawValue: number) { received(signal) }
    }
  }

  /// Stops listening; the signals stay blocked.
  public func close() {
    guard descriptor >= 0 else { return }
    if let registration { loop.deregister(registration) }
    registration = nil
    _ = Glibc.close(descriptor)
    descriptor = -1
  }
}
