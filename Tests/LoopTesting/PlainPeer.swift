package import CausewayBase
package import CausewayLinuxIO

/// The other end of a socket, as a test plays it: it keeps what it reads, and says what it is told to.
package final class PlainPeer: TCPStreamOwner {
  package let stream: TCPStream
  package private(set) var received: [UInt8] = []
  /// Bytes read in all, kept or not.
  package private(set) var receivedByteCount = 0
  package private(set) var sawEnd = false
  package private(set) var sawReset = false
  /// Off: nothing is read, and the kernel's buffers fill.
  package var reads = true { didSet { if reads { stream.continueSoon() } } }
  /// Off: bytes are counted only.
  package var keeps = true
  package var onData: ((PlainPeer) -> Void)?
  /// The end or the reset, once.
  package var onEnd: (() -> Void)?
  private let unsent = ByteBuffer()
  private var endsAfterUnsent = false

  package init(_ stream: TCPStream) {
    self.stream = stream
    stream.owner = self
    stream.continueSoon()
  }

  package var text: String { String(decoding: received, as: UTF8.self) }
  package var unsentByteCount: Int { unsent.count }

  package func send(_ bytes: [UInt8]) {
    unsent.append(bytes.span)
    flush()
  }

  package func send(_ text: String) { send(Array(text.utf8)) }

  /// Ends our direction behind what waits.
  package func finish() {
    endsAfterUnsent = true
    flush()
  }

  package func clear() { received = [] }

  package func streamIsReady(_ stream: TCPStream) {
    flush()
    let before = receivedByteCount
    let buffer = ByteBuffer()
    loop: while reads && stream.isReadable && !sawEnd && !sawReset {
      switch stream.read(into: buffer) {
      case .bytes(let count):
        receivedByteCount += count
        if keeps { received += buffer.array }
        buffer.removeAll()
      case .wouldBlock: break loop
      case .end: sawEnd = true
      case .failed: sawReset = true
      }
    }
    if receivedByteCount > before { onData?(self) }
    if sawEnd || sawReset {
      let tell = onEnd
      onEnd = nil
      tell?()
    }
  }

  private func flush() {
    while !unsent.isEmpty && stream.isWritable {
      let unsent = self.unsent
      guard case .bytes(let count) = stream.write(unsent.bytes) else { return unsent.removeAll() }
      unsent.consume(count)
    }
    if unsent.isEmpty && endsAfterUnsent {
      endsAfterUnsent = false
      stream.finishWriting()
    }
  }
}

extension ByteBuffer {
  package var array: [UInt8] {
    let bytes = self.bytes
    // SAFETY: copied within the call.
    return unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
  }
}

/// A service on loopback whose connections a test plays.
package final class PlainServer {
  package private(set) var peers: [PlainPeer] = []
  private var listener: Listener?
  package let address: SocketAddress

  package init(_ address: SocketAddress = .loopback4(port: 0), on loop: EventLoop, _ connected: @escaping (PlainPeer) -> Void = { _ in })
    throws
  {
    var accept: ((TCPStream) -> Void)?
    let listener = try Listener(address, on: loop) { descriptor, _ in
      if let stream = try? TCPStream(adopting: descriptor, on: loop) { accept?(stream) }
    }
    self.address = listener.address
    self.listener = listener
    accept = { [weak self] stream in
      let peer = PlainPeer(stream)
      self?.peers.append(peer)
      connected(peer)
    }
  }

  package var port: UInt16 { address.port }

  package func close() {
    listener?.close()
    listener = nil
    for peer in peers { peer.stream.close() }
  }
}
