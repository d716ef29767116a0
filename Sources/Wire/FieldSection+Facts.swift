extension FieldSection {
  /// Takes note of what one known field says. Contradictions that can be seen in a single line or in its repetition are
  /// refused here; those between lines in `framing`.
  mutating func gather(_ bytes: Span<UInt8>, _ known: KnownField, _ value: ByteRange) throws(HTTPHeadError) {
    switch known {
    case .host:
      facts.hostCount += 1
      facts.host = value
    case .contentLength:
      guard let length = bytes.decimal(in: value), length <= UInt64(Int64.max) else { throw .contentLengthInvalid }
      guard facts.contentLength == nil else { throw .contentLengthRepeated }
      facts.contentLength = length
    case .transferEncoding:
      facts.transferEncodingCount += 1
      facts.isChunked = bytes.matches(value, lowercased: "chunked")
      facts.isIdentity = bytes.matches(value, lowercased: "identity")
    case .connection:
      try gatherConnection(bytes, value)
    case .te:
      Self.forEachElement(bytes, value) { element in
        if bytes.matches(element, lowercased: "trailers") { facts.acceptsTrailers = true }
      }
    case .expect:
      // One spelling only: odd case or a list is how smuggling probes look.
      facts.hasOddExpectation = facts.hasOddExpectation || facts.expectsContinue || !bytes.extracting(value).isExactly("100-continue")
      facts.expectsContinue = true
    case .upgrade:
      gatherUpgrade(bytes, value)
    case .secWebSocketKey:
      facts.webSocketKeyCount += 1
      facts.webSocketKey = value
    case .secWebSocketVersion:
      facts.webSocketVersionCount += 1
      facts.webSocketVersion = value
    default: break
    }
  }

  private mutating func gatherConnection(_ bytes: Span<UInt8>, _ value: ByteRange) throws(HTTPHeadError) {
    var tooMany = false
    Self.forEachElement(bytes, value) { element in
      switch element.count {
      case 0: return
      case 5 where bytes.matches(element, lowercased: "close"): facts.optionClose = true
      case 10 where bytes.matches(element, lowercased: "keep-alive"): facts.optionKeepAlive = true
      case 7 where bytes.matches(element, lowercased: "upgrade"): facts.optionUpgrade = true
      case 2 where bytes.matches(element, lowercased: "te"): return  // TE is hop by hop anyway
      default:
        if connectionNames.count < Self.connectionNameLimit { connectionNames.append(element) } else { tooMany = true }
      }
    }
    if tooMany { throw .tooManyConnectionOptions }
  }

  private mutating func gatherUpgrade(_ bytes: Span<UInt8>, _ value: ByteRange) {
    Self.forEachElement(bytes, value) { element in
      if element.isEmpty || facts.upgrade == .webSocket { return }
      let found: UpgradeProtocol =
        bytes.matches(element, lowercased: "websocket") ? .webSocket : bytes.matches(element, lowercased: "h2c") ? .h2c : .other
      if found == .h2c, facts.upgrade == .other { return }
      facts.upgrade = found
      facts.upgradeToken = element
    }
  }

  /// Calls `body` for each element of a comma-separated list, without the white space around it (RFC 9110 §5.6.1); some may
  /// be empty.
  private static func forEachElement(_ bytes: Span<UInt8>, _ list: ByteRange, _ body: (ByteRange) -> Void) {
    var start = Int(list.start)
    let end = Int(list.end)
    while start <= end {
      let comma = bytes.firstIndex(of: ASCII.comma, in: start..<end) ?? end
      var first = start
      var last = comma
      while first < last, ASCII.isBlank(bytes[first]) { first &+= 1 }
      while last > first, ASCII.isBlank(bytes[last &- 1]) { last &-= 1 }
      body(ByteRange(first, last))
      start = comma &+ 1
    }
  }

  /// Marks the lines that `Connection` names, once all lines are there. Guarded names are ignored.
  mutating func markConnectionNames(_ bytes: Span<UInt8>) {
    for name in connectionNames {
      for i in lines.indices where !lines[i].known.isGuarded && bytes.matchesIgnoringCase(lines[i].name, name) {
        lines[i].flags.formUnion([.hopByHop, .namedByConnection])
      }
    }
  }

  /// `Connection` semantics of RFC 9112 §9.3.
  func keepsAlive(minorVersion: UInt8) -> Bool {
    if facts.optionClose { return false }
    return minorVersion >= 1 || facts.optionKeepAlive
  }

  /// The body of a message that may have one (RFC 9112 §6.3), or nil when no field frames it.
  func framing(minorVersion: UInt8) throws(HTTPHeadError) -> BodyFraming? {
    guard facts.transferEncodingCount > 0 else { return facts.contentLength.map { .length($0) } }
    if facts.contentLength != nil { throw .transferEncodingWithContentLength }
    if minorVersion == 0 { throw .transferEncodingInHTTP10 }
    if facts.transferEncodingCount > 1 { throw .transferEncodingRepeated }
    if facts.isChunked { return .chunked }
    throw .transferEncodingUnsupported
  }
}

extension Span<UInt8> {
  /// `1*DIGIT`, or nil when there is anything else or the value needs more than 64 bits. Leading zeros are digits too.
  public func decimal(in range: ByteRange) -> UInt64? {
    guard !range.isEmpty else { return nil }
    var value: UInt64 = 0
    for i in range.range {
      guard ASCII.isDigit(self[i]) else { return nil }
      let (product, overflow1) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = product.addingReportingOverflow(UInt64(self[i] &- 0x30))
      if overflow1 || overflow2 { return nil }
      value = sum
    }
    return value
  }
}
