internal import CLinux
public import CausewayBase
internal import Glibc

/// Waiting for a packet thread: level-triggered epoll with time-outs in nanoseconds, no lock, no allocation. Unlike `EventLoop` it calls
/// nobody back: it says which tags are ready. Belongs to one thread.
@safe public final class PacketPoll {
  /// Ready descriptors of one wait; the others are told by the next.
  public static let readyLimit = 64
  /// A wait never takes longer: the kernel's timer stands still while the machine sleeps, deadlines don't.
  public static let waitLimit: UInt64 = 5_000_000_000

  public struct Interest: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = Interest(rawValue: 0x001)  // EPOLLIN
    public static let write = Interest(rawValue: 0x004)  // EPOLLOUT
    /// Reported always: EPOLLERR, EPOLLHUP.
    public static let error = Interest(rawValue: 0x008)
    public static let hangUp = Interest(rawValue: 0x010)
  }

  public struct Ready: Sendable, BitwiseCopyable {
    public let tag: UInt64
    public let interest: Interest
  }

  private let epoll: CInt
  private let events: UnsafeMutablePointer<shim_event>
  /// Of the last wait.
  public private(set) var count = 0

  public init() throws(SystemError) {
    let epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
    if epoll < 0 { throw SystemError(errno, "epoll_create1") }
    self.epoll = epoll
    // SAFETY: lives as long as the poll; only the first `count` are read, and those the kernel filled.
    unsafe events = .allocate(capacity: Self.readyLimit)
    unsafe events.initialize(repeating: shim_event(), count: Self.readyLimit)
  }

  deinit {
    _ = Glibc.close(epoll)
    unsafe events.deallocate()
  }

  /// `tag` comes back when the descriptor is ready. Deregister before closing it.
  public func register(_ descriptor: CInt, tag: UInt64, for interest: Interest = .read) throws(SystemError) {
    try control(EPOLL_CTL_ADD, descriptor, tag, interest)
  }

  public func change(_ descriptor: CInt, tag: UInt64, to interest: Interest) throws(SystemError) {
    try control(EPOLL_CTL_MOD, descriptor, tag, interest)
  }

  public func deregister(_ descriptor: CInt) { _ = shim_epoll_control(epoll, EPOLL_CTL_DEL, descriptor, 0, 0, 0) }

  private func control(_ operation: CInt, _ descriptor: CInt, _ tag: UInt64, _ interest: Interest) throws(SystemError) {
    let (low, high) = (UInt32(truncatingIfNeeded: tag), UInt32(truncatingIfNeeded: tag >> 32))
    try SystemError.check(Int(shim_epoll_control(epoll, operation, descriptor, interest.rawValue, low, high)), "epoll_ctl")
  }

  /// Waits until a descriptor is ready or the deadline (`SystemClock.now`'s clock) has come. May return early with nothing.
  /// - Parameter now: The present; a deadline that is not later only looks and never waits.
  /// - Returns: How many are ready, for `poll[0..<n]`.
  @discardableResult
  public func wait(until deadline: Instant, now: Instant) -> Int {
    let left = Int64(min(deadline.nanoseconds(since: now), Self.waitLimit))
    let result = unsafe shim_epoll_wait_ns(epoll, events, CInt(Self.readyLimit), left)
    count = max(0, Int(result))
    return count
  }

  public subscript(index: Int) -> Ready {
    precondition(index >= 0 && index < count, "no such event")
    // SAFETY: filled by the last wait, checked above.
    let event = unsafe events[index]
    return Ready(tag: UInt64(event.generation) << 32 | UInt64(event.slot), interest: Interest(rawValue: event.events))
  }
}
