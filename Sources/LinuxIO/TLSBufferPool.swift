internal import Glibc

/// Blocks of one size that TLS streams borrow while ciphertext is on its way out; last in, first out, so that a busy loop keeps
/// using the same warm memory. One pool for each loop.
@safe final class TLSBufferPool {
  /// Room for a batch of records, one joined record, and handshake messages.
  static let blockByteCount = TLSLayer.batchByteCount + 2 * TLSLayer.recordByteCount
  /// Blocks kept when nobody uses them (1.3 MiB).
  static let keptLimit = 8

  private var free: [UnsafeMutableRawPointer]

  init() {
    unsafe free = []
    unsafe free.reserveCapacity(Self.keptLimit)
  }

  func take() -> UnsafeMutableRawPointer {
    if let block = unsafe free.popLast() { return unsafe block }
    guard let block = unsafe malloc(Self.blockByteCount) else { fatalError("out of memory: \(Self.blockByteCount) bytes") }
    return unsafe block
  }

  func give(_ block: UnsafeMutableRawPointer) {
    if unsafe free.count < Self.keptLimit { unsafe free.append(block) } else { unsafe Glibc.free(block) }
  }

  deinit { while let block = unsafe free.popLast() { unsafe Glibc.free(block) } }
}
