internal import CausewaySupport
internal import Glibc

/// JSON lines on stdout, without ever holding up the loop for a reader that doesn't read: requests are dropped and counted, everything
/// else waits in a bounded queue.
final class JSONLinesOutput {
  /// Lines that wait for the reader; beyond it the oldest is lost.
  static let waitingLimit = 1024

  private var waiting: [String] = []
  private var isGone = false
  /// Requests since the last line of one.
  private(set) var droppedRequests = 0

  /// True when the line is out: what isn't now is not worth keeping.
  func offerRequest(_ line: (_ dropped: Int) -> String) {
    flush()
    guard waiting.isEmpty, isWritable else {
      droppedRequests += 1
      return
    }
    write(line(droppedRequests))
    droppedRequests = 0
  }

  func send(_ line: String) {
    waiting.append(line)
    if waiting.count > Self.waitingLimit { waiting.removeFirst() }
    flush()
  }

  /// Called again every second while something waits.
  func flush() {
    var count = 0
    while count < waiting.count, isWritable {
      write(waiting[count])
      count += 1
    }
    waiting.removeFirst(count)
  }

  private func write(_ line: String) {
    if !isGone && !StandardStreams.answer(line) { isGone = true }
  }

  private var isWritable: Bool { isGone || canWrite(to: STDOUT_FILENO) }
}

/// Whether a write of up to a page would not block: a pipe that is full and a terminal that Ctrl-S stopped would.
func canWrite(to descriptor: CInt) -> Bool {
  var watched = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
  // SAFETY: the local lives for the call.
  return unsafe poll(&watched, 1, 0) > 0
}
