internal import CausewayBase
package import CausewayWire

/// What proxies reported in X-Forwarded-For: each appended its own peer, so the nearest hop stands last.
package enum ForwardedChain {
  /// The visitor's address: the last one reported that is no trusted proxy itself; the first one, if all are. What stands before it may be
  /// anybody's invention. Only the proxy at the other end of the connection being trusted makes this mean anything.
  /// - Returns: The address without port and brackets; nil when none was reported.
  package static func visitor(_ head: RequestHead, _ bytes: Span<UInt8>, trusting proxies: [IPNetwork]) -> ByteRange? {
    var found: ByteRange?
    let fields = head.fields
    for index in fields.indices.reversed() where fields[index].known == .xForwardedFor {
      let value = fields[index].value
      var end = Int(value.end)
      while end > Int(value.start) {
        var start = end
        while start > Int(value.start), bytes[start - 1] != ASCII.comma { start -= 1 }
        guard let (range, address) = address(bytes, start, end) else { return found }
        found = range
        guard proxies.contains(where: { $0.contains(address) }) else { return found }
        end = start - 1
      }
    }
    return found
  }

  /// `ADDRESS`, `ADDRESS:PORT` (IPv4 only) or `[ADDRESS]:PORT`.
  private static func address(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> (ByteRange, IPAddress)? {
    var (start, end) = (start, end)
    while start < end, ASCII.isBlank(bytes[start]) { start += 1 }
    while end > start, ASCII.isBlank(bytes[end - 1]) { end -= 1 }
    if start < end, bytes[start] == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]"), in: start..<end) else { return nil }
      (start, end) = (start + 1, close)
    } else if let colon = bytes.firstIndex(of: ASCII.colon, in: start..<end),
      bytes.firstIndex(of: UInt8(ascii: "."), in: start..<colon) != nil
    {
      end = colon
    }
    return IPAddress(bytes.extracting(start..<end)).map { (ByteRange(start, end), $0) }
  }
}
