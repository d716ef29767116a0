public import CausewayBase

/// The running mask of one frame's payload (RFC 6455 §5.3), which may arrive in pieces of any size. Masking and unmasking are
/// the same operation.
public struct WebSocketMask: Equatable, Sendable {
  /// The key rotated so that the next byte's mask is lowest.
  public private(set) var key: UInt32

  /// - Parameter key: as in `WebSocketFrameHeader.mask`.
  @inlinable public init(key: UInt32) { self.init(rotated: key) }

  @usableFromInline init(rotated key: UInt32) { self.key = key }

  /// Masks `bytes` in place, the next ones of the payload. Alignment does not matter.
  public mutating func apply(to bytes: UnsafeMutableRawBufferPointer) {
    let wide = UInt64(key) | UInt64(key) &<< 32
    let lanes = SIMD4<UInt64>(repeating: wide)
    var i = 0
    let count = bytes.count
    // SAFETY: each access ends at or before `count`, and unaligned loads and stores are asked for.
    while i &+ 32 <= count {
      let block = unsafe bytes.loadUnaligned(fromByteOffset: i, as: SIMD4<UInt64>.self)
      unsafe bytes.storeBytes(of: block ^ lanes, toByteOffset: i, as: SIMD4<UInt64>.self)
      i &+= 32
    }
    while i &+ 8 <= count {
      let word = unsafe bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self)
      unsafe bytes.storeBytes(of: word ^ wide, toByteOffset: i, as: UInt64.self)
      i &+= 8
    }
    while i < count {
      unsafe bytes[i] ^= UInt8(truncatingIfNeeded: key)
      key = key &>> 8 | key &<< 24
      i &+= 1
    }
  }

  /// Masks the readable bytes in `range` of `buffer` in place.
  public mutating func apply(to buffer: ByteBuffer, in range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.count, "masked outside the readable bytes")
    var mask = self
    // SAFETY: the range is checked above.
    unsafe buffer.withMutableBytes { bytes in
      unsafe mask.apply(to: UnsafeMutableRawBufferPointer(rebasing: bytes[range]))
    }
    self = mask
  }
}

extension ByteBuffer {
  /// Appends a whole frame; with a mask the payload is masked on the way. The key must be unpredictable (RFC 6455 §10.3), so the
  /// caller brings it.
  public func appendFrame(_ opcode: WebSocketOpcode, _ payload: Span<UInt8>, isFinal: Bool = true, mask: UInt32? = nil) {
    let header = WebSocketFrameHeader(opcode: opcode, payloadByteCount: UInt64(payload.count), isFinal: isFinal, mask: mask)
    reserve(header.byteCount + payload.count)
    header.append(to: self)
    let start = count
    append(payload)
    if let mask, payload.count > 0 {
      var running = WebSocketMask(key: mask)
      running.apply(to: self, in: start..<count)
    }
  }
}
