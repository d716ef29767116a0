internal import COpenSSL

/// Secret bytes in one heap allocation that never moves and is wiped at the end of its life. It has no `description`, `==` or
/// coding, and reflection shows nothing.
// @unchecked Sendable: the bytes are written in `init` only.
@safe public final class SecretKey: @unchecked Sendable, CustomReflectable {
  private let base: UnsafeMutablePointer<UInt8>
  public let byteCount: Int

  private init(allocating byteCount: Int) {
    precondition(byteCount > 0, "a key without bytes")
    unsafe base = UnsafeMutablePointer<UInt8>.allocate(capacity: byteCount)
    unsafe base.initialize(repeating: 0, count: byteCount)
    self.byteCount = byteCount
  }

  /// The caller wipes its own copy where that matters.
  public convenience init(copying bytes: Span<UInt8>) {
    self.init(allocating: bytes.count)
    for index in bytes.indices { unsafe base[index] = bytes[index] }
  }

  /// A key that `fill` writes; it starts as zeros.
  public convenience init(byteCount: Int, filling fill: (inout MutableSpan<UInt8>) -> Void) {
    self.init(allocating: byteCount)
    // SAFETY: this object's own allocation, which nobody else knows yet.
    var span = unsafe MutableSpan(_unsafeStart: base, count: byteCount)
    fill(&span)
  }

  /// From the kernel.
  public convenience init(randomByteCount: Int) {
    self.init(allocating: randomByteCount)
    // SAFETY: this object's own allocation.
    var span = unsafe MutableSpan(_unsafeStart: base, count: byteCount)
    SecureRandom.fill(&span)
  }

  deinit {
    unsafe OPENSSL_cleanse(base, byteCount)
    unsafe base.deallocate()
  }

  public var bytes: Span<UInt8> {
    @_lifetime(borrow self) get {
      // SAFETY: the allocation lives as long as this object, which the span borrows.
      let span = unsafe Span(_unsafeStart: UnsafePointer(base), count: byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  public var customMirror: Mirror { Mirror(self, children: [Mirror.Child]()) }
}
