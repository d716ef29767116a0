internal import CLinux
internal import Glibc
internal import Synchronization

/// Ends of operations for one consumer thread: a ring of fixed entries, and a descriptor that becomes readable once for a batch, and
/// only while the consumer sleeps.
// @unchecked Sendable: entries[taken..<filled] belong to the consumer, the others to the owner of the driver's lock.
@safe public final class CompletionQueue: @unchecked Sendable {
  public struct Entry: Sendable {
    public var user: UInt64
    public var completion: Completion
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let mask: Int
  private let filled = Atomic<Int>(0)
  private let taken = Atomic<Int>(0)
  private let reserved = Atomic<Int>(0)
  private let isAsleep = Atomic<Bool>(false)
  /// Readable while a sleeping consumer has something to take.
  public let descriptor: CInt

  /// - Parameter capacity: Operations under way or not yet taken; more are refused as `wouldBlock`. Rounded up to a power of two.
  public init(capacity: Int = 1 << 16) throws(MessagingError) {
    precondition((1...1 << 24).contains(capacity), "a queue for 1 to 2^24 completions")
    var size = 1
    while size < capacity { size *= 2 }
    mask = size - 1
    descriptor = eventfd(0, CInt(EFD_NONBLOCK | EFD_CLOEXEC))
    // SAFETY: freed in deinit; entries are plain bytes, written before they are counted as filled.
    unsafe entries = .allocate(capacity: size)
    if descriptor < 0 { throw MessagingError(.limitReached, "cannot make a completion queue", cause: "no descriptor left") }
  }

  deinit {
    drain(.max) { entry in _ = entry.completion.takeBuffer() }
    unsafe entries.deallocate()
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
  }

  /// Room for one operation's end. Whoever starts it.
  func reserve() -> Bool {
    // Acquires what `drain` releases: the place is no longer read when it is written again.
    if reserved.add(1, ordering: .acquiring).newValue <= mask + 1 { return true }
    reserved.subtract(1, ordering: .relaxed)
    return false
  }

  func cancelReservation() { reserved.subtract(1, ordering: .relaxed) }

  /// The owner of the driver's lock; room was reserved.
  func push(_ user: UInt64, _ completion: Completion) {
    let position = filled.load(ordering: .relaxed)
    unsafe (entries + (position & mask)).initialize(to: Entry(user: user, completion: completion))
    filled.store(position &+ 1, ordering: .sequentiallyConsistent)
    if isAsleep.load(ordering: .sequentiallyConsistent), isAsleep.exchange(false, ordering: .sequentiallyConsistent) {
      var one: UInt64 = 1
      _ = unsafe Glibc.write(descriptor, &one, 8)
    }
  }

  /// The consumer: gives at most `limit` entries to `body`. Returns how many.
  @discardableResult public func drain(_ limit: Int = .max, _ body: (Entry) -> Void) -> Int {
    var count = 0
    var position = taken.load(ordering: .relaxed)
    while count < limit, position != filled.load(ordering: .acquiring) {
      let entry = unsafe (entries + (position & mask)).move()
      position &+= 1
      taken.store(position, ordering: .releasing)
      reserved.subtract(1, ordering: .releasing)
      body(entry)
      count += 1
    }
    return count
  }

  /// For the consumer: nothing to take now.
  @inline(__always) var isEmpty: Bool { taken.load(ordering: .relaxed) == filled.load(ordering: .acquiring) }

  /// The consumer is about to wait for the descriptor. False when there is something to take already.
  public func prepareToSleep() -> Bool {
    var counter: UInt64 = 0
    _ = unsafe Glibc.read(descriptor, &counter, 8)
    isAsleep.store(true, ordering: .sequentiallyConsistent)
    if taken.load(ordering: .relaxed) == filled.load(ordering: .sequentiallyConsistent) { return true }
    isAsleep.store(false, ordering: .sequentiallyConsistent)
    return false
  }
}
