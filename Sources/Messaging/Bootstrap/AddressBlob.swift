internal import CLinux
internal import CausewayBase
internal import CausewayLinuxIO
internal import Glibc

/// A server's address for exchange by the program's own ways: opaque to users, versioned.
///
/// ```
/// "CWMA" | version 1 (8) | UCX major, minor (16, 16) | server (16 bytes) | host (16 bytes) | port (16)
/// | length (8) and bytes of the abstract unix socket's name | number of addresses (8), each family (8: 4, 6) and 16 bytes
/// ```
struct AddressBlob: Equatable {
  static let magic: [UInt8] = Array("CWMA".utf8)
  static let version: UInt8 = 1
  static let addressLimit = 16

  var ucxMajor: UInt16
  var ucxMinor: UInt16
  var server: ServerID
  /// The host, and its network namespace: where abstract unix sockets are seen.
  var host: [UInt8]
  var name: String
  /// 0 without TCP.
  var port: UInt16
  var addresses: [SocketAddress]

  var encoded: [UInt8] {
    let buffer = ByteBuffer()
    buffer.append(Self.magic.span)
    buffer.append(Self.version)
    buffer.appendBigEndian(ucxMajor)
    buffer.appendBigEndian(ucxMinor)
    buffer.append(server.bytes.span)
    buffer.append(host.span)
    buffer.appendBigEndian(port)
    buffer.append(UInt8(name.utf8.count))
    buffer.append(name)
    let addresses = addresses.prefix(Self.addressLimit)
    buffer.append(UInt8(addresses.count))
    for address in addresses {
      buffer.append(address.family == .ipv4 ? 4 : 6)
      let bytes = address.mappedBytes
      for index in bytes.indices { buffer.append(bytes[index]) }
    }
    let span = buffer.bytes
    return span.indices.map { span[$0] }
  }

  static func decode(_ bytes: [UInt8]) -> Result<AddressBlob, MessagingError> {
    func refuse(_ why: String) -> Result<AddressBlob, MessagingError> { .failure(MessagingError(.invalidArgument, "address", cause: why)) }
    guard bytes.starts(with: magic) else {
      return refuse("not an address of Server.listenAddress; a UCX worker address alone says neither versions nor who is meant")
    }
    var rest = bytes.dropFirst(magic.count)
    func take(_ count: Int) -> ArraySlice<UInt8>? {
      guard rest.count >= count else { return nil }
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count)
    }
    func number() -> UInt16? { take(2).map { $0.reduce(0) { $0 << 8 | UInt16($1) } } }
    guard let format = take(1)?.first else { return refuse("it was cut short") }
    guard format == version else { return refuse("its format is version \(format), this library reads \(version)") }
    guard let major = number(), let minor = number(), let server = take(ServerID.byteCount), let host = take(16), let port = number(),
      let nameCount = take(1)?.first, let name = take(Int(nameCount)), let count = take(1)?.first, count <= addressLimit
    else { return refuse("it was cut short") }
    var addresses: [SocketAddress] = []
    for _ in 0..<count {
      guard let family = take(1)?.first, let text = take(16), family == 4 || family == 6 else { return refuse("it was cut short") }
      let high = text.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      let low = text.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      addresses.append(family == 4 ? .ipv4(UInt32(truncatingIfNeeded: low), port: port) : .ipv6(high: high, low: low, port: port))
    }
    guard rest.isEmpty else { return refuse("something follows its end") }
    // It is shown in messages; ours are letters, digits and hyphens.
    guard name.allSatisfy({ (0x21...0x7E).contains($0) }) else { return refuse("its name is no name") }
    let blob = AddressBlob(
      ucxMajor: major, ucxMinor: minor, server: ServerID(bytes: Array(server)), host: Array(host),
      name: String(decoding: name, as: UTF8.self), port: port, addresses: addresses)
    return .success(blob)
  }

  /// Where to connect: by unix socket on its own host, else by its addresses.
  var targets: [SocketAddress] {
    if host == Self.thisHost, let local = SocketAddress.abstract(name) { return [local] }
    return port == 0 ? [] : addresses
  }

  // MARK: This host

  /// 16 bytes that differ between boots, machines and network namespaces.
  static let thisHost = HostDigest.make("messaging address", ["net"])

  /// Addresses of this host's interfaces that others may reach, IPv4 first; those of the loopback come last.
  static func interfaceAddresses() -> [SocketAddress] {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard unsafe getifaddrs(&list) == 0 else { return [.loopback4(port: 0)] }
    defer { unsafe freeifaddrs(list) }
    let isUp: UInt32 = 1  // IFF_UP
    var found: [SocketAddress] = []
    var next = unsafe list
    // SAFETY: the list is valid until it is freed above; each address has the size of its family.
    while let entry = unsafe next {
      unsafe next = entry.pointee.ifa_next
      guard let address = unsafe entry.pointee.ifa_addr, unsafe entry.pointee.ifa_flags & isUp != 0 else { continue }
      switch Int32(unsafe address.pointee.sa_family) {
      case AF_INET:
        let number = unsafe UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        found.append(.ipv4(UInt32(bigEndian: number), port: 0))
      case AF_INET6:
        let high = unsafe UInt64(bigEndian: UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        let low = unsafe UInt64(bigEndian: UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        if high >> 54 != 0x3FA { found.append(.ipv6(high: high, low: low, port: 0)) }  // fe80::/10 means nothing elsewhere
      default: break
      }
    }
    func rank(_ address: SocketAddress) -> Int { (address.isLoopback ? 2 : 0) + (address.family == .ipv4 ? 0 : 1) }
    return Array(found.sorted { rank($0) < rank($1) }.prefix(addressLimit))
  }
}
