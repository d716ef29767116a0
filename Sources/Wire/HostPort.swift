/// A host and a port as users write them: `example.org:80`, `127.0.0.1:80`, `[::1]:80`.
public struct HostPort: Hashable, Sendable {
  /// Lower case, without brackets and without one trailing dot. An IPv6 address is in the form of RFC 5952.
  public let host: String
  /// 0 where a listener lets the kernel choose.
  public let port: UInt16

  /// `host` must be valid already.
  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// - Parameter defaultPort: taken when `text` has no port; without it that is an error.
  public init(parsing text: String, defaultPort: UInt16? = nil) throws(AddressError) {
    guard !text.isEmpty else { throw .empty }
    if text.utf8.contains(UInt8(ascii: "@")) { throw .userInformation }
    let bytes = Array(text.utf8)
    let hostEnd: Int
    if bytes[0] == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { throw .invalidHost(text) }
      guard let address = IPAddress(ipv6: bytes.span.extracting(1..<close)) else { throw .invalidHost(text) }
      host = address.description
      hostEnd = close + 1
    } else {
      let colon = bytes.firstIndex(of: ASCII.colon) ?? bytes.count
      if colon < bytes.count, bytes[(colon + 1)...].contains(ASCII.colon) {
        throw IPAddress(bytes.span) == nil ? .invalidHost(text) : .bracketsMissing(text)
      }
      guard let field = HostField(bytes.span, ByteRange(0, colon)), field.port == nil else { throw .invalidHost(text) }
      host = field.lowercasedName(of: bytes.span)
      hostEnd = colon
    }
    if hostEnd == bytes.count {
      guard let defaultPort else { throw .portMissing(text) }
      port = defaultPort
      return
    }
    guard bytes[hostEnd] == ASCII.colon else { throw .invalidHost(text) }
    guard bytes.count - hostEnd - 1 <= 5, let value = bytes.span.decimal(in: ByteRange(hostEnd + 1, bytes.count)),
      let port = UInt16(exactly: value)
    else { throw .invalidPort(text) }
    self.port = port
  }

  public var address: IPAddress? { IPAddress(host) }
}

extension HostPort: CustomStringConvertible {
  /// Brackets around IPv6; what the parser takes again.
  public var description: String { (host.utf8.contains(ASCII.colon) ? "[\(host)]" : host) + ":\(port)" }
}
