internal import CMessaging
internal import CausewayMessaging
internal import Synchronization

/// How an operation is done, as the caller said.
// @unchecked Sendable: constants; what they point at is the caller's, who called from any thread.
@safe struct How: @unchecked Sendable {
  let timeout: UInt64
  let user: UInt64
  let queue: QueueBox?
  let callback: cwm_callback?
  let context: UnsafeMutableRawPointer?
  /// Receives throw away what is too long.
  let drops: Bool

  /// Nil when it makes no sense: exactly one of callback and queue, and that of the same engine, whose lock guards it.
  @inline(__always) init?(_ operation: UnsafePointer<cwm_operation>?, _ owner: EngineBox) {
    guard let operation = unsafe operation else { return nil }
    unsafe timeout = operation.pointee.timeout_ns
    unsafe user = operation.pointee.user
    unsafe queue = unbox(operation.pointee.queue, QueueBox.self)
    unsafe callback = operation.pointee.callback
    unsafe context = operation.pointee.context
    // Callers of earlier headers have a shorter struct.
    let hasFlags = unsafe operation.pointee.size >= MemoryLayout<cwm_operation>.size
    drops = unsafe hasFlags && operation.pointee.flags & UInt64(CWM_DROP_TRUNCATED.rawValue) != 0
    if (queue == nil) == (unsafe callback == nil) { return nil }
    if let queue, queue.owner !== owner { return nil }
  }

  /// Where its end goes. An operation for which there was room gives it back then: in `cwm_queue_take`, or before its callback.
  @inline(__always) func outlet(_ owner: EngineBox) -> Outlet {
    if let queue { return .queue(queue.queue, user) }
    return .callback(closure(owner))
  }

  func closure(_ owner: EngineBox?) -> @Sendable (Completion) -> Void {
    nonisolated(unsafe) let (callback, context) = unsafe (callback!, context)
    let user = user
    return { completion in
      owner?.giveBack(1)
      var exported = unsafe exported(completion, user, nil)
      unsafe callback(context, &exported)
    }
  }

  /// Tells an end from the engine's thread.
  func tell(_ completion: Completion, _ owner: EngineBox) {
    if let queue { queue.queue.add(user, completion) } else { closure(owner)(completion) }
  }

  /// For memory that may be let go of after the operation's end.
  @inline(__always) func keeper(_ byteCount: Int) -> ForeignKeeper? {
    // Less goes in one piece: it is copied at once, or waits where a cancellation finds it.
    byteCount < 4096 ? nil : longKeeper()
  }

  @inline(never) func longKeeper() -> ForeignKeeper {
    let how = self
    return ForeignKeeper {
      var released = Completion(foreign: nil)
      released.status = releasedStatus
      if let queue = how.queue { queue.queue.add(how.user, released) } else { how.closure(nil)(released) }
    }
  }
}

/// Connects under way, for cwm_cancel: their numbers have no kind.
enum Connects {
  private static let all = Mutex<(count: UInt64, clients: [UInt64: Client])>((0, [:]))

  static func add(_ client: Client) -> UInt64 {
    all.withLock { all in
      all.count += 1
      all.clients[all.count] = client
      return all.count
    }
  }

  static func remove(_ request: UInt64) { _ = all.withLock { $0.clients.removeValue(forKey: request) } }

  static func cancel(_ request: UInt64) -> Bool {
    guard request >> 61 == 0, let client = all.withLock({ $0.clients[request] }) else { return false }
    client.cancelConnect()
    return true
  }
}

/// What a start came to, for the caller.
@inline(__always) func answer(
  _ submission: Submission, _ owner: EngineBox, _ request: UnsafeMutablePointer<UInt64>?, _ now: UnsafeMutablePointer<cwm_completion>?,
  _ user: UInt64, _ error: UnsafeMutablePointer<cwm_error>?, _ what: StaticString
) -> Int32 {
  switch submission {
  case .pending(let number):
    if let request = unsafe request { unsafe request.pointee = number }
    return CWM_PENDING.rawValue
  case .done(let completion):
    owner.giveBack(1)
    if let now = unsafe now { unsafe now.initialize(to: exported(completion, user, nil)) }
    if completion.isDone { return CWM_OK.rawValue }
    return unsafe fail(error, code(completion.code), completion.error("\(what)").description)
  }
}

let noRoom = "too many operations are in flight: try again after a completion"
let noEnd = "an operation needs a callback or a queue of its engine, and not both"
