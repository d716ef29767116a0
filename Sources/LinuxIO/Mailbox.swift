internal import CLinux
internal import Glibc
internal import Synchronization

/// Messages from one thread to one other: a ring without locks, and an eventfd that a `PacketPoll` or an `EventLoop` of the receiver
/// watches. When it is full, the sender hears so and decides; nothing is dropped here.
///
/// One thread sends and one receives; each side may move to another thread only with a hand-over of its own.
// @unchecked Sendable: `buffer[i]` belongs to the sender until `sent` passes i (release) and to the receiver until `taken` does.
@safe public final class Mailbox<Message: Sendable>: @unchecked Sendable {
  private let buffer: UnsafeMutablePointer<Message>
  private let mask: Int
  private let sent = Atomic<Int>(0)
  private let taken = Atomic<Int>(0)
  /// Readable when there may be messages.
  public let descriptor: CInt

  /// - Parameter capacity: Messages that may wait; rounded up to a power of two.
  public init(capacity: Int) throws(SystemError) {
    precondition((1...1 << 20).contains(capacity), "a mailbox for 1 to 2^20 messages")
    var size = 1
    while size < capacity { size *= 2 }
    let descriptor = eventfd(0, CInt(EFD_NONBLOCK | EFD_CLOEXEC))
    if descriptor < 0 { throw SystemError(errno, "eventfd") }
    self.descriptor = descriptor
    mask = size - 1
    // SAFETY: lives as long as the mailbox; positions taken..<sent are initialised.
    unsafe buffer = .allocate(capacity: size)
  }

  deinit {
    for position in taken.load(ordering: .acquiring)..<sent.load(ordering: .acquiring) {
      unsafe (buffer + (position & mask)).deinitialize(count: 1)
    }
    unsafe buffer.deallocate()
    _ = Glibc.close(descriptor)
  }

  /// The sending thread only.
  /// - Returns: false when full; the message was not taken then.
  public func send(_ message: Message) -> Bool {
    let position = sent.load(ordering: .relaxed)
    guard position &- taken.load(ordering: .acquiring) <= mask else { return false }
    unsafe (buffer + (position & mask)).initialize(to: message)
    // Sequentially consistent on both sides: either the receiver's last look sees this message, or we see that it had taken all
    // before it, and wake it.
    sent.store(position &+ 1, ordering: .sequentiallyConsistent)
    if taken.load(ordering: .sequentiallyConsistent) == position { wake() }
    return true
  }

  /// The receiving thread only: the next message, or nil when there is none; then the descriptor wakes for the next one.
  public func receive() -> Message? {
    let position = taken.load(ordering: .relaxed)
    if position == sent.load(ordering: .acquiring) {
      clear()
      // One that came between the look and the clearing would never wake anybody.
      guard position != sent.load(ordering: .sequentiallyConsistent) else { return nil }
    }
    let message = unsafe (buffer + (position & mask)).move()
    taken.store(position &+ 1, ordering: .sequentiallyConsistent)
    return message
  }

  private func wake() {
    var one: UInt64 = 1
    _ = unsafe Glibc.write(descriptor, &one, 8)
  }

  private func clear() {
    var value: UInt64 = 0
    _ = unsafe Glibc.read(descriptor, &value, 8)
  }
}
