import CausewayBase
import CausewayBondCore

/// Puts lengths before the datagrams of a run, as a list of pieces for one `writev`, without copying them. One for each thread.
@safe final class StreamOutput {
  /// Datagrams of the longest run.
  static let datagramLimit = 64

  let pieces: UnsafeMutablePointer<MemoryPiece>
  private(set) var pieceCount = 0
  /// Of all pieces.
  private(set) var byteCount = 0
  /// Magic and length, or a length alone, for each datagram.
  private let headers: UnsafeMutablePointer<UInt8>

  init() {
    // SAFETY: a header and a body for each datagram; freed in deinit.
    unsafe pieces = .allocate(capacity: 2 * Self.datagramLimit)
    unsafe pieces.initialize(repeating: MemoryPiece(base: nil, count: 0), count: 2 * Self.datagramLimit)
    unsafe headers = .allocate(capacity: Self.datagramLimit * TCPFraming.headerByteLimit)
    unsafe headers.initialize(repeating: 0, count: Self.datagramLimit * TCPFraming.headerByteLimit)
  }

  deinit {
    unsafe pieces.deallocate()
    unsafe headers.deallocate()
  }

  /// Makes the list for a run. The bytes must stay until the list is used.
  /// - Parameters:
  ///   - count: Of all datagrams; each has `segmentByteCount` bytes, the last may have fewer.
  ///   - withMagic: Nothing was sent on the connection yet.
  @unsafe func frame(_ bytes: UnsafeMutablePointer<UInt8>, count: Int, segmentByteCount: Int, withMagic: Bool) {
    let step = segmentByteCount > 0 ? segmentByteCount : count
    (pieceCount, byteCount) = (0, 0)
    var offset = 0
    while offset < count {
      precondition(pieceCount < 2 * Self.datagramLimit, "a run has at most 64 datagrams")
      let length = min(step, count &- offset)
      // SAFETY: each datagram has its own part of `headers`.
      let header = unsafe headers + pieceCount / 2 * TCPFraming.headerByteLimit
      var span = unsafe MutableSpan<UInt8>(_unsafeStart: header, count: TCPFraming.headerByteLimit)
      let written = TCPFraming.writeHeader(byteCount: length, isFirst: withMagic && offset == 0, into: &span)
      unsafe pieces[pieceCount] = MemoryPiece(base: header, count: written)
      unsafe pieces[pieceCount &+ 1] = MemoryPiece(base: bytes + offset, count: length)
      pieceCount &+= 2
      byteCount &+= written &+ length
      offset &+= length
    }
  }

  /// Copies what follows the first `skipped` bytes.
  /// - Parameter target: Room for `byteCount - skipped` bytes.
  @unsafe func copy(after skipped: Int, to target: UnsafeMutablePointer<UInt8>) {
    var (left, written) = (skipped, 0)
    for index in 0..<pieceCount {
      let piece = unsafe pieces[index]
      guard let base = unsafe piece.base else { continue }
      let skip = unsafe min(left, piece.count)
      left &-= skip
      // SAFETY: the caller's room; a piece is `count` bytes of the run or of `headers`.
      let length = unsafe piece.count &- skip
      unsafe UnsafeMutableRawPointer(target + written).copyMemory(from: base + skip, byteCount: length)
      written &+= length
    }
  }
}
