/// The sender's half of the order: what a packet's header names as its previous. One for each peer, direction and sequence space.
///
/// A packet names its bucket's previous one only while something of the bucket is still under way: a flow that uses one path slowly, or
/// any flow after a pause, never waits.
@safe package struct OrderStamper: ~Copyable {
  private struct Bucket {
    var last: UInt32 = 0
    /// Packets sent and neither acknowledged nor abandoned.
    var outstanding: UInt32 = 0
  }

  private let buckets: UnsafeMutablePointer<Bucket>
  private var nextSequence: UInt32

  /// - Parameter first: The first sequence, for tests.
  package init(startingAt first: UInt32 = 1) {
    nextSequence = first
    // SAFETY: one bucket for each value of a byte; freed in deinit.
    unsafe buckets = .allocate(capacity: ReorderBuffer.bucketCount)
    unsafe buckets.initialize(repeating: Bucket(), count: ReorderBuffer.bucketCount)
  }

  deinit { unsafe buckets.deallocate() }

  /// Numbers the next packet. `settle` is owed once for each ordered one, when it is acknowledged or abandoned.
  @inline(__always) package mutating func stamp(bucket: UInt8, flags: DataFlags = []) -> DataHeader {
    let sequence = nextSequence
    nextSequence &+= 1
    var header = DataHeader(flags: flags, bucket: bucket, previous: 0, sequence: sequence)
    if flags.contains(.unordered) { return header }
    // SAFETY: a byte indexes 256 buckets.
    let state = unsafe buckets[Int(bucket)]
    if state.outstanding > 0 { header.previous = UInt16(exactly: sequence &- state.last) ?? 0 }
    unsafe buckets[Int(bucket)] = Bucket(last: sequence, outstanding: state.outstanding &+ 1)
    return header
  }

  /// An ordered packet of the bucket was acknowledged or abandoned, for the first time.
  @inline(__always) package mutating func settle(bucket: UInt8) {
    // SAFETY: a byte indexes 256 buckets.
    let outstanding = unsafe buckets[Int(bucket)].outstanding
    if outstanding > 0 { unsafe buckets[Int(bucket)].outstanding = outstanding &- 1 }
  }

  /// The newest sequence given, for a SKIP of everything.
  package var lastSequence: UInt32 { nextSequence &- 1 }

  /// The peer forgot everything, or is to. Sequences go on all the same: between its return and the news of it, packets reached it, and what
  /// came after them with lower numbers would be late, or copies. To who has heard none, half of the numbers are ahead of 0.
  package mutating func reset() {
    if nextSequence > UInt32.max / 2 { nextSequence = 1 }
    // SAFETY: `bucketCount` buckets.
    for i in 0..<ReorderBuffer.bucketCount { unsafe buckets[i] = Bucket() }
  }
}
