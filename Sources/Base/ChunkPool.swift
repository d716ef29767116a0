#if canImport(Glibc)
  internal import Glibc
#endif

/// Recycled blocks of memory in three sizes, last in first out, for queues that come and go with traffic.
///
/// One pool for each loop; not `Sendable`. Blocks beyond the kept limits go back to the allocator.
public final class ChunkPool {
  /// A block's usable size: small for heads and short answers, medium for pages and pictures, large for bulk, where few large system
  /// calls cost less than many small ones.
  public static let smallByteCount = 4096 - Chunk.headerByteCount
  public static let mediumByteCount = 32_768 - Chunk.headerByteCount
  public static let largeByteCount = 262_144 - Chunk.headerByteCount
  /// Free blocks kept for reuse (3 MiB in all).
  public static let keptSmallLimit = 256
  public static let keptMediumLimit = 32
  public static let keptLargeLimit = 4

  private var freeSmall = FreeList()
  private var freeMedium = FreeList()
  private var freeLarge = FreeList()

  /// Blocks in the hands of queues, and free ones: for tests and metrics.
  package private(set) var lentCount = 0
  package var freeSmallCount: Int { freeSmall.count }
  package var freeMediumCount: Int { freeMedium.count }
  package var freeLargeCount: Int { freeLarge.count }

  public init() {}

  private struct FreeList {
    var head: Chunk?
    var count = 0
  }

  /// The block that fits `byteCount` best; more than a large one's are split by the caller.
  func take(for byteCount: Int) -> Chunk {
    lentCount += 1
    if byteCount <= Self.smallByteCount { return Self.take(&freeSmall, Self.smallByteCount) }
    if byteCount <= Self.mediumByteCount { return Self.take(&freeMedium, Self.mediumByteCount) }
    return Self.take(&freeLarge, Self.largeByteCount)
  }

  func give(_ chunk: Chunk) {
    lentCount -= 1
    switch chunk.capacity {
    case Self.smallByteCount: Self.give(chunk, &freeSmall, Self.keptSmallLimit)
    case Self.mediumByteCount: Self.give(chunk, &freeMedium, Self.keptMediumLimit)
    default: Self.give(chunk, &freeLarge, Self.keptLargeLimit)
    }
  }

  private static func take(_ list: inout FreeList, _ byteCount: Int) -> Chunk {
    if let chunk = list.head {
      list.head = chunk.next
      list.count -= 1
      chunk.clear()
      return chunk
    }
    return Chunk.allocate(capacity: byteCount)
  }

  private static func give(_ chunk: Chunk, _ list: inout FreeList, _ limit: Int) {
    guard list.count < limit else { return chunk.deallocate() }
    chunk.next = list.head
    list.head = chunk
    list.count += 1
  }

  deinit {
    for list in [freeSmall, freeMedium, freeLarge] {
      var next = list.head
      while let chunk = next {
        next = chunk.next
        chunk.deallocate()
      }
    }
  }
}

/// A block and its header in one allocation: `next` links queues and free lists. A plain pointer, owned by whoever holds it.
@safe struct Chunk {
  @unsafe private struct Header {
    var next: UnsafeMutablePointer<Header>?
    var capacity: Int
    var begin: Int
    var end: Int
  }
  static var headerByteCount: Int { unsafe MemoryLayout<Header>.size }

  private let header: UnsafeMutablePointer<Header>

  private init(header: UnsafeMutablePointer<Header>) { unsafe self.header = header }

  static func allocate(capacity: Int) -> Chunk {
    guard let raw = unsafe malloc(headerByteCount + capacity) else { fatalError("out of memory: \(capacity) bytes") }
    let header = unsafe raw.bindMemory(to: Header.self, capacity: 1)
    unsafe header.initialize(to: Header(next: nil, capacity: capacity, begin: 0, end: 0))
    return unsafe Chunk(header: header)
  }

  // SAFETY for every access below: the holder of a Chunk owns its allocation until `deallocate`.
  func deallocate() { unsafe free(header) }

  var next: Chunk? {
    get { unsafe header.pointee.next.map { unsafe Chunk(header: $0) } }
    nonmutating set { unsafe header.pointee.next = newValue?.header }
  }
  var capacity: Int { unsafe header.pointee.capacity }
  var begin: Int {
    get { unsafe header.pointee.begin }
    nonmutating set { unsafe header.pointee.begin = newValue }
  }
  var end: Int {
    get { unsafe header.pointee.end }
    nonmutating set { unsafe header.pointee.end = newValue }
  }
  var count: Int { end - begin }
  var freeCount: Int { capacity - end }

  /// The address of payload byte `index`, 0...capacity.
  func payload(at index: Int) -> UnsafeMutablePointer<UInt8> {
    unsafe UnsafeMutableRawPointer(header).advanced(by: Self.headerByteCount + index).assumingMemoryBound(to: UInt8.self)
  }

  func clear() {
    next = nil
    begin = 0
    end = 0
  }

  func isSame(as other: Chunk) -> Bool { unsafe header == other.header }
}
