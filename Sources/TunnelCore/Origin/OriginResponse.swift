public import CausewayBase
public import CausewayWire

/// Turns the local service's head into a `response` record: hop-by-hop fields stay behind, framing fields become the record's body length,
/// order and repetition of all others are kept.
public enum OriginResponse {
  /// Appends the record for `head`, which was parsed from `bytes`.
  public static func write(_ head: ResponseHead, _ bytes: Span<UInt8>, to out: ByteBuffer) {
    var writer = HeadRecordWriter(response: head.status, reason: bytes.extracting(head.reason), body: bodyLength(of: head), to: out)
    for line in head.fields {
      // Content-Length travels as the body's length, except where it only describes (HEAD, 304).
      if line.known == .contentLength && (head.framing != .none || head.contentLength == nil) { continue }
      if line.isHopByHop || line.isNamedByConnection || line.known == .trailer { continue }
      writer.field(bytes.extracting(line.name), bytes.extracting(line.value))
    }
    writer.finish()
  }

  public static func bodyLength(of head: ResponseHead) -> BodyLength {
    switch head.framing {
    case .none: .none
    case .length(let count): .known(count)
    case .chunked, .untilClose: .unknown
    }
  }
}
