public import CausewayBase

/// A stream's bytes are records, until a head says that raw bytes follow:
/// ```
/// +---------------+-----------------------------------------------+
/// |     type      |                payload length                 |
/// +---------------+-----------------------------------------------+
/// ```
/// A relay's stream begins with `open`. TCP is raw behind it, a WebSocket is raw behind a 101 response, in both directions; HTTP goes on
/// with `data` and ends with `trailers`, so that a missing end shows.
public enum RecordKind: UInt8, Sendable {
  /// Kind, tunnel and (HTTP, WebSocket) the request's head. See `OpenRecord`.
  case open = 1
  /// A response's head; any number of 1xx ones may come first. See `ResponseRecord`.
  case response = 2
  /// A piece of the body.
  case data = 3
  /// The explicit end of the message, with its trailer fields (often none).
  case trailers = 4
}

public enum Record {
  public static let headerByteCount = 4
  /// A head or trailer record's payload; data records may have up to 16 MiB - 1.
  public static let maximumHeadByteCount = 48 * 1024
  public static let maximumDataByteCount = 1 << 24 - 1

  /// Appends a record header.
  public static func appendHeader(_ kind: RecordKind, payloadByteCount: Int, to out: ByteBuffer) {
    out.appendBigEndian(UInt32(kind.rawValue) << 24 | UInt32(payloadByteCount))
  }

  /// Writes a record header into the first four bytes of `memory`: for payloads read from a socket right behind it.
  public static func writeHeader(_ kind: RecordKind, payloadByteCount: Int, to memory: UnsafeMutableRawBufferPointer) {
    precondition(memory.count >= headerByteCount, "no room for a record header")
    // SAFETY: four bytes, checked above; storeBytes allows any alignment.
    unsafe memory.storeBytes(of: (UInt32(kind.rawValue) << 24 | UInt32(payloadByteCount)).bigEndian, as: UInt32.self)
  }
}

/// What the record parser found; ranges point into the span given to `next`, except for a collected head.
public enum RecordEvent: Equatable, Sendable {
  /// A whole head or trailer record; its payload is this range of the span.
  case head(RecordKind, Range<Int>)
  /// A whole head or trailer record that came in pieces; its payload is `RecordParser.collected`.
  case collectedHead(RecordKind)
  /// A piece of the body.
  case data(Range<Int>)
}

/// Cuts a stream's bytes into records, whatever the pieces they arrive in. Body bytes pass through as ranges, uncopied.
public struct RecordParser: ~Copyable {
  /// The payload of a head that arrived in pieces. Valid until the next call of `next`.
  public let collected = ByteBuffer()
  private var header: UInt32 = 0
  private var headerCount = 0
  private var kind = RecordKind.data
  private var remaining = 0
  private var isCollecting = false
  private var hasHeader = false

  public init() {}

  /// Body bytes left of the data record that has begun; 0 when the next byte is something else.
  public var bodyRemaining: Int { hasHeader && kind == .data ? remaining : 0 }

  /// Takes `count` bytes of the body, at most `bodyRemaining`, without looking at them.
  public mutating func skipBody(_ count: Int) {
    precondition(count <= bodyRemaining, "skipped more than the body")
    remaining -= count
    if remaining == 0 { hasHeader = false }
  }

  /// Whether the last record is whole: an end of the stream elsewhere is a truncation.
  public var isBetweenRecords: Bool { headerCount == 0 && !hasHeader }

  /// Begins a new stream, keeping the memory of `collected` if it is small.
  public mutating func reset() {
    header = 0
    headerCount = 0
    hasHeader = false
    isCollecting = false
    collected.removeAll()
    collected.trim(above: 4096)
  }

  /// The next event in `bytes` from `offset`, which moves behind it; nil when all bytes are used.
  public mutating func next(_ bytes: Span<UInt8>, _ offset: inout Int) throws(RecordError) -> RecordEvent? {
    while offset < bytes.count {
      if !hasHeader {
        header = header << 8 | UInt32(bytes[offset])
        headerCount += 1
        offset += 1
        guard headerCount == Record.headerByteCount else { continue }
        guard let kind = RecordKind(rawValue: UInt8(header >> 24)) else { throw .unknownKind(UInt8(header >> 24)) }
        self.kind = kind
        remaining = Int(header & 0xFF_FFFF)
        headerCount = 0
        hasHeader = true
        isCollecting = false
        if kind != .data {
          guard remaining <= Record.maximumHeadByteCount else { throw .headTooLarge(remaining) }
          if remaining <= bytes.count - offset {
            let range = offset..<offset + remaining
            offset += remaining
            hasHeader = false
            return .head(kind, range)
          }
          collected.removeAll()
          isCollecting = true
        } else if remaining == 0 {
          hasHeader = false
        }
        continue
      }
      let part = min(remaining, bytes.count - offset)
      let range = offset..<offset + part
      offset += part
      remaining -= part
      if remaining == 0 { hasHeader = false }
      if !isCollecting { return .data(range) }
      collected.append(bytes.extracting(range))
      if remaining == 0 { return .collectedHead(kind) }
    }
    // An empty head record may end exactly where the bytes do; it was returned above.
    return nil
  }
}

/// The peer's records are damaged: the stream is reset.
public enum RecordError: Error, Equatable, Sendable {
  case unknownKind(UInt8)
  case headTooLarge(Int)
  case malformed(String)
}
