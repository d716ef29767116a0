internal import Glibc

/// Memory for messages that the library may hold on to: a send or a receive keeps it alive until UCX has let go of it, whatever its
/// caller did meanwhile. Aligned to 64 bytes; large ones to huge pages.
///
/// It is memory, not a lock: between the start and the end of an operation the caller leaves its bytes alone.
// @unchecked Sendable: base and count never change; who may touch the bytes is the caller's rule above.
@safe public final class MessageBuffer: @unchecked Sendable {
  public let count: Int
  let base: UnsafeMutableRawPointer

  /// Zeroed memory. As an array it traps when there is none; see `init(trying:)`.
  public init(count: Int) {
    precondition(count >= 0, "a buffer of negative length")
    self.count = count
    guard let memory = unsafe Self.allocate(count) else { fatalError("no memory for a buffer of \(count) bytes") }
    unsafe base = memory
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }

  /// Zeroed memory, or nil when there is none: for a size that somebody else has chosen.
  public convenience init?(trying count: Int) {
    self.init(unwritten: count)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }

  /// Memory that is about to be written: its content is whatever was there. Nil when there is no such memory.
  init?(unwritten count: Int) {
    guard count >= 0, let memory = unsafe Self.allocate(count) else { return nil }
    self.count = count
    unsafe base = memory
  }

  /// Bytes of a huge page, on most machines. Buffers of at least so many lie in such pages where the kernel has them: a copy out of them is
  /// twice as fast, and their first touch costs one fault instead of 512.
  static let hugePage = 2 << 20

  private static func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
    var memory: UnsafeMutableRawPointer?
    let isHuge = count >= hugePage
    // SAFETY: freed in deinit, and nowhere else; `count` bytes and at least one.
    guard unsafe posix_memalign(&memory, isHuge ? hugePage : 64, max(1, count)) == 0 else { return nil }
    // A wish that may fail. No page reaches beyond the buffer's end.
    if isHuge { unsafe _ = madvise(memory, count & -hugePage, CInt(MADV_HUGEPAGE)) }
    return unsafe memory
  }

  public convenience init(_ bytes: some Collection<UInt8>) {
    self.init(count: bytes.count)
    // SAFETY: as many bytes as were allocated.
    unsafe UnsafeMutableRawBufferPointer(start: base, count: count).copyBytes(from: bytes)
  }

  deinit { unsafe free(base) }

  public var bytes: Span<UInt8> {
    @_lifetime(borrow self)
    get {
      // SAFETY: `count` initialised bytes that live as long as the buffer.
      let span = unsafe Span(_unsafeStart: base.assumingMemoryBound(to: UInt8.self), count: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  public func withUnsafeBytes<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try unsafe body(UnsafeRawBufferPointer(start: base, count: count))
  }

  public func withUnsafeMutableBytes<R: ~Copyable, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try unsafe body(UnsafeMutableRawBufferPointer(start: base, count: count))
  }

  /// A copy, for small messages and tests.
  public func array(upTo limit: Int = .max) -> [UInt8] {
    unsafe [UInt8](UnsafeRawBufferPointer(start: base, count: min(count, limit)))
  }
}
