internal import CausewayBase
internal import CausewayLinuxIO

/// One conversation on `admin.sock`: reads a question, waits for its answer, writes it and closes.
final class AdminConnection: TCPStreamOwner {
  private let socket: AdminSocket
  private let stream: TCPStream
  private var deadline: LoopTimer?
  private let input = ByteBuffer()
  private var hasAsked = false
  private var output: [UInt8] = []
  private var writtenByteCount = 0

  init(_ descriptor: consuming FileDescriptor, _ socket: AdminSocket) throws(SystemError) {
    self.socket = socket
    stream = try TCPStream(adopting: descriptor, on: socket.loop)
    stream.owner = self
    let deadline = LoopTimer(socket.loop) { [unowned self] _ in close() }
    deadline.set(after: AdminSocket.connectionTimeLimit)
    self.deadline = deadline
  }

  func streamIsReady(_ stream: TCPStream) {
    if hasAsked { write() } else { read() }
  }

  /// Sends the answer and closes. Nothing when the asker has gone.
  func send(_ answer: AdminAnswer) {
    guard stream.isOpen else { return }
    output = AdminCodec.encode(answer)
    write()
  }

  func close() {
    guard stream.isOpen else { return }
    deadline?.cancel()
    stream.close()
    socket.closed(self)
  }

  private func read() {
    while stream.isReadable && !hasAsked {
      switch stream.read(into: input, atMost: AdminCodec.maximumQuestionByteCount) {
      case .bytes: lookForQuestion()
      case .wouldBlock: return
      case .end, .failed:
        close()
        return
      }
    }
  }

  private func lookForQuestion() {
    let input = input
    let bytes = input.bytes
    var end = 0
    while end < bytes.count && bytes[end] != 0x0A { end += 1 }
    if end >= AdminCodec.maximumQuestionByteCount {
      refuse(.refused("the question is too long", AdminAnswer.usage))
    } else if end < bytes.count {
      guard let (command, cursor) = AdminCodec.question(bytes.extracting(first: end)) else {
        refuse(.refused("the running relay does not know this command: use the causeway that started it", AdminAnswer.usage))
        return
      }
      hasAsked = true
      if !socket.ask(command, cursor, for: self) { send(.refused(StoreError.busy.message, AdminAnswer.temporary)) }
    }
  }

  private func refuse(_ answer: AdminAnswer) {
    hasAsked = true
    send(answer)
  }

  private func write() {
    let output = self.output
    while writtenByteCount < output.count {
      switch stream.write(output.span.extracting(droppingFirst: writtenByteCount)) {
      case .bytes(let count):
        writtenByteCount += count
        if !stream.isWritable { return }
      case .failed:
        close()
        return
      }
    }
    if !output.isEmpty { close() }
  }
}
