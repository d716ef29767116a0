// swift-format-ignore-file: AlwaysUseLowerCamelCase

// The names are the header's.
public import CMessaging
internal import CausewayMessaging

/// Several operations of one call, and their one end.
// @unchecked Sendable: touched under the driver's lock.
@safe private final class Many: @unchecked Sendable {
  let owner: EngineBox
  let how: How
  let count: Int
  let results: UnsafeMutablePointer<cwm_result>?
  let keeper: ForeignKeeper
  var good = 0
  var failure: Int32 = 0
  /// The call that starts them has not returned: an end of all of them is its answer.
  var isStarting = true
  var isOver = false

  init(_ owner: EngineBox, _ how: How, _ count: Int, _ results: UnsafeMutablePointer<cwm_result>?) {
    self.owner = owner
    self.how = how
    self.count = count
    unsafe self.results = results
    keeper = how.longKeeper()
  }

  func share() -> SharedEnd {
    SharedEnd(count: count, keeper: keeper) { index, completion in
      self.end(index, completion)
    } last: {
      self.endAll()
    }
  }

  private func end(_ index: Int, _ completion: Completion) {
    let code = code(of: completion)
    if let results = unsafe results {
      unsafe results[index] = cwm_result(
        code: code, reserved: 0, tag: completion.tag.rawValue, length: UInt64(truncatingIfNeeded: completion.byteCount))
    }
    if code == CWM_OK.rawValue { good += 1 } else if failure == 0 { failure = completion.status }
  }

  private func endAll() {
    isOver = true
    owner.giveBack(count - 1)
    if !isStarting || failure != 0 { tell() }
  }

  private func tell() {
    var completion = Completion(foreign: nil, byteCount: good)
    completion.status = failure
    completion.isKept = keeper.wasReported
    how.tell(completion, owner)
  }
}

private func begin(
  _ owner: EngineBox, _ operation: UnsafePointer<cwm_operation>?, _ messages: UnsafePointer<cwm_message>?, _ count: Int,
  _ results: UnsafeMutablePointer<cwm_result>?, _ request: UnsafeMutablePointer<cwm_request>?, _ error: UnsafeMutablePointer<cwm_error>?,
  sends: Bool, _ start: @escaping (Many, SharedEnd, UInt64) -> Void
) -> Int32 {
  guard let how = unsafe How(operation, owner) else { return unsafe misuse(error, noEnd) }
  if count < 0 || count > owner.limit / 2 || (unsafe messages == nil && count > 0) {
    return unsafe misuse(error, "not so many messages at once")
  }
  for index in 0..<count {
    let message = unsafe messages![index]
    if unsafe message.length < 0 || (message.data == nil && message.length > 0) { return unsafe misuse(error, "a message without data") }
  }
  if owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  if count == 0 { return CWM_OK.rawValue }
  guard owner.reserve(count, receives: !sends) else { return unsafe fail(error, CWM_WOULD_BLOCK.rawValue, noRoom) }
  let many = unsafe Many(owner, how, count, results)
  let number = owner.engine.newNumber()
  if let request = unsafe request { unsafe request.pointee = RequestNumber.ofMany(sends: sends, number) }
  nonisolated(unsafe) let start = start
  let isOver = owner.engine.nowOrSoon(timeout: how.timeout) {
    unsafe start(many, many.share(), number)
    many.isStarting = false
    return many.isOver && many.failure == 0
  } soon: {
    many.isStarting = false
    unsafe start(many, many.share(), number)
  }
  guard isOver else { return CWM_PENDING.rawValue }
  owner.giveBack(1)
  return CWM_OK.rawValue
}

@c @implementation
public func cwm_send_many(
  _ endpoint: OpaquePointer?, _ messages: UnsafePointer<cwm_message>?, _ count: Int, _ flags: UInt32,
  _ operation: UnsafePointer<cwm_operation>?, _ results: UnsafeMutablePointer<cwm_result>?, _ request: UnsafeMutablePointer<cwm_request>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(endpoint, EndpointBox.self) else { return unsafe misuse(error, "no endpoint") }
  let isSynchronous = flags & UInt32(CWM_SYNCHRONOUS.rawValue) != 0
  return unsafe begin(box.owner, operation, messages, count, results, request, error, sends: true) { many, share, number in
    unsafe box.port.start(sendMany: count, synchronous: isSynchronous, timeout: many.how.timeout, share: share, number: number) { index in
      let message = unsafe messages![index]
      return unsafe (UnsafeRawBufferPointer(start: message.data, count: message.length), message.tag)
    }
  }
}

private func receiveMany(
  _ owner: EngineBox, _ receiver: MessageReceiver, _ from: Endpoint?, _ messages: UnsafePointer<cwm_message>?, _ count: Int,
  _ operation: UnsafePointer<cwm_operation>?, _ results: UnsafeMutablePointer<cwm_result>?, _ request: UnsafeMutablePointer<cwm_request>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  unsafe begin(owner, operation, messages, count, results, request, error, sends: false) { many, share, number in
    unsafe receiver.start(receiveMany: count, from: from, timeout: many.how.timeout, share: share, number: number) { index in
      let message = unsafe messages![index]
      return unsafe (UnsafeMutableRawBufferPointer(start: message.data, count: message.length), message.tag, message.mask)
    }
  }
}

@c @implementation
public func cwm_server_receive_many(
  _ server: OpaquePointer?, _ from: OpaquePointer?, _ messages: UnsafePointer<cwm_message>?, _ count: Int,
  _ operation: UnsafePointer<cwm_operation>?, _ results: UnsafeMutablePointer<cwm_result>?, _ request: UnsafeMutablePointer<cwm_request>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(server, ServerBox.self) else { return unsafe misuse(error, "no server") }
  guard let from = unsafe source(from, of: box) else { return unsafe misuse(error, notIts) }
  return unsafe receiveMany(box.owner, box.server, from.endpoint, messages, count, operation, results, request, error)
}

@c @implementation
public func cwm_client_receive_many(
  _ client: OpaquePointer?, _ messages: UnsafePointer<cwm_message>?, _ count: Int, _ operation: UnsafePointer<cwm_operation>?,
  _ results: UnsafeMutablePointer<cwm_result>?, _ request: UnsafeMutablePointer<cwm_request>?, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(client, ClientBox.self) else { return unsafe misuse(error, "no client") }
  return unsafe receiveMany(box.owner, box.client, nil, messages, count, operation, results, request, error)
}
