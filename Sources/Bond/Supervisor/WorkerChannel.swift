internal import CLinux
internal import CausewayBase
package import CausewayLinuxIO
internal import Glibc

/// One end of the private socket between parent and child, on one event loop: messages go out in order and come in whole. The same type
/// serves both ends.
package final class WorkerChannel: EventHandler {
  /// Bytes that may wait for the other side; log lines and path events are dropped and counted beyond it, everything else waits.
  package static let waitingLimit = 4 << 20
  private static let chunkByteCount = 64 << 10

  /// Log lines and events that found no room.
  package private(set) var droppedMessageCount: UInt64 = 0
  private let loop: EventLoop
  private let received: (WorkerMessage) -> Void
  private let ended: (String?) -> Void
  private var descriptor: FileDescriptor?
  private var registration: EventLoop.Registration?
  private let input = ByteBuffer()
  private var searched = 0
  private let output = ByteBuffer()

  /// - Parameters:
  ///   - descriptor: A connected stream socket; made non-blocking.
  ///   - received: On the loop, each message in turn.
  ///   - ended: On the loop, once: nil when the other side closed, else what was wrong. Not after `close()`.
  package init(
    adopting descriptor: consuming FileDescriptor, on loop: EventLoop, received: @escaping (WorkerMessage) -> Void,
    ended: @escaping (String?) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.received = received
    self.ended = ended
    let number = descriptor.rawValue
    _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK)
    self.descriptor = consume descriptor
    registration = try loop.register(number, self)
  }

  /// Two connected ends, for a parent and the child it will start. The caller adopts both.
  package static func makePair() throws(SystemError) -> (parent: CInt, child: CInt) {
    var (parent, child) = (CInt(-1), CInt(-1))
    // SAFETY: locals that outlive the call.
    let result = unsafe shim_socket_pair(&parent, &child)
    if result < 0 { throw SystemError(-result, "socketpair") }
    return (parent, child)
  }

  package var isOpen: Bool { descriptor != nil }

  package func send(_ message: WorkerMessage) {
    guard isOpen else { return }
    if output.count > Self.waitingLimit {
      switch message {
      case .log, .pathEvent:
        droppedMessageCount += 1
        return
      default: break
      }
    }
    message.append(to: output)
    write()
  }

  package func close() {
    if let registration { loop.deregister(registration) }
    registration = nil
    descriptor = nil
  }

  package func handle(_ readiness: Readiness) {
    if readiness.contains(.writable) { write() }
    read()
  }

  private func write() {
    while let number = descriptor?.rawValue, !output.isEmpty {
      let output = output
      let bytes = output.bytes
      // SAFETY: the span outlives the call.
      let count = unsafe bytes.withUnsafeBufferPointer { unsafe shim_send(number, $0.baseAddress, $0.count, 0) }
      if count < 0 { return }  // full: the loop says when there is room; broken: reading says so
      output.consume(count)
    }
  }

  private func read() {
    while let number = descriptor?.rawValue {
      let count = unsafe input.withFreeSpace(atLeast: Self.chunkByteCount) { space in
        // SAFETY: the free space outlives the call.
        let count = unsafe shim_receive(number, space.baseAddress, space.count)
        return (max(0, count), count)
      }
      if count == -Int(EAGAIN) { return }
      if count < 0 { return end(SystemError(CInt(-count), "recv").description) }
      if count == 0 { return end(input.isEmpty ? nil : "the last message was cut") }
      deliver()
    }
  }

  private func deliver() {
    while isOpen {
      let (input, start) = (input, searched)
      let bytes = input.bytes
      var position = start
      while position < bytes.count && bytes[position] != 0x0A { position += 1 }
      if position == bytes.count {
        searched = position
        if position > WorkerMessage.maximumLineByteCount { end("a message is too long") }
        return
      }
      let message: WorkerMessage
      do throws(WorkerMessageError) { message = try WorkerMessage(line: bytes.extracting(first: position)) } catch {
        return end(error.description)
      }
      input.consume(position + 1)
      searched = 0
      received(message)
    }
  }

  private func end(_ reason: String?) {
    close()
    ended(reason)
  }
}
