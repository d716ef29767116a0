internal import CLinux
public import CausewayBase
internal import Glibc

/// An IPv4, IPv6 or unix-domain socket address. Text is made only when asked for; copying an IP address allocates nothing.
public struct SocketAddress: Hashable, Sendable {
  public enum Family: UInt8, Sendable { case ipv4, ipv6, unix }

  public let family: Family
  /// In host order; 0 for unix.
  public var port: UInt16
  /// The interface of a link-local IPv6 address, else 0.
  public let scope: UInt32
  /// The 16 address bytes as two big-endian numbers. IPv4 in its mapped form ::ffff:a.b.c.d (RFC 4291 §2.5.5.2); 0 for unix.
  public let high: UInt64
  public let low: UInt64
  /// A unix socket's path; empty for an unnamed one.
  public let path: String?

  /// The longest unix path, in bytes (unix(7): 108 with the terminator).
  public static let pathByteLimit = 107

  private init(family: Family, port: UInt16, scope: UInt32 = 0, high: UInt64 = 0, low: UInt64 = 0, path: String? = nil) {
    self.family = family
    self.port = port
    self.scope = scope
    self.high = high
    self.low = low
    self.path = path
  }

  /// `address` read as a big-endian number: 0x7F00_0001 is 127.0.0.1.
  public static func ipv4(_ address: UInt32, port: UInt16) -> SocketAddress {
    SocketAddress(family: .ipv4, port: port, low: 0xFFFF_0000_0000 | UInt64(address))
  }

  public static func ipv6(high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) -> SocketAddress {
    SocketAddress(family: .ipv6, port: port, scope: scope, high: high, low: low)
  }

  /// nil when the path is empty, holds a NUL, or is longer than `pathByteLimit`.
  public static func unix(_ path: String) -> SocketAddress? {
    let count = path.utf8.count
    guard count > 0, count <= pathByteLimit, !path.utf8.contains(0) else { return nil }
    return SocketAddress(family: .unix, port: 0, path: path)
  }

  /// A name in the abstract namespace of unix(7), seen on this host and in this network namespace only; no file, no permissions.
  public static func abstract(_ name: String) -> SocketAddress? {
    guard !name.isEmpty, name.utf8.count < pathByteLimit, !name.utf8.contains(0) else { return nil }
    return SocketAddress(family: .unix, port: 0, path: "\0" + name)
  }

  public static func loopback4(port: UInt16) -> SocketAddress { ipv4(0x7F00_0001, port: port) }
  public static func loopback6(port: UInt16) -> SocketAddress { ipv6(high: 0, low: 1, port: port) }
  /// 0.0.0.0 and ::, to listen on every interface.
  public static func any4(port: UInt16) -> SocketAddress { ipv4(0, port: port) }
  public static func any6(port: UInt16) -> SocketAddress { ipv6(high: 0, low: 0, port: port) }

  // MARK: Text

  /// "1.2.3.4", "::1", "[::1]", "fe80::1%eth0"; nil for a name.
  public init?(literal host: String, port: UInt16) {
    var text = host[...]
    if text.utf8.first == 0x5B {
      guard text.utf8.last == 0x5D, text.utf8.count > 2, text.utf8.contains(0x3A) else { return nil }
      text = text.dropFirst().dropLast()
    }
    var kernel = shim_address()
    // SAFETY: the text and the local outlive the call.
    let result = text.withUTF8 { bytes in
      unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe shim_parse_address($0.baseAddress, $0.count, &kernel) }
    }
    guard result == 0 else { return nil }
    kernel.port = port
    self.init(kernel)
  }

  /// "1.2.3.4:80", "[::1]:80" or "unix:/path"; nil for anything else.
  public init?(_ text: String) {
    if text.hasPrefix("unix:") {
      guard let address = SocketAddress.unix(String(text.dropFirst(5))) else { return nil }
      self = address
      return
    }
    guard let colon = text.utf8.lastIndex(of: 0x3A) else { return nil }
    let digits = text[text.index(after: colon)...]
    let host = String(text[..<colon])
    guard !digits.isEmpty, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let port = UInt16(digits) else { return nil }
    // A bare IPv6 address would leave open where it ends.
    guard host.utf8.first == 0x5B || !host.utf8.contains(0x3A) else { return nil }
    self.init(literal: host, port: port)
  }

  /// A name or an address with a port: "host:80", "1.2.3.4:80", "[::1]:80".
  public static func text(host: String, port: UInt16) -> String {
    host.utf8.contains(0x3A) && host.utf8.first != 0x5B ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  /// The address without port and brackets: an IPv4-mapped one as IPv4, IPv6 as in RFC 5952; a unix socket's path.
  public var host: String {
    if let path { return path }
    return unsafe String(unsafeUninitializedCapacity: 64) { space in unsafe Self.format(kernel, into: UnsafeMutableRawBufferPointer(space))
    }
  }

  /// Appends `host` without making a String.
  public func appendHost(to buffer: ByteBuffer) {
    if let path { return buffer.append(path) }
    unsafe buffer.withFreeSpace(atLeast: 64) { space in (unsafe Self.format(kernel, into: space), ()) }
  }

  /// `space` holds at least 64 bytes.
  private static func format(_ kernel: shim_address, into space: UnsafeMutableRawBufferPointer) -> Int {
    var kernel = kernel
    // SAFETY: the shim writes at most 64 bytes, which every caller offers.
    return unsafe Int(shim_format_address(&kernel, space.baseAddress!.assumingMemoryBound(to: CChar.self)))
  }

  // MARK: Questions

  /// Whether packets to it stay on this machine: 127.0.0.0/8, ::1, a unix socket.
  public var isLoopback: Bool {
    switch family {
    case .unix: true
    case .ipv4, .ipv6: high == 0 && (low == 1 || low &>> 24 == 0xFFFF_7F)
    }
  }

  /// 0.0.0.0 or ::.
  public var isAny: Bool { family != .unix && high == 0 && (low == 0 || low == 0xFFFF_0000_0000) }

  /// An IPv4-mapped IPv6 address as IPv4; every other as it is.
  public var unmapped: SocketAddress {
    guard family == .ipv6, high == 0, low &>> 32 == 0xFFFF else { return self }
    return SocketAddress(family: .ipv4, port: port, low: low)
  }

  /// The IPv4 address as a big-endian number, also of a mapped one; nil for others.
  public var ipv4: UInt32? {
    guard family != .unix, high == 0, low &>> 32 == 0xFFFF else { return nil }
    return UInt32(truncatingIfNeeded: low)
  }

  /// The 16 address bytes in network order, IPv4 mapped.
  public var mappedBytes: InlineArray<16, UInt8> {
    InlineArray { index in UInt8(truncatingIfNeeded: (index < 8 ? high : low) &>> UInt64(56 - index % 8 * 8)) }
  }

  // MARK: The kernel's form

  /// Peers of a dual-stack socket come as IPv4-mapped IPv6; callers want `unmapped`.
  init(_ kernel: shim_address) {
    switch CInt(kernel.family) {
    case AF_INET: self.init(family: .ipv4, port: kernel.port, low: kernel.low)
    case AF_INET6: self.init(family: .ipv6, port: kernel.port, scope: kernel.scope, high: kernel.high, low: kernel.low)
    default: self.init(family: .unix, port: 0, path: "")
    }
  }

  var kernel: shim_address { shim_address(family: UInt16(domain), port: port, scope: scope, high: high, low: low) }

  /// AF_INET, AF_INET6 or AF_UNIX.
  var domain: CInt {
    switch family {
    case .ipv4: AF_INET
    case .ipv6: AF_INET6
    case .unix: AF_UNIX
    }
  }

  /// connect(2): 0 or -errno.
  func connect(_ descriptor: CInt) -> CInt {
    var kernel = self.kernel
    guard var path else { return unsafe shim_connect(descriptor, &kernel, nil, 0) }
    // SAFETY: the shim copies the path.
    return path.withUTF8 { bytes in
      unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe shim_connect(descriptor, &kernel, $0.baseAddress, $0.count) }
    }
  }

  /// bind(2): 0 or -errno.
  func bind(_ descriptor: CInt) -> CInt {
    var kernel = self.kernel
    guard var path else { return unsafe shim_bind(descriptor, &kernel, nil, 0) }
    // SAFETY: the shim copies the path.
    return path.withUTF8 { bytes in
      unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe shim_bind(descriptor, &kernel, $0.baseAddress, $0.count) }
    }
  }

  /// The socket's own address.
  public static func local(of descriptor: CInt) -> SocketAddress? { name(descriptor, peer: false) }
  /// The address of the other side; nil when it is not connected (any more).
  public static func peer(of descriptor: CInt) -> SocketAddress? { name(descriptor, peer: true) }

  private static func name(_ descriptor: CInt, peer: Bool) -> SocketAddress? {
    var kernel = shim_address()
    // SAFETY: a local that outlives the call.
    return unsafe shim_socket_name(descriptor, peer ? 1 : 0, &kernel) == 0 ? SocketAddress(kernel).unmapped : nil
  }
}

extension SocketAddress: CustomStringConvertible {
  /// "1.2.3.4:80", "[::1]:80", "unix:/path".
  public var description: String {
    if let path { return "unix:" + path }
    return ipv4 != nil ? "\(host):\(port)" : "[\(host)]:\(port)"
  }
}
