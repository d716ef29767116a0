internal import CLinux
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewaySupport
internal import Glibc

/// The running bond's control socket, on the parent's event loop: mode 0600, and only root and who started the bond are heard.
final class ControlServer {
  /// Conversations at a time; more wait in the kernel's backlog.
  static let connectionLimit = 8
  /// From accept to the last byte of the answer.
  static let timeLimit = Duration.seconds(15)

  fileprivate let loop: EventLoop
  fileprivate let answer: (ControlQuestion, @escaping (ControlAnswer) -> Void) -> Void
  private var listener: Listener?
  private var connections: [ObjectIdentifier: ControlConnection] = [:]

  /// - Parameter answer: Called for each question; calls back once, at once or later, on the loop.
  init(
    at path: String, on loop: EventLoop, _ answer: @escaping (ControlQuestion, @escaping (ControlAnswer) -> Void) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.answer = answer
    guard let address = SocketAddress.unix(path) else { throw SystemError(ENAMETOOLONG, "socket \(path)") }
    listener = try Listener(address, on: loop) { [unowned self] descriptor, _ in accept(descriptor) }
  }

  /// Stops listening and removes the file. Answers that are being written are finished.
  func close() {
    listener?.close()
    listener = nil
  }

  private func accept(_ descriptor: consuming FileDescriptor) {
    guard let peer = try? PeerCredentials(of: descriptor.rawValue), peer.isSameUserOrRoot,
      let stream = try? TCPStream(adopting: descriptor, on: loop)
    else { return }
    let connection = ControlConnection(stream, self)
    connections[ObjectIdentifier(connection)] = connection
    if connections.count >= Self.connectionLimit { listener?.pause() }
  }

  fileprivate func ended(_ connection: ControlConnection) {
    connections[ObjectIdentifier(connection)] = nil
    listener?.resume()
  }
}

private final class ControlConnection: TCPStreamOwner {
  private let stream: TCPStream
  private unowned let server: ControlServer
  private let input = ByteBuffer()
  private let output = ByteBuffer()
  private var deadline: LoopTimer?
  private var hasAsked = false

  init(_ stream: TCPStream, _ server: ControlServer) {
    self.stream = stream
    self.server = server
    stream.owner = self
    deadline = LoopTimer(server.loop) { [unowned self] _ in close() }
    deadline?.set(after: ControlServer.timeLimit)
  }

  func streamIsReady(_ stream: TCPStream) {
    if hasAsked { write() } else { read() }
  }

  private func read() {
    while stream.isReadable && !hasAsked {
      switch stream.read(into: input, atMost: ControlCodec.maximumQuestionByteCount) {
      case .bytes: lookForQuestion()
      case .wouldBlock: return
      case .end, .failed: return close()
      }
    }
  }

  private func lookForQuestion() {
    let input = input
    let bytes = input.bytes
    var end = 0
    while end < bytes.count && bytes[end] != 0x0A { end += 1 }
    if end >= ControlCodec.maximumQuestionByteCount { return close() }
    guard end < bytes.count else { return }
    hasAsked = true
    guard let question = ControlCodec.question(bytes.extracting(first: end)) else {
      return send(.failure("the running bond does not know this command: use the causeway that started it"))
    }
    server.answer(question) { [weak self] answer in self?.send(answer) }
  }

  private func send(_ answer: ControlAnswer) {
    guard stream.isOpen, output.isEmpty else { return }
    output.append(answer.jsonText + "\n")
    write()
  }

  private func write() {
    while !output.isEmpty {
      let output = output
      switch stream.write(output.bytes) {
      case .bytes(let count):
        output.consume(count)
        if !stream.isWritable { return }
        if output.isEmpty { return close() }
      case .failed: return close()
      }
    }
  }

  private func close() {
    guard stream.isOpen else { return }
    deadline?.cancel()
    stream.close()
    server.ended(self)
  }
}
