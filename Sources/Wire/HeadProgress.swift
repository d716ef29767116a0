/// How far a head that arrives in pieces has been read, so that each byte is looked at a bounded number of times.
struct HeadProgress {
  enum Stage { case start, fields, complete }

  var stage = Stage.start
  /// First byte of the line that is not complete.
  var lineStart = 0
  /// Up to here no line feed was found behind `lineStart`.
  private var searchedEnd = 0

  /// Whether parsing is worth the trouble: a line feed has come, or the limit has been reached.
  mutating func canAdvance(_ bytes: Span<UInt8>, upTo end: Int, limit: Int) -> Bool {
    if searchedEnd == 0 || end >= limit { return true }
    guard searchedEnd <= end else { return false }
    return bytes.firstIndex(of: ASCII.lineFeed, in: searchedEnd..<end) != nil
  }

  mutating func wait(_ end: Int) { searchedEnd = end }
}
