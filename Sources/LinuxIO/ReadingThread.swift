internal import CLinux
internal import Glibc
internal import Synchronization

/// A thread that reads pieces of other processes' memory for another thread, one at a time: a second core for a long copy.
// @unchecked Sendable: `piece` and `outcome` belong to the owner while the state is idle or done, and to the thread while it is given.
@safe package final class ReadingThread: @unchecked Sendable {
  /// What to read, as `ProcessMemory.read` takes it.
  @safe package struct Piece {
    var memory: ProcessMemory
    var address: UInt64
    var target: UnsafeMutableRawBufferPointer
    var wordAddress: UInt64
    var word: UInt64

    package init(_ memory: ProcessMemory, at address: UInt64, into target: UnsafeMutableRawBufferPointer, wordAddress: UInt64, word: UInt64)
    {
      self.memory = memory
      self.address = address
      unsafe self.target = unsafe target
      self.wordAddress = wordAddress
      self.word = word
    }

    package func read() -> ProcessMemory.Outcome {
      unsafe memory.read(at: address, into: target, wordAddress: wordAddress, word: word)
    }
  }

  private enum State: UInt8, AtomicRepresentable { case idle, given, done, over }

  private static let patience: UInt64 = 300_000  // nanoseconds

  private let state = Atomic<State>(.idle)
  private let gate = Gate()
  private var piece: Piece?
  private var outcome = ProcessMemory.Outcome.gone
  private var thread: Thread?

  package init(name: String) throws(SystemError) {
    thread = try Thread(name: name) { [unowned self] in run() }
  }

  /// Ends the thread; a piece under way is read to its end first. Before the last reference goes.
  package func stop() {
    guard let thread else { return }
    _ = wait()
    change(to: .over)
    thread.join()
    self.thread = nil
  }

  package var isIdle: Bool { state.load(ordering: .relaxed) == .idle }

  /// To an idle thread. The memory stays until the outcome was taken.
  package func give(_ piece: Piece) {
    self.piece = piece
    change(to: .given)
  }

  /// The last piece's outcome, once; nil while it is being read, or without one.
  package func takeOutcome() -> ProcessMemory.Outcome? {
    guard state.load(ordering: .acquiring) == .done else { return nil }
    piece = nil
    state.store(.idle, ordering: .relaxed)
    return outcome
  }

  /// Waits for the outcome: as long as a piece takes.
  package func wait() -> ProcessMemory.Outcome? {
    while state.load(ordering: .acquiring) == .given { sched_yield() }
    return takeOutcome()
  }

  private func change(to new: State) {
    gate.withLock {
      state.store(new, ordering: .releasing)
      gate.wakeOne()
    }
  }

  private func run() {
    while true {
      awaitChange()
      guard state.load(ordering: .acquiring) == .given, let piece else { return }
      outcome = piece.read()
      state.store(.done, ordering: .releasing)
    }
  }

  /// The next piece mostly comes before a sleep would pay.
  private func awaitChange() {
    let end = shim_monotonic_ns() + Self.patience
    while !hasChanged && shim_monotonic_ns() < end { sched_yield() }
    gate.withLock { while !hasChanged { _ = gate.wait() } }
  }

  private var hasChanged: Bool {
    let state = state.load(ordering: .acquiring)
    return state == .given || state == .over
  }
}
