internal import CLinux
internal import CausewayLinuxIO
internal import Glibc

/// Where one side of a connection may be read by the other, which must be a process of the same host: what it says of itself in the
/// handshake. Each side reads the other's place once, and offers nothing to a peer that could not.
struct MemoryPlace: Equatable {
  static let hostByteCount = HostDigest.byteCount

  /// The boot and the namespaces in which process numbers and users mean the same.
  var host: [UInt8]
  var process: UInt32
  /// By which number it has its end of the bootstrap socket.
  var descriptor: UInt32
  /// Where it has put the reader's own nonce.
  var address: UInt64

  /// The peer's memory, if it is that of the very process at the other end of `socket`, and can be read.
  ///
  /// That process is named by the kernel: of a unix socket it knows the peer, and over TCP it lends us the peer's descriptor, which must be
  /// the other end of ours. So nobody can name another process and have us read that one, or ourselves. The nonce shows that reading works.
  func open(socket: CInt, nonce: [UInt8]) -> ProcessMemory? {
    guard host == Self.thisHost, let number = Int32(exactly: process), let descriptor = CInt(exactly: descriptor) else { return nil }
    guard let memory = ProcessMemory(number) else { return nil }
    if SocketAddress.local(of: socket)?.family == .unix {
      guard let peer = try? PeerCredentials(of: socket), peer.processID == number else { return nil }
    } else if !memory.holds(descriptor, otherEndOf: socket) {
      return nil
    }
    return Self.holds(memory, nonce, at: address) ? memory : nil
  }

  private static func holds(_ memory: ProcessMemory, _ nonce: [UInt8], at address: UInt64) -> Bool {
    guard nonce.count >= MemoryLayout<UInt64>.size else { return false }
    var found = [UInt8](repeating: 0, count: nonce.count)
    // SAFETY: both arrays live through the calls; a word of 8 bytes is at the nonce's beginning.
    let outcome = unsafe found.withUnsafeMutableBytes { found in
      let word = unsafe nonce.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
      return unsafe memory.read(at: address, into: found, wordAddress: address, word: word)
    }
    return outcome == .read && found == nonce
  }

  /// Differs between boots, machines, and namespaces of processes and of users.
  static let thisHost = HostDigest.make("messaging memory", ["pid", "user"])

  /// Whether a peer at the other end may be on this host: only such a one is told anything.
  static func isLocal(_ local: SocketAddress?, _ remote: SocketAddress?) -> Bool {
    guard let local, let remote, local.family == remote.family else { return false }
    return local.family == .unix || local.host == remote.host
  }

  /// Whether UCX's list of transports lets processes read each other's memory: UCX calls that "cma".
  static func isAllowed(by transports: String) -> Bool {
    let names = transports.drop { $0 == "^" }.split(separator: ",")
    let groups: [Substring] = ["cma", "sm", "shm"]
    if transports.hasPrefix("^") { return !names.contains { groups.contains($0) } }
    return names.contains { $0 == "all" || groups.contains($0) }
  }
}

/// A nonce at an address that stays.
@safe final class NoncePlace {
  private let memory: UnsafeMutableRawBufferPointer

  init(_ nonce: [UInt8]) {
    // SAFETY: freed in deinit, and nowhere else; as many bytes as are copied.
    unsafe memory = .allocate(byteCount: nonce.count, alignment: 8)
    unsafe memory.copyBytes(from: nonce)
  }

  deinit { unsafe memory.deallocate() }

  var address: UInt64 { unsafe UInt64(UInt(bitPattern: memory.baseAddress)) }
}
