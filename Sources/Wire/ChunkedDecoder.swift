/// Why a chunked body was refused. The connection must be closed and the other end must see a cut body.
public enum ChunkedError: UInt8, Error, Equatable, Sendable, CaseIterable {
  /// Not `1*16HEXDIG` followed by `;` or CRLF, or above 2^63-1.
  case sizeInvalid
  case lineEndInvalid
  /// A control byte in a chunk extension.
  case extensionInvalid
  /// More than 256 bytes for a chunk, or more than 16 KiB for the body.
  case extensionTooLong
  /// The data was longer than the size said.
  case dataEndInvalid
  case trailersTooLarge
  case trailerInvalid
}

/// Decodes `chunked` (RFC 9112 §7.1) in O(bytes), wherever the input is cut. Extensions are dropped: they are hop by hop.
public struct ChunkedDecoder: Sendable {
  public static let extensionByteLimit = 256
  public static let extensionsByteLimit = 16 * 1024
  public static let trailersByteLimit = 8 * 1024
  public static let trailerFieldLimit = 64

  public enum Event: Equatable, Sendable {
    /// Body bytes in this range of the span; never empty.
    case data(Range<Int>)
    /// All of the span was consumed.
    case needsMore
    /// The body is complete; `trailers` has what came behind it, and the offset is that of the first byte of the next message.
    case end
  }

  private enum State { case size, sizeDigits, extensions, sizeLineFeed, data, dataReturn, dataLineFeed, trailers, lastLineFeed, ended }

  private var state = State.size
  private var digits = 0
  private var remaining: UInt64 = 0
  private var extensionBytes = 0
  private var extensionsBytes = 0
  private var trailerBytes: [UInt8] = []
  private var trailerLineBytes = 0
  /// Fields behind the body that may be forwarded, as trailers only; forbidden ones are gone. Empty until `end`.
  public private(set) var trailers = Trailers()

  public init() {}

  /// Whether `end` has been reported.
  public var isComplete: Bool { state == .ended }

  /// The next event in `bytes` from `offset`, which moves over what was consumed. After `end` call it no more.
  public mutating func next(_ bytes: Span<UInt8>, from offset: inout Int) throws(ChunkedError) -> Event {
    let end = bytes.count
    while offset < end {
      let byte = bytes[offset]
      switch state {
      case .size, .sizeDigits:
        try readSize(byte)
      case .extensions:
        try readExtension(byte)
      case .sizeLineFeed:
        guard byte == ASCII.lineFeed else { throw .lineEndInvalid }
        state = remaining == 0 ? .trailers : .data
      case .data:
        let count = Int(min(remaining, UInt64(end &- offset)))
        let range = offset..<offset &+ count
        remaining &-= UInt64(count)
        if remaining == 0 { state = .dataReturn }
        offset &+= count
        return .data(range)
      case .dataReturn:
        guard byte == ASCII.carriageReturn else { throw .dataEndInvalid }
        state = .dataLineFeed
      case .dataLineFeed:
        guard byte == ASCII.lineFeed else { throw .dataEndInvalid }
        state = .size
      case .trailers where trailerBytes.isEmpty && byte == ASCII.carriageReturn:
        state = .lastLineFeed
      case .lastLineFeed:
        guard byte == ASCII.lineFeed else { throw .lineEndInvalid }
        offset &+= 1
        state = .ended
        return .end
      case .trailers:
        if try readTrailer(byte) {
          offset &+= 1
          state = .ended
          return .end
        }
      case .ended:
        return .end
      }
      offset &+= 1
    }
    return state == .ended ? .end : .needsMore
  }

  private mutating func readSize(_ byte: UInt8) throws(ChunkedError) {
    if state == .size {
      state = .sizeDigits
      digits = 0
      remaining = 0
      extensionBytes = 0
    }
    if let digit = ASCII.hexadecimalValue(byte) {
      digits &+= 1
      remaining = remaining &<< 4 | UInt64(digit)
      guard digits <= 16, remaining <= UInt64(Int64.max) else { throw .sizeInvalid }
      return
    }
    guard digits > 0 else { throw .sizeInvalid }
    switch byte {
    case ASCII.carriageReturn: state = .sizeLineFeed
    case UInt8(ascii: ";"): state = .extensions
    case ASCII.lineFeed: throw .lineEndInvalid
    default: throw .sizeInvalid
    }
  }

  private mutating func readExtension(_ byte: UInt8) throws(ChunkedError) {
    if byte == ASCII.carriageReturn {
      state = .sizeLineFeed
      return
    }
    guard ASCII.isFieldValue(byte) else { throw byte == ASCII.lineFeed ? .lineEndInvalid : .extensionInvalid }
    extensionBytes &+= 1
    extensionsBytes &+= 1
    guard extensionBytes <= Self.extensionByteLimit, extensionsBytes <= Self.extensionsByteLimit else { throw .extensionTooLong }
  }

  /// Collects a trailer section that isn't empty; true when its empty line is there.
  private mutating func readTrailer(_ byte: UInt8) throws(ChunkedError) -> Bool {
    guard trailerBytes.count < Self.trailersByteLimit else { throw .trailersTooLarge }
    trailerBytes.append(byte)
    if byte != ASCII.lineFeed {
      trailerLineBytes &+= 1
      return false
    }
    let isEmptyLine = trailerLineBytes <= 1
    trailerLineBytes = 0
    guard isEmptyLine else { return false }
    trailers = try Trailers(parsing: trailerBytes)
    trailerBytes = []
    return true
  }
}

/// The fields behind a chunked body.
public struct Trailers: Equatable, Sendable {
  /// What the ranges of `fields` point into.
  public let bytes: [UInt8]
  public let fields: [FieldLine]

  /// No trailers.
  public init() {
    bytes = []
    fields = []
  }

  public var isEmpty: Bool { fields.isEmpty }

  /// Parses field lines up to and including an empty line, which must end `bytes`. Drops what must not come behind a body.
  public init(parsing bytes: [UInt8]) throws(ChunkedError) {
    var section = FieldSection()
    var position = 0
    let isComplete: Bool
    do {
      isComplete = try section.parse(
        bytes.span, from: &position, upTo: bytes.count, limit: ChunkedDecoder.trailerFieldLimit, strictness: .trailers)
    } catch {
      throw error == .tooManyFields ? .trailersTooLarge : .trailerInvalid
    }
    guard isComplete, position == bytes.count else { throw .trailerInvalid }
    self.bytes = bytes
    fields = section.lines.filter { !$0.known.isForbiddenInTrailers && !$0.shadowsKnown }
  }
}
