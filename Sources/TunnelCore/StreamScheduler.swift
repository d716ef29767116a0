import CausewayBase

/// Who sends next: streams that sent little lately first, in order; then bulk streams by deficit round robin (Shreedhar and
/// Varghese 1996), so that a small answer never waits behind more than a frame or two of a download.
struct StreamScheduler {
  private let sharedFrame: Int
  private let sparseBurst: Int
  private let sparseIdle: UInt64
  private var sparse = StreamQueue()
  private var bulk = StreamQueue()

  init(limits: SessionLimits) {
    sharedFrame = limits.sharedFrame
    sparseBurst = limits.sparseBurst
    sparseIdle = UInt64(clamping: limits.sparseIdle.wholeNanoseconds)
  }

  var isEmpty: Bool { sparse.isEmpty && bulk.isEmpty }
  /// Whether anyone but the stream just taken waits.
  var othersWait: Bool { !isEmpty }

  /// Adds a stream that has something to send now.
  mutating func add(_ stream: StreamState, at now: Instant) {
    guard !stream.isQueued else { return }
    stream.isQueued = true
    if now.nanoseconds(since: stream.lastSent) > sparseIdle { stream.burstByteCount = 0 }
    if stream.burstByteCount < sparseBurst {
      sparse.append(stream)
    } else {
      stream.deficit = sharedFrame
      bulk.append(stream)
    }
  }

  mutating func next() -> StreamState? {
    while let stream = sparse.popFirst() ?? bulk.popFirst() {
      if stream.isQueued { return stream }  // else it was reset meanwhile
    }
    return nil
  }

  /// Puts back a stream that was served `byteCount` bytes and has more.
  mutating func putBack(_ stream: StreamState) {
    if stream.burstByteCount < sparseBurst {
      sparse.append(stream)
    } else if stream.deficit > 0 {
      bulk.prepend(stream)
    } else {
      stream.deficit += sharedFrame
      bulk.append(stream)
    }
  }

  mutating func removeAll() {
    while let stream = next() { stream.isQueued = false }
  }
}

/// A queue of streams in an array that is reused; removing from the front costs amortised O(1).
struct StreamQueue {
  private var items: [StreamState?] = []
  private var head = 0

  var isEmpty: Bool { head == items.count }

  mutating func append(_ stream: StreamState) {
    if head >= 64 && head * 2 > items.count {
      items.removeFirst(head)
      head = 0
    }
    items.append(stream)
  }

  /// Puts back what was just taken: there is room before the others, or nobody else.
  mutating func prepend(_ stream: StreamState) {
    if head > 0 {
      head -= 1
      items[head] = stream
    } else {
      items.insert(stream, at: 0)
    }
  }

  mutating func popFirst() -> StreamState? {
    guard head < items.count else { return nil }
    let stream = items[head]
    items[head] = nil
    head += 1
    if head == items.count {
      items.removeAll(keepingCapacity: true)
      head = 0
    }
    return stream
  }
}
