// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are the header's.
public import CMessaging
internal import CausewayMessaging
internal import Synchronization

/// A status of entries in a queue that are no operation's end: never told outside.
let acceptedStatus: Int32 = 1
let releasedStatus: Int32 = 2

@c @implementation
public func cwm_queue_create(_ engine: OpaquePointer?, _ error: UnsafeMutablePointer<cwm_error>?) -> OpaquePointer? {
  guard let engine = unsafe unbox(engine, EngineBox.self) else {
    _ = unsafe misuse(error, "no engine")
    return nil
  }
  do throws(MessagingError) {
    // What is under way, its releases, and some that were accepted.
    return unsafe box(QueueBox(engine, try CompletionQueue(capacity: 2 * engine.limit + 4096)))
  } catch let reason {
    unsafe fail(error, reason)
    return nil
  }
}

@c @implementation
public func cwm_queue_descriptor(_ queue: OpaquePointer?) -> Int32 {
  unsafe unbox(queue, QueueBox.self)?.queue.descriptor ?? CWM_INVALID.rawValue
}

@c @implementation
public func cwm_queue_take(_ queue: OpaquePointer?, _ completions: UnsafeMutablePointer<cwm_completion>?, _ count: Int) -> Int {
  guard let box = unsafe unbox(queue, QueueBox.self), unsafe completions != nil, count > 0 else { return 0 }
  while true {
    let taken = unsafe take(box, completions!, count)
    if taken > 0 || box.owner.engine.prepareToSleep(box.queue) { return taken }
  }
}

@c @implementation
public func cwm_queue_wait(
  _ queue: OpaquePointer?, _ completions: UnsafeMutablePointer<cwm_completion>?, _ count: Int, _ timeout: UInt64,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int64 {
  guard let box = unsafe unbox(queue, QueueBox.self), unsafe completions != nil, count > 0 else {
    return unsafe Int64(misuse(error, "no queue, or no room for completions"))
  }
  let engine = box.owner.engine
  if engine.isInChild { return unsafe Int64(fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's")) }
  if engine.isOnLoop { return unsafe Int64(misuse(error, "the engine's thread cannot wait for itself")) }
  _ = engine.wait(for: box.queue, atMost: timeout)
  return Int64(unsafe take(box, completions!, count))
}

@c @implementation
public func cwm_queue_free(_ queue: OpaquePointer?) { _ = unsafe unretain(queue, QueueBox.self) }

private func take(_ box: QueueBox, _ completions: UnsafeMutablePointer<cwm_completion>, _ count: Int) -> Int {
  var written = 0
  var ended = 0
  box.queue.drain(count) { entry in
    unsafe (completions + written).initialize(to: exported(entry.completion, entry.user, box))
    if entry.completion.status <= 0 { ended += 1 }
    written += 1
  }
  if ended > 0 { box.owner.giveBack(ended) }
  return written
}

/// An end in the form of the header.
@inline(__always) func exported(_ completion: Completion, _ user: UInt64, _ box: QueueBox?) -> cwm_completion {
  var result = unsafe cwm_completion()
  unsafe result.size = MemoryLayout<cwm_completion>.size
  unsafe result.user = user
  unsafe result.tag = completion.tag.rawValue
  unsafe result.length = UInt64(truncatingIfNeeded: completion.byteCount)
  if completion.status == 0 {
    if let buffer = completion.takeBuffer() { unsafe result.data = Exports.add(buffer) }
  } else if completion.status == releasedStatus {
    unsafe result.flags = UInt32(CWM_RELEASED.rawValue)
  } else if completion.status == acceptedStatus {
    unsafe result.endpoint = box?.accepted.withLock { $0.isEmpty ? nil : $0.removeFirst() }.map { unsafe CausewayMessagingC.box($0) }
  } else {
    unsafe result.code = code(completion.code)
  }
  if completion.isKept { unsafe result.flags = UInt32(CWM_KEPT.rawValue) }
  return unsafe result
}

/// Messages in memory of the library that callers hold.
enum Exports {
  private static let all = Mutex<[UInt: MessageBuffer]>([:])

  static func add(_ buffer: MessageBuffer) -> UnsafeMutableRawPointer? {
    let base = unsafe buffer.withUnsafeMutableBytes { $0.baseAddress }
    all.withLock { $0[UInt(bitPattern: base)] = buffer }
    return unsafe base
  }

  static func remove(_ base: UnsafeMutableRawPointer) {
    let buffer = all.withLock { $0.removeValue(forKey: UInt(bitPattern: base)) }
    withExtendedLifetime(buffer) {}
  }
}

@c @implementation
public func cwm_free(_ data: UnsafeMutableRawPointer?) { if let data = unsafe data { unsafe Exports.remove(data) } }
