// swift-format-ignore-file: AlwaysUseLowerCamelCase

// The names are the header's.
public import CMessaging
internal import CausewayMessaging

@c @implementation
public func cwm_send(
  _ endpoint: OpaquePointer?, _ data: UnsafeRawPointer?, _ length: Int, _ tag: UInt64, _ flags: UInt32,
  _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(endpoint, EndpointBox.self) else { return unsafe misuse(error, "no endpoint") }
  guard let how = unsafe How(operation, box.owner) else { return unsafe misuse(error, noEnd) }
  if length < 0 || (unsafe data == nil && length > 0) { return unsafe misuse(error, "no data") }
  if box.owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  guard box.owner.reserve() else { return unsafe fail(error, CWM_WOULD_BLOCK.rawValue, noRoom) }
  let submission = unsafe box.port.start(
    send: UnsafeRawBufferPointer(start: data, count: length), tag: tag, synchronous: flags & UInt32(CWM_SYNCHRONOUS.rawValue) != 0,
    timeout: how.timeout, keeper: how.keeper(length), to: how.outlet(box.owner))
  return unsafe answer(submission, box.owner, request, nil, how.user, error, "send")
}

@c @implementation
public func cwm_send_pieces(
  _ endpoint: OpaquePointer?, _ pieces: UnsafePointer<cwm_piece>?, _ count: Int, _ tag: UInt64, _ flags: UInt32,
  _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(endpoint, EndpointBox.self) else { return unsafe misuse(error, "no endpoint") }
  guard let how = unsafe How(operation, box.owner) else { return unsafe misuse(error, noEnd) }
  if count < 0 || (unsafe pieces == nil && count > 0) { return unsafe misuse(error, "no pieces") }
  var byteCount = 0
  for index in 0..<count {
    let piece = unsafe pieces![index]
    let sum = unsafe byteCount.addingReportingOverflow(piece.length)
    if unsafe sum.overflow || piece.length < 0 || (piece.data == nil && piece.length > 0) {
      return unsafe misuse(error, "a piece without data")
    }
    byteCount = sum.partialValue
  }
  if box.owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  guard box.owner.reserve() else { return unsafe fail(error, CWM_WOULD_BLOCK.rawValue, noRoom) }
  let list = unsafe (0..<count).map { unsafe UnsafeRawBufferPointer(start: pieces![$0].data, count: pieces![$0].length) }
  let submission = unsafe box.port.start(
    send: list, tag: tag, synchronous: flags & UInt32(CWM_SYNCHRONOUS.rawValue) != 0, timeout: how.timeout, keeper: how.longKeeper(),
    to: how.outlet(box.owner))
  return unsafe answer(submission, box.owner, request, nil, how.user, error, "send")
}

/// Whose messages a server's receive takes: of one endpoint, or of any (nil inside). Nil when it is none of this server's.
@inline(__always) func source(_ from: OpaquePointer?, of server: ServerBox) -> (endpoint: Endpoint?, Void)? {
  guard let from = unsafe unbox(from, EndpointBox.self) else { return (nil, ()) }
  guard let endpoint = from.endpoint, server.server.has(endpoint) else { return nil }
  return (endpoint, ())
}

let notIts = "no endpoint of this server"

@inline(__always) private func receive(
  _ owner: EngineBox, _ receiver: MessageReceiver, _ from: Endpoint?, _ data: UnsafeMutableRawPointer?, _ capacity: Int, _ tag: UInt64,
  _ mask: UInt64, _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?,
  _ now: UnsafeMutablePointer<cwm_completion>?, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let how = unsafe How(operation, owner) else { return unsafe misuse(error, noEnd) }
  // SIZE_MAX comes as -1.
  let allocates = unsafe data == nil && capacity == -1
  if !allocates && (capacity < 0 || (unsafe data == nil && capacity > 0)) { return unsafe misuse(error, "no memory to receive into") }
  if unsafe now == nil { return unsafe misuse(error, "a receive needs `now`") }
  if owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  guard owner.reserve(receives: true) else { return unsafe fail(error, CWM_WOULD_BLOCK.rawValue, noRoom) }
  let submission = unsafe receiver.start(
    receive: UnsafeMutableRawBufferPointer(start: data, count: allocates ? 0 : capacity), allocates: allocates, drops: how.drops, tag: tag,
    mask: mask, from: from, timeout: how.timeout, keeper: allocates ? nil : how.keeper(capacity), to: how.outlet(owner))
  return unsafe answer(submission, owner, request, now, how.user, error, "receive")
}

@c @implementation
public func cwm_server_receive(
  _ server: OpaquePointer?, _ from: OpaquePointer?, _ data: UnsafeMutableRawPointer?, _ capacity: Int, _ tag: UInt64, _ mask: UInt64,
  _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?, _ now: UnsafeMutablePointer<cwm_completion>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(server, ServerBox.self) else { return unsafe misuse(error, "no server") }
  guard let from = unsafe source(from, of: box) else { return unsafe misuse(error, notIts) }
  return unsafe receive(box.owner, box.server, from.endpoint, data, capacity, tag, mask, operation, request, now, error)
}

@c @implementation
public func cwm_client_receive(
  _ client: OpaquePointer?, _ data: UnsafeMutableRawPointer?, _ capacity: Int, _ tag: UInt64, _ mask: UInt64,
  _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?, _ now: UnsafeMutablePointer<cwm_completion>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(client, ClientBox.self) else { return unsafe misuse(error, "no client") }
  return unsafe receive(box.owner, box.client, nil, data, capacity, tag, mask, operation, request, now, error)
}

// MARK: Probe and flush

private func probe(
  _ receiver: MessageReceiver, _ from: Endpoint?, _ tag: UInt64, _ mask: UInt64, _ found: UnsafeMutablePointer<cwm_completion>?
)
  -> Int32
{
  do throws(MessagingError) {
    guard let received = try receiver.probe(tag: Tag(tag), mask: TagMask(rawValue: mask), from: from) else { return CWM_NOT_FOUND.rawValue }
    if let found = unsafe found {
      unsafe found.pointee.tag = received.tag.rawValue
      unsafe found.pointee.length = UInt64(received.byteCount)
      unsafe found.pointee.code = CWM_OK.rawValue
    }
    return CWM_OK.rawValue
  } catch {
    return code(error.code)
  }
}

@c @implementation
public func cwm_server_probe(
  _ server: OpaquePointer?, _ from: OpaquePointer?, _ tag: UInt64, _ mask: UInt64, _ found: UnsafeMutablePointer<cwm_completion>?
) -> Int32 {
  guard let box = unsafe unbox(server, ServerBox.self) else { return CWM_INVALID.rawValue }
  guard let from = unsafe source(from, of: box) else { return CWM_INVALID.rawValue }
  return unsafe probe(box.server, from.endpoint, tag, mask, found)
}

@c @implementation
public func cwm_client_probe(_ client: OpaquePointer?, _ tag: UInt64, _ mask: UInt64, _ found: UnsafeMutablePointer<cwm_completion>?)
  -> Int32
{
  guard let box = unsafe unbox(client, ClientBox.self) else { return CWM_INVALID.rawValue }
  return unsafe probe(box.client, nil, tag, mask, found)
}

private func flush(
  _ owner: EngineBox, _ receiver: MessageReceiver, _ operation: UnsafePointer<cwm_operation>?,
  _ request: UnsafeMutablePointer<cwm_request>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let how = unsafe How(operation, owner) else { return unsafe misuse(error, noEnd) }
  if owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  guard owner.reserve() else { return unsafe fail(error, CWM_WOULD_BLOCK.rawValue, noRoom) }
  let submission = receiver.start(flush: how.timeout, to: how.outlet(owner))
  return unsafe answer(submission, owner, request, nil, how.user, error, "flush")
}

@c @implementation
public func cwm_server_flush(
  _ server: OpaquePointer?, _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(server, ServerBox.self) else { return unsafe misuse(error, "no server") }
  return unsafe flush(box.owner, box.server, operation, request, error)
}

@c @implementation
public func cwm_endpoint_flush(
  _ endpoint: OpaquePointer?, _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(endpoint, EndpointBox.self) else { return unsafe misuse(error, "no endpoint") }
  return unsafe flush(box.owner, box.port, operation, request, error)
}
