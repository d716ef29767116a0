public import CausewayBase
internal import CausewayWire

/// What a client asks for: one public name or port.
public struct TunnelRequest: Equatable, Sendable {
  /// Chosen by the client; the answer repeats it.
  public var request: Int
  public var isHTTP: Bool
  /// A wish; nil for a random one.
  public var subdomain: String?
  /// The random name of an earlier session, given again if it is still to be had.
  public var previousName: String?
  /// TCP only; nil for any.
  public var remotePort: UInt16?
  /// HTTP only: visitors must bring this USER:PASS. A salted hash, never the password.
  public var basicAuth: BasicAuth?

  public struct BasicAuth: Equatable, Sendable {
    public var salt: [UInt8]
    public var iterations: Int
    public var hash: [UInt8]

    public init(salt: [UInt8], iterations: Int, hash: [UInt8]) {
      self.salt = salt
      self.iterations = iterations
      self.hash = hash
    }
  }

  public init(request: Int, isHTTP: Bool, subdomain: String? = nil, remotePort: UInt16? = nil, basicAuth: BasicAuth? = nil) {
    self.request = request
    self.isHTTP = isHTTP
    self.subdomain = subdomain
    self.remotePort = remotePort
    self.basicAuth = basicAuth
  }
}

/// What a client got.
public struct TunnelGrant: Equatable, Sendable {
  public var request: Int
  /// The tunnel's number in `open` records.
  public var tunnel: UInt16
  public var url: String
  public var subdomain: String
  public var remotePort: UInt16?

  public init(request: Int, tunnel: UInt16, url: String, subdomain: String, remotePort: UInt16? = nil) {
    self.request = request
    self.tunnel = tunnel
    self.url = url
    self.subdomain = subdomain
    self.remotePort = remotePort
  }
}

/// A refusal, of a login or of one tunnel.
public struct ControlError: Error, Equatable, Sendable {
  /// The field's words for machines.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public static let unauthorized = Code(rawValue: "UNAUTHORIZED")
    public static let versionUnsupported = Code(rawValue: "VERSION_UNSUPPORTED")
    public static let resumeRefused = Code(rawValue: "RESUME_REFUSED")
    public static let nameTaken = Code(rawValue: "NAME_TAKEN")
    public static let nameInvalid = Code(rawValue: "NAME_INVALID")
    public static let portUnavailable = Code(rawValue: "PORT_UNAVAILABLE")
    /// Outside the relay's range: a mistake of the one who asked, not a shortage.
    public static let portInvalid = Code(rawValue: "PORT_INVALID")
    public static let limitReached = Code(rawValue: "LIMIT_REACHED")
    /// One tunnel of a running session is gone; `request` says which. The others go on.
    public static let nameLost = Code(rawValue: "NAME_LOST")
    /// The relay is stopping; the next one will be there soon.
    public static let relayStopping = Code(rawValue: "RELAY_STOPPING")
    public static let busy = Code(rawValue: "BUSY")
    public static let sessionEnded = Code(rawValue: "SESSION_ENDED")
    public static let protocolError = Code(rawValue: "PROTOCOL_ERROR")
  }

  public var code: Code
  /// One sentence for people: what, and what to do.
  public var message: String
  /// Which `TunnelRequest` it answers.
  public var request: Int?
  /// Seconds after which it may be worth another try.
  public var retryAfter: Int?

  public init(_ code: Code, _ message: String, request: Int? = nil, retryAfter: Int? = nil) {
    self.code = code
    self.message = message
    self.request = request
    self.retryAfter = retryAfter
  }

  /// Whether trying again can't help: the client ends with exit code 69.
  public var isFinal: Bool {
    switch code {
    case .unauthorized, .versionUnsupported, .nameTaken, .nameInvalid, .portInvalid, .portUnavailable: retryAfter == nil
    default: false
    }
  }
}

/// The control messages of version 3: MessagePack maps with a `Type`, as in versions 1 and 2 of the published clients, so that
/// one endpoint can carry all of them. Unknown keys are ignored; unknown types too, after login.
public enum ControlMessage: Equatable, Sendable {
  /// `Auth`: the first message of a connection.
  case authenticate(token: String, version: Int)
  /// `HeartbeatAck`: the version in force, and (version 3) the relay's nonce for a resume.
  case accepted(version: Int, nonce: [UInt8])
  case error(ControlError)
  /// `SessionStart`: a new session.
  case start
  /// `SessionStarted`: its name and resume key, for the client's memory only.
  case started(id: [UInt8], key: [UInt8])
  /// `SessionResume`.
  case resume(id: [UInt8], generation: UInt32, nonce: [UInt8], proof: [UInt8])
  /// `SessionResumed`: the next generation.
  case resumed(generation: UInt32)
  case create(TunnelRequest)
  case created(TunnelGrant)
  /// `SessionEnd`: this side is done; no resume will come.
  case end(reason: String)
  case unknown(type: String)

  public static let version = 3

  /// Appends the message as a MessagePack map.
  public func encode(to out: ByteBuffer) {
    typealias Entry = MessagePackValue.Entry
    var entries: [Entry]
    switch self {
    case .authenticate(let token, let version):
      entries = [Entry("Type", .string("Auth")), Entry("token", .string(token)), Entry("version", .int(Int64(version)))]
    case .accepted(let version, let nonce):
      entries = [Entry("Type", .string("HeartbeatAck")), Entry("version", .int(Int64(version))), Entry("nonce", .binary(nonce))]
    case .error(let error):
      entries = [Entry("Type", .string("Error")), Entry("code", .string(error.code.rawValue)), Entry("message", .string(error.message))]
      if let request = error.request { entries.append(Entry("request", .int(Int64(request)))) }
      if let retryAfter = error.retryAfter { entries.append(Entry("retry_after", .int(Int64(retryAfter)))) }
    case .start: entries = [Entry("Type", .string("SessionStart"))]
    case .started(let id, let key):
      entries = [Entry("Type", .string("SessionStarted")), Entry("session", .binary(id)), Entry("key", .binary(key))]
    case .resume(let id, let generation, let nonce, let proof):
      entries = [
        Entry("Type", .string("SessionResume")), Entry("session", .binary(id)), Entry("generation", .int(Int64(generation))),
        Entry("nonce", .binary(nonce)), Entry("proof", .binary(proof)),
      ]
    case .resumed(let generation): entries = [Entry("Type", .string("SessionResumed")), Entry("generation", .int(Int64(generation)))]
    case .create(let request):
      entries = [
        Entry("Type", .string("TunnelCreate")), Entry("request", .int(Int64(request.request))),
        Entry("protocol", .string(request.isHTTP ? "http" : "tcp")),
      ]
      if let subdomain = request.subdomain { entries.append(Entry("subdomain", .string(subdomain))) }
      if let previous = request.previousName { entries.append(Entry("previous", .string(previous))) }
      if let port = request.remotePort { entries.append(Entry("remote_port", .int(Int64(port)))) }
      if let auth = request.basicAuth {
        entries.append(
          Entry(
            "basic_auth",
            .map([Entry("salt", .binary(auth.salt)), Entry("iterations", .int(Int64(auth.iterations))), Entry("hash", .binary(auth.hash))]))
        )
      }
    case .created(let grant):
      entries = [
        Entry("Type", .string("TunnelCreated")), Entry("request", .int(Int64(grant.request))), Entry("tunnel", .int(Int64(grant.tunnel))),
        Entry("url", .string(grant.url)), Entry("subdomain", .string(grant.subdomain)),
      ]
      if let port = grant.remotePort { entries.append(Entry("remote_port", .int(Int64(port)))) }
    case .end(let reason): entries = [Entry("Type", .string("SessionEnd")), Entry("reason", .string(reason))]
    case .unknown(let type): entries = [Entry("Type", .string(type))]
    }
    MessagePackValue.map(entries).encode(to: out)
  }

  /// Reads one map. Throws what is missing or of the wrong kind.
  public init(_ bytes: Span<UInt8>) throws(ControlError) {
    let map: MessagePackValue
    do throws(MessagePackError) {
      map = try MessagePackValue(decoding: bytes, limits: .init(depth: 4, valueCount: 256))
    } catch {
      throw ControlError(.protocolError, "control message is not MessagePack: \(error)")
    }
    guard let type = map["Type"]?.string else { throw ControlError(.protocolError, "control message without a Type") }
    func need<T>(_ key: String, _ value: T?) throws(ControlError) -> T {
      guard let value else { throw ControlError(.protocolError, "\(type): '\(key)' is missing or of the wrong kind") }
      return value
    }
    func number<T: FixedWidthInteger>(_ key: String, as: T.Type) -> T? { map[key]?.int.flatMap { T(exactly: $0) } }
    switch type {
    case "Auth": self = .authenticate(token: try need("token", map["token"]?.string), version: number("version", as: Int.self) ?? 1)
    case "HeartbeatAck": self = .accepted(version: number("version", as: Int.self) ?? 1, nonce: map["nonce"]?.binary ?? [])
    case "Error":
      self = .error(
        ControlError(
          .init(rawValue: try need("code", map["code"]?.string)), try need("message", map["message"]?.string),
          request: number("request", as: Int.self), retryAfter: number("retry_after", as: Int.self)))
    case "SessionStart": self = .start
    case "SessionStarted": self = .started(id: try need("session", map["session"]?.binary), key: try need("key", map["key"]?.binary))
    case "SessionResume":
      self = .resume(
        id: try need("session", map["session"]?.binary), generation: try need("generation", number("generation", as: UInt32.self)),
        nonce: try need("nonce", map["nonce"]?.binary), proof: try need("proof", map["proof"]?.binary))
    case "SessionResumed": self = .resumed(generation: try need("generation", number("generation", as: UInt32.self)))
    case "TunnelCreate":
      let kind = try need("protocol", map["protocol"]?.string)
      guard kind == "http" || kind == "tcp" else { throw ControlError(.protocolError, "TunnelCreate: protocol '\(kind)'") }
      var request = TunnelRequest(
        request: number("request", as: Int.self) ?? 0, isHTTP: kind == "http", subdomain: map["subdomain"]?.string,
        remotePort: number("remote_port", as: UInt16.self))
      request.previousName = map["previous"]?.string
      if let auth = map["basic_auth"] {
        request.basicAuth = .init(
          salt: try need("salt", auth["salt"]?.binary),
          iterations: try need("iterations", auth["iterations"]?.int.flatMap { Int(exactly: $0) }),
          hash: try need("hash", auth["hash"]?.binary))
      }
      self = .create(request)
    case "TunnelCreated":
      self = .created(
        TunnelGrant(
          request: number("request", as: Int.self) ?? 0, tunnel: try need("tunnel", number("tunnel", as: UInt16.self)),
          url: try need("url", map["url"]?.string), subdomain: try need("subdomain", map["subdomain"]?.string),
          remotePort: number("remote_port", as: UInt16.self)))
    case "SessionEnd": self = .end(reason: map["reason"]?.string ?? "")
    default: self = .unknown(type: type)
    }
  }
}
