import CLinux
import CausewayBase
import CausewayLinuxIO
import Testing

/// Reads everything, writes what it is given in pieces, and remembers how it ended.
final class TLSPeer: TCPStreamOwner {
  let stream: TCPStream
  var outgoing: [UInt8] = []
  var received: [UInt8] = []
  var sent = 0
  /// Bytes offered in one write.
  var piece = 256 * 1024
  var finishesWhenSent = true
  var finished = false
  var readsPaused = false
  /// Length of the largest read.
  var largestRead = 0
  var end: ReadOutcome?
  var writeFailed = false
  var wasEstablished = false
  var failure: TLSError?
  var changed: () -> Void = {}
  private var memory = [UInt8](repeating: 0, count: TCPStream.readByteCount)
  var onReady: (TLSPeer) -> Void = { _ in }

  init(_ descriptor: consuming FileDescriptor, _ loop: EventLoop) throws {
    stream = try TCPStream(adopting: descriptor, on: loop)
    stream.owner = self
  }

  func streamIsReady(_ stream: TCPStream) {
    if stream.tlsState == .established { wasEstablished = true }
    onReady(self)
    pumpWrites()
    pumpReads()
    if case .failed(let error) = stream.tlsState { failure = error }
    changed()
  }

  func pumpWrites() {
    while sent < outgoing.count, stream.isWritable, !writeFailed {
      switch write(outgoing[sent..<min(outgoing.count, sent + piece)]) {
      case .bytes(let count): sent += count
      case .failed: writeFailed = true
      }
    }
    if sent == outgoing.count, finishesWhenSent, !finished, wasEstablished {
      finished = true
      stream.finishWriting()
    }
  }

  func write(_ bytes: ArraySlice<UInt8>) -> WriteOutcome {
    let span = bytes.span
    return stream.write(span)
  }

  func pumpReads() {
    while stream.isReadable, end == nil, !readsPaused {
      switch unsafe memory.withUnsafeMutableBytes({ unsafe stream.read(into: $0) }) {
      case .bytes(let count):
        largestRead = max(largestRead, count)
        received += memory.prefix(count)
      case .wouldBlock: return
      case let outcome: end = outcome
      }
    }
  }
}

enum TLSTest {
  /// Two ends of one loopback connection, non-blocking. Sent data leaves at once.
  static func sockets() throws -> (client: CInt, server: CInt) {
    let (listener, port) = try listen()
    defer { close(listener) }
    let client = try connect(port)
    return (client, try accept(listener))
  }

  static func listen() throws -> (CInt, UInt16) {
    let listener = shim_socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var address = loopback(0)
    let bound = unsafe shim_bind(listener, &address, nil, 0)
    try #require(bound == 0)
    try #require(CLinux.listen(listener, 16) == 0)
    let named = unsafe shim_socket_name(listener, 0, &address)
    try #require(named == 0)
    return (listener, address.port)
  }

  static func connect(_ port: UInt16) throws -> CInt {
    let client = shim_socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var address = loopback(port)
    let result = unsafe shim_connect(client, &address, nil, 0)
    try #require(result == 0 || result == -EINPROGRESS)
    try wait(client, POLLOUT)
    try #require(shim_int_option(client, SOL_SOCKET, SO_ERROR) == 0)
    return client
  }

  static func accept(_ listener: CInt) throws -> CInt {
    try wait(listener, POLLIN)
    var address = shim_address()
    let accepted = unsafe shim_accept(listener, &address)
    try #require(accepted >= 0)
    return accepted
  }

  static func wait(_ descriptor: CInt, _ events: Int32) throws {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    let ready = unsafe poll(&entry, 1, 10_000)
    try #require(ready == 1)
  }

  /// 127.0.0.1 in the mapped form that the shims take.
  static func loopback(_ port: UInt16) -> shim_address {
    shim_address(family: UInt16(AF_INET), port: port, scope: 0, high: 0, low: 0xFFFF_7F00_0001)
  }

  /// Client and server peers on one connection, TLS not yet started.
  static func pair(_ loop: EventLoop) throws -> (client: TLSPeer, server: TLSPeer) {
    let (a, b) = try sockets()
    return (try TLSPeer(FileDescriptor(adopting: a), loop), try TLSPeer(FileDescriptor(adopting: b), loop))
  }

  /// Runs the loop until `done` holds after some peer's change.
  /// - Returns: Whether it came to that within 20 s.
  static func run(_ loop: EventLoop, _ peers: [TLSPeer], until done: @escaping () -> Bool) -> Bool {
    if done() { return true }
    for peer in peers { peer.changed = { if done() { loop.stop() } } }
    var isLate = false
    let timer = LoopTimer(loop) { _ in
      isLate = true
      loop.stop()
    }
    timer.set(at: Instant(nanoseconds: shim_now_ns()) + .seconds(20))
    // A second `stop` of an earlier run may end the next one at once.
    while !done() && !isLate { loop.run() }
    timer.cancel()
    for peer in peers { peer.changed = {} }
    return done()
  }

  /// A body without short repetitions.
  static func body(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    var body: [UInt8] = []
    body.reserveCapacity(count)
    while body.count < count { body.append(UInt8(truncatingIfNeeded: random.next())) }
    return body
  }
}
