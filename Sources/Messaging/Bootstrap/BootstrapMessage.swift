internal import CausewayBase
internal import CausewayCrypto
internal import CausewayMessagingCore

/// What two sides say to each other on the bootstrap socket, each in a frame: length of what follows (32 bits, big-endian), kind
/// (8 bits), fields. Byte strings begin with their length (16 bits).
///
/// ```
/// client                                    server
///   │ hello      versions, nonce, memory ────► │  another version: refusal
///   │ ◄──── versions, nonce, memory  challenge │  not the same shared memory: addresses of networks only
///   │ proof      MAC, connection, address ───► │  a wrong MAC: refusal
///   │ ◄──────── MAC, connection, address  welcome
///   │ reading    it can read the server ─────► │  only a client on the server's host
///   │ … both keep it open: its end is the peer's end; goodbye before it says that it was meant …
/// ```
enum BootstrapMessage: Equatable {
  case hello(Hello)
  case challenge(Challenge)
  case proof(Introduction)
  case welcome(Introduction)
  case refusal(Refusal)
  case goodbye
  /// The client can read the server's memory, and takes offers. What the server can is in its welcome.
  case reading

  /// 2: `memory`, `readsPeer` and `reading`; offers and their returns in headers. 3: `sharing`.
  static let protocolVersion: UInt16 = 3
  static let magic: UInt64 = 0x6377_6d73_6731_0d0a  // "cwmsg1\r\n": no text protocol begins with a length and this
  /// Bytes of a frame behind its length, at most; and of all frames together that a side without proof may send.
  static let frameLimit = 8 << 10
  static let nonceByteCount = 32
  static let addressLimit = 6 << 10

  struct Version: Equatable {
    var proto: UInt16
    var ucxMajor: UInt16
    var ucxMinor: UInt16
    var ucxPatch: UInt16
    var path: String

    func fits(_ other: Version) -> Bool { proto == other.proto && ucxMajor == other.ucxMajor && ucxMinor == other.ucxMinor }
    var text: String { "protocol \(proto), UCX \(ucxMajor).\(ucxMinor).\(ucxPatch) at \(path)" }
  }

  struct Hello: Equatable {
    var version: Version
    var nonce: [UInt8]
    /// The server that is meant, when an address blob names it; else zeros.
    var server: [UInt8]
    /// `HostDigest.sharing`: sides with different ones use no shared memory.
    var sharing: [UInt8]
    var hasKey: Bool
  }

  struct Challenge: Equatable {
    var version: Version
    var nonce: [UInt8]
    var sharing: [UInt8]
    var wantsKey: Bool
  }

  struct Introduction: Equatable {
    var code: [UInt8]
    var connection: ConnectionAddress
    var worker: [UInt8]
    /// Where a peer on this host may read this side.
    var memory: MemoryPlace?
    /// It can read the peer's. A client doesn't know yet.
    var readsPeer = false
  }

  struct Refusal: Equatable {
    var code: MessagingError.Code
    var text: String
  }

  // MARK: Writing

  func encode(into buffer: ByteBuffer) {
    let body = ByteBuffer()
    switch self {
    case .hello(let hello):
      body.append(1)
      body.appendBigEndian(Self.magic)
      Self.append(hello.version, body)
      Self.append(hello.nonce, body)
      Self.append(hello.server, body)
      Self.append(hello.sharing, body)
      body.append(hello.hasKey ? 1 : 0)
    case .challenge(let challenge):
      body.append(2)
      Self.append(challenge.version, body)
      Self.append(challenge.nonce, body)
      Self.append(challenge.sharing, body)
      body.append(challenge.wantsKey ? 1 : 0)
    case .proof(let introduction):
      body.append(3)
      Self.append(introduction, body)
    case .welcome(let introduction):
      body.append(4)
      Self.append(introduction, body)
    case .refusal(let refusal):
      body.append(5)
      body.appendBigEndian(UInt32(bitPattern: refusal.code.rawValue))
      Self.append(Array(refusal.text.utf8.prefix(2048)), body)
    case .goodbye: body.append(6)
    case .reading: body.append(7)
    }
    buffer.appendBigEndian(UInt32(body.count))
    buffer.append(body)
  }

  private static func append(_ bytes: [UInt8], _ body: ByteBuffer) {
    body.appendBigEndian(UInt16(bytes.count))
    body.append(bytes.span)
  }

  private static func append(_ version: Version, _ body: ByteBuffer) {
    for number in [version.proto, version.ucxMajor, version.ucxMinor, version.ucxPatch] { body.appendBigEndian(number) }
    append(Array(version.path.utf8.prefix(1024)), body)
  }

  private static func append(_ introduction: Introduction, _ body: ByteBuffer) {
    append(introduction.code, body)
    body.appendBigEndian(introduction.connection.identifier)
    body.appendBigEndian(introduction.connection.check)
    body.appendBigEndian(introduction.connection.grant)
    append(introduction.worker, body)
    append(introduction.memory, body)
    body.append(introduction.readsPeer ? 1 : 0)
  }

  static func append(_ memory: MemoryPlace?, _ body: ByteBuffer) {
    body.append(memory == nil ? 0 : 1)
    guard let memory else { return }
    append(memory.host, body)
    body.appendBigEndian(memory.process)
    body.appendBigEndian(memory.descriptor)
    body.appendBigEndian(memory.address)
  }

  // MARK: Reading

  enum Parsed: Equatable {
    /// More bytes are needed.
    case incomplete
    /// A message, and the bytes it took.
    case message(BootstrapMessage, byteCount: Int)
    /// No messaging peer speaks like this.
    case garbage
  }

  static func parse(_ bytes: Span<UInt8>) -> Parsed {
    guard bytes.count >= 4 else { return .incomplete }
    var length = 0
    for index in 0..<4 { length = length << 8 | Int(bytes[index]) }
    guard length >= 1, length <= frameLimit else { return .garbage }
    guard bytes.count >= 4 + length else { return .incomplete }
    var reader = Reader(offset: 4, end: 4 + length)
    guard let message = read(bytes, &reader), reader.offset == reader.end else { return .garbage }
    return .message(message, byteCount: 4 + length)
  }

  private struct Reader {
    var offset: Int
    let end: Int

    mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_ bytes: Span<UInt8>) -> T? {
      guard end - offset >= MemoryLayout<T>.size else { return nil }
      var value: T = 0
      for _ in 0..<MemoryLayout<T>.size {
        value = value &<< 8 | T(bytes[offset])
        offset += 1
      }
      return value
    }

    mutating func string(_ bytes: Span<UInt8>, atMost limit: Int) -> [UInt8]? {
      guard let count: UInt16 = integer(bytes), count <= limit, end - offset >= count else { return nil }
      var result: [UInt8] = []
      result.reserveCapacity(Int(count))
      for index in offset..<offset + Int(count) { result.append(bytes[index]) }
      offset += Int(count)
      return result
    }

    mutating func version(_ bytes: Span<UInt8>) -> Version? {
      guard let proto: UInt16 = integer(bytes), let major: UInt16 = integer(bytes), let minor: UInt16 = integer(bytes),
        let patch: UInt16 = integer(bytes), let path = string(bytes, atMost: 1024)
      else { return nil }
      return Version(proto: proto, ucxMajor: major, ucxMinor: minor, ucxPatch: patch, path: printable(path))
    }

    /// What another version says after that is its own business: it is told both versions, and refused.
    mutating func skip(_ version: Version) -> Hello {
      offset = end
      return Hello(
        version: version, nonce: [UInt8](repeating: 0, count: nonceByteCount), server: ServerID.none.bytes,
        sharing: [UInt8](repeating: 0, count: HostDigest.byteCount), hasKey: false)
    }

    mutating func introduction(_ bytes: Span<UInt8>) -> Introduction? {
      guard let code = string(bytes, atMost: HMACSHA256.byteCount), let identifier: UInt32 = integer(bytes),
        let check: UInt16 = integer(bytes), let grant: UInt32 = integer(bytes), let worker = string(bytes, atMost: addressLimit),
        !worker.isEmpty, let hasMemory = flag(bytes)
      else { return nil }
      let memory = hasMemory ? memory(bytes) : nil
      guard (memory != nil) == hasMemory, let readsPeer = flag(bytes) else { return nil }
      return Introduction(
        code: code, connection: ConnectionAddress(identifier: identifier, check: check, grant: grant), worker: worker, memory: memory,
        readsPeer: readsPeer)
    }

    mutating func memory(_ bytes: Span<UInt8>) -> MemoryPlace? {
      guard let host = string(bytes, of: MemoryPlace.hostByteCount),
        let process: UInt32 = integer(bytes), let descriptor: UInt32 = integer(bytes), let address: UInt64 = integer(bytes)
      else { return nil }
      return MemoryPlace(host: host, process: process, descriptor: descriptor, address: address)
    }

    /// Exactly so many bytes.
    mutating func string(_ bytes: Span<UInt8>, of count: Int) -> [UInt8]? {
      guard let found = string(bytes, atMost: count), found.count == count else { return nil }
      return found
    }

    mutating func flag(_ bytes: Span<UInt8>) -> Bool? {
      guard let value: UInt8 = integer(bytes), value <= 1 else { return nil }
      return value == 1
    }
  }

  private static func read(_ bytes: Span<UInt8>, _ reader: inout Reader) -> BootstrapMessage? {
    guard let kind: UInt8 = reader.integer(bytes) else { return nil }
    switch kind {
    case 1:
      guard let magic: UInt64 = reader.integer(bytes), magic == Self.magic, let version = reader.version(bytes) else { return nil }
      if version.proto != protocolVersion { return .hello(reader.skip(version)) }
      guard let nonce = reader.string(bytes, of: nonceByteCount), let server = reader.string(bytes, of: ServerID.byteCount),
        let sharing = reader.string(bytes, of: HostDigest.byteCount), let hasKey = reader.flag(bytes)
      else { return nil }
      return .hello(Hello(version: version, nonce: nonce, server: server, sharing: sharing, hasKey: hasKey))
    case 2:
      guard let version = reader.version(bytes) else { return nil }
      if version.proto != protocolVersion {
        let hello = reader.skip(version)
        return .challenge(Challenge(version: version, nonce: hello.nonce, sharing: hello.sharing, wantsKey: false))
      }
      guard let nonce = reader.string(bytes, of: nonceByteCount), let sharing = reader.string(bytes, of: HostDigest.byteCount),
        let wantsKey = reader.flag(bytes)
      else { return nil }
      return .challenge(Challenge(version: version, nonce: nonce, sharing: sharing, wantsKey: wantsKey))
    case 3: return reader.introduction(bytes).map { .proof($0) }
    case 4: return reader.introduction(bytes).map { .welcome($0) }
    case 5:
      guard let code: UInt32 = reader.integer(bytes), let text = reader.string(bytes, atMost: 2048) else { return nil }
      return .refusal(Refusal(code: MessagingError.Code(rawValue: Int32(bitPattern: code)), text: printable(text)))
    case 6: return .goodbye
    case 7: return .reading
    default: return nil
    }
  }

  /// A peer's text on one line, without control characters, and never longer than its bytes.
  private static func printable(_ bytes: [UInt8]) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return String(decoding: bytes.map { (0x20...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
    }
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { scalars.append(scalar.properties.generalCategory == .control ? "?" : scalar) }
    return String(scalars)
  }
}

/// A server's own random name.
struct ServerID: Equatable, Sendable {
  static let byteCount = 16
  static let none = ServerID(bytes: [UInt8](repeating: 0, count: byteCount))
  let bytes: [UInt8]

  static func random() -> ServerID {
    let bytes = SecureRandom.bytes(InlineArray<16, UInt8>.self)
    return ServerID(bytes: bytes.indices.map { bytes[$0] })
  }
}
