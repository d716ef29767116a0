import CausewayBase
import CausewayBondCore
import CausewayLinuxIO

/// One TCP connection of a packet thread: its framing, what came in and is not whole yet, and what the kernel did not take. Holds no
/// decision but that of the framing.
@safe final class StreamConnection {
  /// Input of an authenticated connection: a message of the greatest length and the header before it, and more for fewer calls.
  static let inputByteLimit = 128 << 10
  /// Output that the kernel did not take: one run, and small messages that go while it waits. What does not fit is dropped, and the
  /// bond's own repair knows what to do.
  static let outputByteLimit = 128 << 10

  enum Sending: Equatable {
    case sent
    /// The rest waits for EPOLLOUT.
    case blocked
    /// There was no room even for waiting.
    case dropped
    case failed
  }

  let number: UInt32
  let socket: TCPPathSocket
  let remote: DatagramAddress
  /// Which uplink connected it; nil for an accepted one.
  let uplink: StreamUplink?
  var framing: TCPFraming
  var isConnecting: Bool
  /// A connection that proved nothing by then is closed.
  var deadline: Instant
  /// When `setUnsentLimit` was last called.
  var tunedAt = Instant.zero
  /// When the kernel was last asked about it.
  var reportedAt = Instant.zero
  private var hasSentMagic = false

  private(set) var input: UnsafeMutablePointer<UInt8>
  private(set) var inputCapacity = TCPFraming.unauthenticatedByteLimit
  private(set) var inputCount = 0

  /// Made when it is first needed.
  private var output: UnsafeMutablePointer<UInt8>?
  private var outputStart = 0
  private var outputEnd = 0

  init(_ number: UInt32, _ socket: TCPPathSocket, _ remote: DatagramAddress, uplink: StreamUplink?, deadline: Instant) {
    self.number = number
    self.socket = socket
    self.remote = remote
    self.uplink = uplink
    self.deadline = deadline
    isConnecting = uplink != nil
    framing = TCPFraming(uplink == nil ? .accepting : .connecting)
    // SAFETY: freed in deinit; only the first `inputCount` bytes are read.
    unsafe input = .allocate(capacity: inputCapacity)
  }

  deinit {
    unsafe input.deallocate()
    unsafe output?.deallocate()
  }

  var isBlocked: Bool { outputEnd > outputStart }
  var waitingByteCount: Int { outputEnd - outputStart }

  // MARK: Receiving

  /// Reads what there is room for.
  func receive() -> TCPPathSocket.Transfer {
    let room = framing.readLimit(buffered: inputCount, capacity: inputCapacity)
    guard room > 0 else { return .failed(0) }  // a stranger with more than it may have
    // SAFETY: `readLimit` keeps within the capacity.
    let transfer = unsafe socket.receive(into: input + inputCount, count: room)
    if case .bytes(let count) = transfer { inputCount += count }
    return transfer
  }

  /// The next message of the input.
  func nextMessage(at offset: inout Int) -> TCPFraming.Event {
    // SAFETY: `inputCount` bytes were received.
    unsafe framing.next(Span(_unsafeStart: UnsafePointer(input), count: inputCount), at: &offset)
  }

  /// Forgets what was read. Nobody may use those bytes any more.
  func dropInput(before offset: Int) {
    inputCount -= offset
    // SAFETY: both within the input; `update` allows overlap.
    if inputCount > 0, offset > 0 { unsafe input.update(from: input + offset, count: inputCount) }
  }

  /// What came in on another thread that had the connection first.
  func preload(_ bytes: [UInt8]) {
    precondition(bytes.count <= inputCapacity - inputCount, "a stranger's input fits")
    for byte in bytes {
      // SAFETY: checked above.
      unsafe input[inputCount] = byte
      inputCount += 1
    }
  }

  /// All input so far, for another thread.
  func takeInput() -> [UInt8] {
    defer { inputCount = 0 }
    // SAFETY: `inputCount` bytes were received.
    return unsafe Array(UnsafeBufferPointer(start: input, count: inputCount))
  }

  /// The receiver index of a transport message; nil for another one.
  func receiverIndex(of message: Range<Int>) -> UInt32? {
    // SAFETY: the range is of the input.
    let bytes = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(input + message.lowerBound), count: message.count)
    return TransportHeader(bytes)?.receiver
  }

  /// From now on messages may have any length. The input moves.
  func authenticate() {
    framing.authenticate()
    guard inputCapacity < Self.inputByteLimit else { return }
    // SAFETY: as in `init`.
    let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.inputByteLimit)
    unsafe larger.update(from: input, count: inputCount)
    unsafe input.deallocate()
    unsafe input = larger
    inputCapacity = Self.inputByteLimit
  }

  // MARK: Sending

  /// Sends a run as messages; `list` belongs to the thread.
  @unsafe func send(_ bytes: UnsafeMutablePointer<UInt8>, count: Int, segmentByteCount: Int, _ list: StreamOutput) -> Sending {
    unsafe list.frame(bytes, count: count, segmentByteCount: segmentByteCount, withMagic: !hasSentMagic)
    if isBlocked { return keep(list, after: 0) ? .blocked : .dropped }
    switch unsafe socket.send(list.pieces, count: list.pieceCount) {
    case .bytes(let sent):
      hasSentMagic = true
      if sent == list.byteCount { return .sent }
      // Never a part of a message alone: that would break the framing.
      return keep(list, after: sent) ? .blocked : .failed
    case .wouldBlock: return keep(list, after: 0) ? .blocked : .dropped
    case .end, .failed: return .failed
    }
  }

  /// Keeps all that follows the first `sent` bytes, or nothing of it.
  private func keep(_ list: StreamOutput, after sent: Int) -> Bool {
    let count = list.byteCount - sent
    if unsafe output == nil { unsafe output = .allocate(capacity: Self.outputByteLimit) }
    guard let output = unsafe output, waitingByteCount + count <= Self.outputByteLimit else { return false }
    if outputEnd + count > Self.outputByteLimit {
      // SAFETY: to the front of the same memory; `update` allows overlap.
      unsafe output.update(from: output + outputStart, count: waitingByteCount)
      (outputStart, outputEnd) = (0, waitingByteCount)
    }
    // SAFETY: within the capacity, checked above.
    unsafe list.copy(after: sent, to: output + outputEnd)
    outputEnd += count
    hasSentMagic = true
    return true
  }

  /// The kernel has room again.
  func flush() -> Sending {
    guard isBlocked, let output = unsafe output else { return .sent }
    // SAFETY: start..<end were kept.
    switch unsafe socket.send(output + outputStart, count: outputEnd - outputStart) {
    case .bytes(let sent): outputStart += sent
    case .wouldBlock: return .blocked
    case .end, .failed: return .failed
    }
    if outputStart < outputEnd { return .blocked }
    (outputStart, outputEnd) = (0, 0)
    return .sent
  }
}

/// Whose uplink a connection is.
struct StreamUplink: Hashable {
  var peer: PeerID
  var index: Int
}
