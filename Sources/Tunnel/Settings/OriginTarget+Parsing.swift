internal import CausewayBase
internal import CausewayTunnelCore
package import CausewayWire

// Settings/ turns what a user wrote (arguments, environment, files) into a `TunnelClientConfiguration`, or into one line that says what is
// wrong. Start with ClientSettings.swift.

extension OriginTarget {
  /// `3000`, `box:3000`, `http://…`, `https://…`, `unix:/path`; a TCP tunnel takes no http URL.
  /// - Parameters:
  ///   - subject: What messages call the value: `PORT|HOST:PORT|URL`, `tunnels[0].local`.
  ///   - isInsecure: `--origin-insecure`.
  package init(parsing text: String, isHTTP: Bool, isInsecure: Bool = false) throws(TargetError) {
    if text.isEmpty { throw TargetError("the local service is empty: write a port like 3000, or HOST:PORT") }
    let lowered = text.lowercased()
    if text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
      guard text.utf8.count <= 5, let port = UInt16(text), port > 0 else { throw Self.outOfRange(text) }
      self.init(address: .loopbackPort(port))
    } else if lowered.hasPrefix("unix:") {
      try self.init(socket: text)
    } else if text.contains("://") {
      try self.init(url: text, isHTTP: isHTTP, isInsecure: isInsecure)
    } else {
      if text.contains("/") { throw TargetError("'\(text.printable)' has a path: a tunnel leads to a whole service, write HOST:PORT") }
      let address = try Self.hostPort(text, defaultPort: nil)
      self.init(address: .hostPort(address.host, address.port))
    }
  }

  private init(socket text: String) throws(TargetError) {
    var path = text.dropFirst(5)
    if path.hasPrefix("//") { path = path.dropFirst(2) }
    guard !path.isEmpty, !path.utf8.contains(0) else { throw TargetError("'\(text.printable)' has no path: write unix:/path/to/socket") }
    guard path.utf8.count <= Self.socketPathByteLimit else {
      throw TargetError(
        "the socket's path is longer than \(Self.socketPathByteLimit) bytes, the kernel's limit: link to it from a shorter one")
    }
    self.init(address: .unixSocket(String(path)))
  }

  /// sockaddr_un.sun_path less its final NUL.
  private static let socketPathByteLimit = 107

  private init(url text: String, isHTTP: Bool, isInsecure: Bool) throws(TargetError) {
    let url: ServerURL
    do throws(AddressError) { url = try ServerURL(parsing: text) } catch {
      if case .invalidPort = error { throw Self.outOfRange(text) }
      throw TargetError(error.description)
    }
    if !isHTTP { throw TargetError("'\(text.printable)' is a URL, but a tcp tunnel carries bytes: write \(url.address)") }
    guard url.path.isEmpty || url.path == "/" else {
      throw TargetError("'\(text.printable)' has a path: a tunnel leads to a whole service, write \(url.origin)")
    }
    self.init(address: .hostPort(url.address.host, url.address.port))
    guard url.isSecure else { return }
    usesTLS = true
    verifiesCertificate = !url.address.isLoopback && !isInsecure
    serverName = url.address.host
  }

  private static func hostPort(_ text: String, defaultPort: UInt16?) throws(TargetError) -> HostPort {
    do throws(AddressError) {
      let address = try HostPort(parsing: text, defaultPort: defaultPort)
      guard address.port > 0 else { throw AddressError.invalidPort(text) }
      return address
    } catch {
      switch error {
      case .invalidPort: throw outOfRange(text)
      case .portMissing: throw TargetError("no port in '\(text.printable)': write \(text.printable):PORT, or a port alone for this machine")
      default: throw TargetError(error.description)
      }
    }
  }

  private static func outOfRange(_ text: String) -> TargetError {
    TargetError("the port in '\(text.printable)' is out of range: ports go from 1 to 65535")
  }

  /// What `--host-header rewrite` sends: as a browser on this machine would write it.
  var localAuthority: String {
    switch address {
    case .loopbackPort(let port): return port == 80 ? "localhost" : "localhost:\(port)"
    case .unixSocket: return "localhost"
    case .hostPort(let host, let port):
      let address = HostPort(host: host, port: port)
      guard port == (usesTLS ? 443 : 80) else { return address.description }
      return String(address.description.dropLast(String(port).utf8.count + 1))
    }
  }

  /// `rewrite`, or the very value of the Host field.
  package mutating func setHostHeader(_ text: String) throws(TargetError) {
    if text == "rewrite" {
      hostHeader = .fixed(Array(localAuthority.utf8))
      return
    }
    do throws(AddressError) { _ = try HostPort(parsing: text, defaultPort: 80) } catch {
      throw TargetError("'\(text.printable)' is no host: write rewrite, or a name like app.example.com")
    }
    hostHeader = .fixed(Array(text.utf8))
  }
}

/// Why a text names no local service: one line without the place, which the caller knows.
package struct TargetError: Error, Equatable, Sendable, CustomStringConvertible {
  package var description: String
  init(_ description: String) { self.description = description }
}

extension HostPort {
  /// Packets to it stay on this machine: 127.0.0.0/8, ::1, localhost and what is below it (RFC 6761 §6.3).
  package var isLoopback: Bool { address?.isLoopback ?? (host == "localhost" || host.hasSuffix(".localhost")) }
}
