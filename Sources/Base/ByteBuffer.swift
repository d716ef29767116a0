#if canImport(Glibc)
  internal import Glibc
#endif

/// A growable run of bytes with a read end and a write end: `consume` moves the first, `append` the second.
///
/// Owned by one loop or one core; not `Sendable`. In a class, bind it to a local `let` before taking `bytes`:
/// the span lives as long as that binding. Appending while a span is held is a programming error that the compiler
/// cannot see through a class, so take the span, use it, then append.
@safe public final class ByteBuffer {
  @usableFromInline var base: UnsafeMutablePointer<UInt8>?
  public private(set) var capacity = 0
  @usableFromInline var start = 0
  @usableFromInline var end = 0

  /// Allocates nothing until the first byte arrives.
  public init() { unsafe base = nil }

  public convenience init(capacity: Int) {
    self.init()
    reserve(capacity)
  }

  deinit { unsafe free(base) }

  @inlinable public var count: Int { end &- start }
  @inlinable public var isEmpty: Bool { start == end }

  /// The readable bytes.
  public var bytes: Span<UInt8> {
    @_lifetime(borrow self) @inlinable get {
      // SAFETY: start...end lies inside the allocation that this object owns; the span borrows the object.
      let span = unsafe Span(
        _unsafeElements: UnsafeBufferPointer(start: base.map { unsafe UnsafePointer($0 + start) }, count: end &- start))
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Makes room for `count` more bytes behind the readable ones, moving or growing if it must.
  @inlinable public func reserve(_ count: Int) {
    if capacity &- end < count { makeRoom(count) }
  }

  @usableFromInline func makeRoom(_ count: Int) {
    let used = end - start
    // SAFETY: both regions lie inside this object's allocation; memmove allows overlap. realloc keeps the prefix.
    if capacity - used >= count && start >= used {
      if used > 0 { unsafe memmove(base!, base! + start, used) }
    } else {
      var newCapacity = max(capacity * 2, 256)
      while newCapacity < used + count { newCapacity *= 2 }
      guard let fresh = unsafe malloc(newCapacity) else { fatalError("out of memory: \(newCapacity) bytes") }
      let typed = unsafe fresh.assumingMemoryBound(to: UInt8.self)
      if used > 0 { unsafe memcpy(typed, base! + start, used) }
      unsafe free(base)
      unsafe base = typed
      capacity = newCapacity
    }
    start = 0
    end = used
  }

  @inlinable public func append(_ byte: UInt8) {
    reserve(1)
    // SAFETY: reserve(1) left at least one byte behind `end`.
    unsafe base.unsafelyUnwrapped[end] = byte
    end &+= 1
  }

  @inlinable public func append(_ span: Span<UInt8>) {
    let count = span.count
    if count == 0 { return }
    reserve(count)
    // SAFETY: reserve(count) left room; `span` does not alias the free space behind `end`.
    unsafe span.withUnsafeBufferPointer { source in
      unsafe (base.unsafelyUnwrapped + end).update(from: source.baseAddress.unsafelyUnwrapped, count: count)
    }
    end &+= count
  }

  /// Appends what another buffer holds.
  public func append(_ other: ByteBuffer) { append(other.bytes) }

  /// Appends a part of what another buffer holds.
  public func append(_ other: ByteBuffer, _ range: Range<Int>) { append(other.bytes.extracting(range)) }

  @inlinable public func append(_ string: StaticString) {
    // SAFETY: a static string's storage lives for ever.
    unsafe append(Span(_unsafeElements: UnsafeBufferPointer(start: string.utf8Start, count: string.utf8CodeUnitCount)))
  }

  /// UTF-8.
  public func append(_ string: String) {
    var copy = string
    copy.withUTF8 { unsafe append(Span(_unsafeElements: $0)) }
  }

  @inlinable public func appendBigEndian<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
    reserve(MemoryLayout<T>.size)
    // SAFETY: reserve left room for the integer.
    unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + end).storeBytes(of: value.bigEndian, as: T.self)
    end &+= MemoryLayout<T>.size
  }

  /// Decimal ASCII.
  public func append(decimal value: UInt64) {
    reserve(20)
    var rest = value
    var digits = 1
    while rest >= 10 {
      rest /= 10
      digits += 1
    }
    rest = value
    var position = end + digits
    repeat {
      position -= 1
      unsafe base![position] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    } while rest > 0
    end += digits
  }

  /// Lower-case hexadecimal ASCII without leading zeros.
  public func append(hexadecimal value: UInt64) {
    var shift = max(0, (63 - (value | 1).leadingZeroBitCount) / 4 * 4)
    while true {
      let digit = UInt8(truncatingIfNeeded: (value &>> UInt64(shift)) & 15)
      append(digit < 10 ? 0x30 + digit : 0x57 + digit)
      if shift == 0 { return }
      shift -= 4
    }
  }

  /// Overwrites a big-endian integer at `offset` of the readable bytes: for lengths known only after their content.
  @inlinable public func setBigEndian<T: FixedWidthInteger & UnsignedInteger>(_ value: T, at offset: Int) {
    precondition(offset >= 0 && offset &+ MemoryLayout<T>.size <= count, "setBigEndian outside the readable bytes")
    // SAFETY: checked above.
    unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + start + offset).storeBytes(of: value.bigEndian, as: T.self)
  }

  @inlinable public func setByte(_ value: UInt8, at offset: Int) {
    precondition(offset >= 0 && offset < count, "setByte outside the readable bytes")
    // SAFETY: checked above.
    unsafe base.unsafelyUnwrapped[start + offset] = value
  }

  /// Lets `body` write into at least `minimum` free bytes behind the readable ones; it returns how many it wrote.
  @inlinable public func withFreeSpace<R>(atLeast minimum: Int, _ body: (UnsafeMutableRawBufferPointer) -> (written: Int, result: R)) -> R {
    reserve(minimum)
    // SAFETY: the region behind `end` belongs to this object and outlives the call.
    let (written, result) = unsafe body(UnsafeMutableRawBufferPointer(start: base.map { unsafe $0 + end }, count: capacity &- end))
    precondition(written >= 0 && written <= capacity &- end, "wrote outside the buffer")
    end &+= written
    return result
  }

  /// Lets `body` change the readable bytes in place (to unmask a WebSocket payload).
  @inlinable public func withMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) -> R) -> R {
    // SAFETY: start...end belongs to this object and outlives the call.
    unsafe body(UnsafeMutableRawBufferPointer(start: base.map { unsafe $0 + start }, count: end &- start))
  }

  /// Drops the first `count` readable bytes.
  @inlinable public func consume(_ count: Int) {
    precondition(count >= 0 && count <= end &- start, "consumed more than there is")
    start &+= count
    if start == end {
      start = 0
      end = 0
    }
  }

  /// Drops the last readable bytes, so that `count` remain.
  @inlinable public func truncate(to count: Int) {
    precondition(count >= 0 && count <= end &- start, "truncated to more than there is")
    end = start &+ count
  }

  @inlinable public func removeAll() {
    start = 0
    end = 0
  }

  /// Gives the memory back when nothing is readable and the buffer has grown above `limit` bytes: idle connections hold none.
  public func trim(above limit: Int = 0) {
    guard start == end, capacity > limit else { return }
    unsafe free(base)
    unsafe base = nil
    capacity = 0
    start = 0
    end = 0
  }
}
