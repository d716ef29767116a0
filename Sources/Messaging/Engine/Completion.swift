/// How an operation ended: plain bytes, so that it goes through rings and continuations without a count.
@safe public struct Completion: Sendable {
  /// 0, or the raw value of a `MessagingError.Code`.
  public var status: Int32 = 0
  /// Of a receive: the endpoint that sent it.
  public var sender = EndpointID(rawValue: 0)
  public var tag = Tag(0)
  /// Bytes of the message; of a truncated one its true length.
  public var byteCount = 0
  /// Told while the memory is still in use; its keeper tells when it is free.
  package var isKept = false
  /// What the library allocated, +1 for whoever takes the completion.
  var unownedBuffer: Unmanaged<MessageBuffer>?

  init(_ code: MessagingError.Code? = nil, tag: UInt64 = 0, byteCount: Int = 0, connection: UInt32 = 0) {
    status = code?.rawValue ?? 0
    self.tag = Tag(tag)
    self.byteCount = byteCount
    sender = EndpointID(rawValue: connection)
  }

  public var isDone: Bool { status == 0 }
  /// Meaningful when it is not done.
  public var code: MessagingError.Code { MessagingError.Code(rawValue: status) }

  /// The buffer of a receive of unknown size: take it once.
  public func takeBuffer() -> MessageBuffer? { unsafe unownedBuffer?.takeRetainedValue() }

  public func error(_ subject: @autoclosure () -> String) -> MessagingError {
    MessagingError(code, subject(), cause: cause, byteCount: byteCount)
  }

  /// Throws the error of what did not go well.
  func check(_ subject: @autoclosure () -> String) throws(MessagingError) {
    if status != 0 { throw error(subject()) }
  }

  /// What was received, or the error.
  public func get(_ subject: @autoclosure () -> String = "operation") throws(MessagingError) -> Received {
    try check(subject())
    return Received(tag: tag, byteCount: byteCount, sender: sender)
  }

  private var cause: String {
    switch code {
    case .truncated: "the message has \(byteCount) bytes and waits for a larger buffer"
    case .peerLost: "its process ended or the connection broke"
    case .wouldBlock: "too many operations are in flight"
    case .closed: "the object was closed or is not connected"
    default: ""
    }
  }
}

/// What came with a message.
public struct Received: Equatable, Sendable, BitwiseCopyable {
  public var tag: Tag
  public var byteCount: Int
  public var sender: EndpointID

  public init(tag: Tag, byteCount: Int, sender: EndpointID) {
    self.tag = tag
    self.byteCount = byteCount
    self.sender = sender
  }
}

/// Names an endpoint among those of its engine; never two at once.
public struct EndpointID: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// Whom an operation's end is told. Written once, taken once.
@safe enum CompletionTarget {
  case none
  case continuation(UnsafeContinuation<Completion, Never>)
  /// Called on the engine's thread, never inside UCX or the core.
  case callback(@Sendable (Completion) -> Void)
  case queue(CompletionQueue, UInt64)
  case batch(OperationBatch, Int)
  /// One of several that have one end together.
  case share(SharedEnd, Int)
  case blocking(BlockingWait, Int)
  /// The task that polls on the engine's thread: one at a time.
  case lookOut
}

/// One continuation for many operations.
// @unchecked Sendable: touched under the driver's lock until the continuation is resumed, then by its task.
@safe final class OperationBatch: @unchecked Sendable {
  var completions: [Completion]
  private var left: Int
  private var continuation: UnsafeContinuation<Void, Never>?

  init(count: Int) {
    completions = [Completion](repeating: Completion(), count: count)
    left = count
  }

  /// One found no room: those after it don't start either, which would be out of their order.
  private(set) var isRefused = false

  /// The first of those.
  var firstRefused: Int? {
    isRefused ? completions.firstIndex { $0.status == MessagingError.Code.wouldBlock.rawValue } : nil
  }

  func set(_ index: Int, _ completion: Completion) {
    completions[index] = completion
    if completion.status == MessagingError.Code.wouldBlock.rawValue { isRefused = true }
    left -= 1
    if left == 0, let continuation = unsafe continuation {
      unsafe self.continuation = nil
      unsafe continuation.resume()
    }
  }

  var isDone: Bool { left == 0 }

  func wait(_ continuation: UnsafeContinuation<Void, Never>) {
    if left == 0 { unsafe continuation.resume() } else { unsafe self.continuation = continuation }
  }
}
