import Glibc

/// A stream socket that knows no protocol.
final class PlainSocket: Sendable {
  private let descriptor: CInt
  var number: CInt { descriptor }

  /// - Parameter host: The last number of its own address, 127.0.0.…
  init(port: UInt16, sending bytes: [UInt8], from host: UInt8 = 1) throws {
    descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var own = loopback(0, host)
    let bound = unsafe withUnsafePointer(to: &own) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if bound != 0 { throw Failed(errno) }
    var address = loopback(port)
    let result = unsafe withUnsafePointer(to: &address) { unsafe connectTo(descriptor, $0) }
    if result != 0 { throw Failed(errno) }
    write(bytes)
  }

  func write(_ bytes: [UInt8]) {
    if !bytes.isEmpty { unsafe _ = send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)) }
  }

  /// Whether the other side has neither said anything nor ended it.
  var isSilent: Bool {
    var byte: UInt8 = 0
    return unsafe recv(descriptor, &byte, 1, CInt(MSG_DONTWAIT | MSG_PEEK)) < 0 && errno == EAGAIN
  }

  deinit { close(descriptor) }

  /// Whether the other side ended it.
  func readToEnd() -> Bool {
    _ = readAll()
    return true
  }

  func read(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    return unsafe recv(descriptor, &bytes, count, CInt(MSG_WAITALL)) == count ? bytes : []
  }

  func readAll() -> [UInt8] {
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
      if count <= 0 { return all }
      all += chunk[..<count]
    }
  }
}

/// Accepts nobody and says nothing; or does not even listen, and keeps the port from others.
final class SilentListener {
  let port: UInt16
  private let descriptor: CInt
  var number: CInt { descriptor }

  init(listens: Bool = true) throws {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    self.descriptor = descriptor
    var address = loopback(0)
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, size) }
    }
    if bound != 0 || (listens && listen(descriptor, 16) != 0) { throw Failed(errno) }
    var length = size
    unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe _ = getsockname(descriptor, $0, &length) }
    }
    port = UInt16(bigEndian: address.sin_port)
  }

  func close() { _ = Glibc.close(descriptor) }
}

struct Failed: Error {
  let code: CInt
  init(_ code: CInt) { self.code = code }
}

private func loopback(_ port: UInt16, _ host: UInt8 = 1) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = (UInt32(0x7F00_0000) | UInt32(host)).bigEndian
  return address
}

private func connectTo(_ descriptor: CInt, _ address: UnsafePointer<sockaddr_in>) -> CInt {
  unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
    unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
  }
}
