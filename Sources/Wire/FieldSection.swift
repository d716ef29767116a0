/// The field lines of a head or of trailers, and what the parser gathered about framing and connection on the way.
/// Arrays keep their capacity between heads, so that a warm parser allocates nothing.
struct FieldSection {
  /// Names in `Connection` beyond the usual options; a message with more is refused.
  static let connectionNameLimit = 16

  var lines: [FieldLine] = []
  /// What `Connection` names and is not an option that we know.
  var connectionNames: [ByteRange] = []
  var facts = Facts()

  struct Facts: Equatable {
    var contentLength: UInt64?
    var transferEncodingCount = 0
    var isChunked = false
    var isIdentity = false
    var hostCount = 0
    var host = ByteRange.empty
    var optionClose = false
    var optionKeepAlive = false
    var optionUpgrade = false
    var acceptsTrailers = false
    var expectsContinue = false
    var hasOddExpectation = false
    var upgrade = UpgradeProtocol.none
    var upgradeToken = ByteRange.empty
    var webSocketKeyCount = 0
    var webSocketKey = ByteRange.empty
    var webSocketVersionCount = 0
    var webSocketVersion = ByteRange.empty
  }

  /// Requests are read strictly; a response may have blanks before the colon, which are stripped (RFC 9112 §5.1).
  /// Trailers are read like a request's fields, but say nothing about framing.
  enum Strictness { case request, response, trailers }

  mutating func reset() {
    lines.removeAll(keepingCapacity: true)
    if !connectionNames.isEmpty { connectionNames.removeAll(keepingCapacity: true) }
    facts = Facts()
  }

  /// Parses whole lines from `position` on, which it moves to the first byte not understood yet, up to and including the
  /// empty line.
  /// - Returns: false when the empty line is not there yet.
  @inline(__always)
  mutating func parse(
    _ bytes: Span<UInt8>, from position: inout Int, upTo end: Int, limit: Int, strictness: Strictness
  ) throws(HTTPHeadError) -> Bool {
    while position < end {
      var i = position
      if bytes[i] == ASCII.carriageReturn {
        guard i &+ 1 < end else { return false }
        guard bytes[i &+ 1] == ASCII.lineFeed else { throw .bareCarriageReturn }
        position = i &+ 2
        return true
      }
      i = endOfName(bytes, i, end)
      guard i < end else { return false }
      let nameEnd = i
      if bytes[i] != ASCII.colon {
        try skipBlanksBeforeColon(bytes, from: position, &i, end, strictness)
        guard i < end else { return false }
      }
      guard nameEnd > position else { throw .fieldNameInvalid }
      i &+= 1
      while i < end, ASCII.isBlank(bytes[i]) { i &+= 1 }
      let valueStart = i
      i = endOfValue(bytes, i, end)
      guard i &+ 1 < end else {
        guard i == end || bytes[i] == ASCII.carriageReturn else { throw bytes[i] == ASCII.lineFeed ? .bareLineFeed : .fieldValueInvalid }
        return false
      }
      guard bytes[i] == ASCII.carriageReturn else { throw bytes[i] == ASCII.lineFeed ? .bareLineFeed : .fieldValueInvalid }
      guard bytes[i &+ 1] == ASCII.lineFeed else { throw .bareCarriageReturn }
      var valueEnd = i
      while valueEnd > valueStart, ASCII.isBlank(bytes[valueEnd &- 1]) { valueEnd &-= 1 }
      guard lines.count < limit else { throw .tooManyFields }
      try add(bytes, name: ByteRange(position, nameEnd), value: ByteRange(valueStart, valueEnd), gathering: strictness != .trailers)
      position = i &+ 2
    }
    return false
  }

  /// The offset of the first colon, blank or control byte at or after `start`. What lies before is judged in `add`.
  @inline(__always)
  private func endOfName(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    var i = start
    while i &+ 8 <= end {
      let hit = Word.nameEnds(bytes.littleEndian(at: i))
      if hit != 0 { return i &+ hit.trailingZeroBitCount &>> 3 }
      i &+= 8
    }
    while i < end, bytes[i] > 0x20, bytes[i] != ASCII.colon { i &+= 1 }
    return i
  }

  /// The offset of the first byte at or after `start` that cannot be part of a value (RFC 9110 §5.5).
  @inline(__always)
  private func endOfValue(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    var i = start
    while i &+ 8 <= end {
      let hit = Word.controlBytes(bytes.littleEndian(at: i))
      if hit == 0 {
        i &+= 8
        continue
      }
      i &+= hit.trailingZeroBitCount &>> 3
      if bytes[i] != ASCII.tab { return i }
      i &+= 1
    }
    while i < end, ASCII.isFieldValue(bytes[i]) { i &+= 1 }
    return i
  }

  /// Not a colon where one was expected: strips blanks in responses, throws what is wrong otherwise.
  private func skipBlanksBeforeColon(
    _ bytes: Span<UInt8>, from lineStart: Int, _ i: inout Int, _ end: Int, _ strictness: Strictness
  ) throws(HTTPHeadError) {
    switch bytes[i] {
    case ASCII.space, ASCII.tab:
      if i == lineStart { throw .obsoleteFold }
      if strictness != .response { throw .spaceInFieldName }
      while i < end, ASCII.isBlank(bytes[i]) { i &+= 1 }
      guard i == end || bytes[i] == ASCII.colon else { throw .spaceInFieldName }
    case ASCII.lineFeed: throw i == lineStart ? .bareLineFeed : .colonMissing
    case ASCII.carriageReturn: throw .colonMissing
    default: throw .fieldNameInvalid
    }
  }

  @inline(__always)
  private mutating func add(_ bytes: Span<UInt8>, name: ByteRange, value: ByteRange, gathering: Bool) throws(HTTPHeadError) {
    let folded = FoldedName(bytes, Int(name.start), Int(name.end))
    let known = KnownField(folded)
    var flags: FieldLine.Flags = []
    if known == .other || known == .contentOther || known == .xForwardedOther {  // the others were compared byte by byte
      guard folded.isPlain || isToken(bytes, name) else { throw .fieldNameInvalid }
    }
    if known == .other {
      if folded.hasUnderscore, KnownField(folded.withHyphens) != .other { flags = .shadowsKnown }
    } else {
      if known.isHopByHop { flags = .hopByHop }
      if gathering { try gather(bytes, known, value) }
    }
    lines.append(FieldLine(name: name, value: value, known: known, flags: flags))
  }

  private func isToken(_ bytes: Span<UInt8>, _ name: ByteRange) -> Bool {
    for i in name.range where !ASCII.isToken(bytes[i]) { return false }
    return true
  }
}
