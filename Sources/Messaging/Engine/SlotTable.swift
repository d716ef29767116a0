/// What belongs to a core's slots, at the same index. Elements never move, since UCX is given their addresses; they exist from the first
/// use of their index on, and memory is never given back before the table ends.
@safe struct SlotTable<Element: ~Copyable>: ~Copyable {
  private static var chunkBits: Int { 8 }
  private static var chunkCount: Int { 1 << chunkBits }

  private let chunks: UnsafeMutablePointer<UnsafeMutablePointer<Element>?>
  private let chunkLimit: Int
  private let make: () -> Element

  init(limit: Int, _ make: @escaping () -> Element) {
    chunkLimit = (limit + Self.chunkCount - 1) >> Self.chunkBits
    self.make = make
    // SAFETY: freed in deinit; every entry is initialised to nil.
    unsafe chunks = .allocate(capacity: chunkLimit)
    unsafe chunks.initialize(repeating: nil, count: chunkLimit)
  }

  deinit {
    for index in 0..<chunkLimit {
      guard let chunk = unsafe chunks[index] else { continue }
      unsafe chunk.deinitialize(count: Self.chunkCount)
      unsafe chunk.deallocate()
    }
    unsafe chunks.deallocate()
  }

  /// The element of a slot that the core has given out.
  @inline(__always) func pointer(_ slot: UInt32) -> UnsafeMutablePointer<Element> {
    let index = Int(slot) >> Self.chunkBits
    precondition(index < chunkLimit, "a slot beyond the table")
    if let chunk = unsafe chunks[index] { return unsafe chunk + (Int(slot) & (Self.chunkCount - 1)) }
    return unsafe grow(index) + (Int(slot) & (Self.chunkCount - 1))
  }

  @inline(never) private func grow(_ index: Int) -> UnsafeMutablePointer<Element> {
    // SAFETY: all elements are initialised before anybody sees the chunk.
    let chunk = UnsafeMutablePointer<Element>.allocate(capacity: Self.chunkCount)
    for offset in 0..<Self.chunkCount { unsafe (chunk + offset).initialize(to: make()) }
    unsafe chunks[index] = chunk
    return unsafe chunk
  }

  /// Every element that exists.
  func visit(_ body: (UnsafeMutablePointer<Element>) -> Void) {
    for index in 0..<chunkLimit {
      guard let chunk = unsafe chunks[index] else { continue }
      for offset in 0..<Self.chunkCount { unsafe body(chunk + offset) }
    }
  }
}
