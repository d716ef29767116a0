internal import COpenSSL

/// Random bytes from the kernel (getrandom(2)): keys, tokens, nonces, session identifiers.
public enum SecureRandom {
  public static func fill(_ bytes: inout MutableSpan<UInt8>) {
    // SAFETY: the span outlives the call.
    let result = unsafe bytes.withUnsafeMutableBufferPointer { unsafe shim_random_fill($0.baseAddress, $0.count) }
    // getrandom fails only on kernels that lack it or filter it; going on with predictable keys would be worse than stopping.
    precondition(result == 0, "getrandom failed (errno \(-result)): the kernel gives no random bytes")
  }

  public static func bytes<let count: Int>(_: InlineArray<count, UInt8>.Type = InlineArray<count, UInt8>.self) -> InlineArray<count, UInt8>
  {
    var bytes = InlineArray<count, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    fill(&span)
    return bytes
  }
}

/// Whether both spans hold the same bytes, in a time that depends on their length only.
public func constantTimeEqual(_ a: Span<UInt8>, _ b: Span<UInt8>) -> Bool {
  guard a.count == b.count else { return false }
  if a.isEmpty { return true }
  // SAFETY: both spans outlive the call and hold `a.count` bytes.
  return unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in unsafe CRYPTO_memcmp(a.baseAddress, b.baseAddress, a.count) == 0 }
  }
}
