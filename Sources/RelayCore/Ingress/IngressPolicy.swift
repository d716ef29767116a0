// CausewayRelayCore, Ingress: what a relay decides about a visitor's HTTP without touching a socket. A parsed head becomes a place (this
// relay, a tunnel, nowhere) and an `open` record; a `response` record becomes the head that this visitor can understand; what goes
// wrong becomes a page that says whose fault it is. Start with IngressPolicy, then OpenRecord and VisitorResponse.
internal import CausewayBase
public import CausewayWire

/// Whom a Host names.
public enum HostTarget: Equatable, Sendable {
  /// The relay itself: control path and REST.
  case relay
  /// A tunnel; the range is the name without the domain, in the case it was sent in.
  case tunnel(ByteRange)
  /// Some other domain.
  case foreign
}

/// What the relay is called, and so which requests are its own.
public struct IngressPolicy: Sendable {
  /// Tunnels are `NAME.domain`. Lower case.
  public let domain: [UInt8]
  /// The host of `--public-url`, lower case, or empty.
  public let publicHost: [UInt8]
  /// This relay's name in Via: random for each process, so that only its own loops count.
  public let pseudonym: [UInt8]
  /// A request that carries the pseudonym so often goes in circles: 508.
  public static let loopLimit = 2
  /// Networks of `--trusted-proxy`.
  public let trustedProxies: [IPNetwork]

  public init(domain: String, publicHost: String?, pseudonym: String, trustedProxies: [IPNetwork] = []) {
    self.domain = Array(domain.lowercased().utf8)
    self.publicHost = Array((publicHost ?? "").lowercased().utf8)
    self.pseudonym = Array(pseudonym.utf8)
    self.trustedProxies = trustedProxies
  }

  /// `name` is a host without port and trailing dot, as `HostField` has it.
  public func classify(_ bytes: Span<UInt8>, _ name: ByteRange) -> HostTarget {
    if isLiteral(bytes, name) || bytes.matches(name, lowercased: "localhost") { return .relay }
    if matches(bytes, name, domain) || !publicHost.isEmpty && matches(bytes, name, publicHost) { return .relay }
    let dot = Int(name.end) - domain.count - 1
    guard dot > Int(name.start), bytes[dot] == UInt8(ascii: "."), matches(bytes, ByteRange(dot + 1, Int(name.end)), domain) else {
      return .foreign
    }
    return .tunnel(ByteRange(Int(name.start), dot))
  }

  private func matches(_ bytes: Span<UInt8>, _ range: ByteRange, _ lowercased: [UInt8]) -> Bool {
    guard range.count == lowercased.count else { return false }
    for index in 0..<range.count where ASCII.lowercased(bytes[Int(range.start) + index]) != lowercased[index] { return false }
    return true
  }

  /// An address: in brackets, or digits and dots only (no domain name ends in a digit label).
  private func isLiteral(_ bytes: Span<UInt8>, _ name: ByteRange) -> Bool {
    if !name.isEmpty, bytes[Int(name.start)] == UInt8(ascii: "[") { return true }
    for index in name.range where !ASCII.isDigit(bytes[index]) && bytes[index] != UInt8(ascii: ".") { return false }
    return !name.isEmpty
  }

  /// Whether the request has passed this relay too often already.
  public func isLoop(_ head: RequestHead, _ bytes: Span<UInt8>) -> Bool {
    var count = 0
    for field in head.fields where field.known == .via {
      var index = Int(field.value.start)
      while index + pseudonym.count <= Int(field.value.end) {
        if isPseudonym(bytes, index) {
          count += 1
          if count >= Self.loopLimit { return true }
          index += pseudonym.count
        } else {
          index += 1
        }
      }
    }
    return false
  }

  /// The address that counts for a visitor: its own, or what a trusted proxy reported.
  public func address(of visitor: Visitor, _ head: RequestHead, _ bytes: Span<UInt8>) -> IPAddress? {
    guard visitor.isTrustedProxy else { return visitor.ip }
    guard let range = ForwardedChain.visitor(head, bytes, trusting: trustedProxies) else { return nil }
    return IPAddress(bytes.extracting(range))
  }

  private func isPseudonym(_ bytes: Span<UInt8>, _ start: Int) -> Bool {
    guard !pseudonym.isEmpty else { return false }
    for index in 0..<pseudonym.count where bytes[start + index] != pseudonym[index] { return false }
    return true
  }
}

/// Who stands at the other end of a visitor's connection.
public struct Visitor: Sendable {
  /// The address without its port, as X-Forwarded-For writes it.
  public var address: [UInt8]
  /// The same as a number, to count by; nil for a unix socket.
  public var ip: IPAddress?
  /// Its network is one of `--trusted-proxy`: what it says about earlier hops is believed.
  public var isTrustedProxy: Bool
  /// It came over TLS.
  public var isSecure: Bool

  public init(address: String, ip: IPAddress? = nil, isTrustedProxy: Bool = false, isSecure: Bool = false) {
    self.address = Array(address.utf8)
    self.ip = ip
    self.isTrustedProxy = isTrustedProxy
    self.isSecure = isSecure
  }
}
