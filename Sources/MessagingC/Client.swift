// swift-format-ignore-file: AlwaysUseLowerCamelCase

// The names are the header's.
public import CMessaging
internal import CausewayMessaging
internal import Synchronization

@c @implementation
public func cwm_client_create(_ engine: OpaquePointer?, _ error: UnsafeMutablePointer<cwm_error>?) -> OpaquePointer? {
  guard let owner = unsafe unbox(engine, EngineBox.self) else {
    _ = unsafe misuse(error, "no engine")
    return nil
  }
  do throws(MessagingError) {
    return unsafe box(ClientBox(owner, try Client(on: owner.engine)))
  } catch let reason {
    unsafe fail(error, reason)
    return nil
  }
}

private func connect(
  _ client: OpaquePointer?, _ keyBytes: UnsafeRawPointer?, _ keyCount: Int, _ operation: UnsafePointer<cwm_operation>?,
  _ request: UnsafeMutablePointer<cwm_request>?, _ error: UnsafeMutablePointer<cwm_error>?,
  _ start: (Client, MessagingKey?, Duration, @escaping @Sendable (MessagingError?) -> Void) -> Void
) -> Int32 {
  guard let box = unsafe unbox(client, ClientBox.self) else { return unsafe misuse(error, "no client") }
  guard let how = unsafe How(operation, box.owner) else { return unsafe misuse(error, noEnd) }
  if box.owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  if box.state.withLock({ $0.isClosed }) { return unsafe fail(error, CWM_CLOSED.rawValue, "the client was closed: make another one") }
  let wasUsed = box.state.withLock { state in
    defer { state.isConnecting = true }
    return state.isConnecting
  }
  if wasUsed { return unsafe misuse(error, "a client connects once: make another one") }
  do throws(MessagingError) {
    let key = unsafe try key(keyBytes, keyCount)
    let number = Connects.add(box.client)
    if let request = unsafe request { unsafe request.pointee = number }
    box.owner.reserveAnyway()
    // Ten years are for ever, and no overflow.
    let timeout: Duration = how.timeout > 315_360_000_000_000_000 ? .seconds(315_360_000) : .nanoseconds(how.timeout)
    start(box.client, key, timeout) { reason in
      Connects.remove(number)
      if let reason { box.state.withLock { $0.failure = reason } }
      box.owner.engine.onLoop { how.tell(Completion(foreign: reason?.code), box.owner) }
    }
    return CWM_PENDING.rawValue
  } catch let reason {
    return unsafe fail(error, reason)
  }
}

@c @implementation
public func cwm_client_connect(
  _ client: OpaquePointer?, _ host: UnsafePointer<CChar>?, _ port: UInt16, _ key: UnsafeRawPointer?, _ keyLength: Int,
  _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let host = unsafe host else { return unsafe misuse(error, "no host") }
  let name = unsafe String(cString: host)
  return unsafe connect(client, key, keyLength, operation, request, error) { client, key, timeout, end in
    client.connect(to: name, port: port, key: key, timeout: timeout, completion: end)
  }
}

@c @implementation
public func cwm_client_connect_address(
  _ client: OpaquePointer?, _ blob: UnsafeRawPointer?, _ length: Int, _ key: UnsafeRawPointer?, _ keyLength: Int,
  _ operation: UnsafePointer<cwm_operation>?, _ request: UnsafeMutablePointer<cwm_request>?, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let blob = unsafe blob, length > 0 else { return unsafe misuse(error, "no address") }
  let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: blob, count: length))
  return unsafe connect(client, key, keyLength, operation, request, error) { client, key, timeout, end in
    client.connect(toAddress: bytes, key: key, timeout: timeout, completion: end)
  }
}

@c @implementation
public func cwm_client_failure(_ client: OpaquePointer?, _ error: UnsafeMutablePointer<cwm_error>?) -> Int32 {
  guard let box = unsafe unbox(client, ClientBox.self) else { return unsafe misuse(error, "no client") }
  guard let reason = box.state.withLock({ $0.failure }) else { return CWM_OK.rawValue }
  return unsafe fail(error, reason)
}

@c @implementation
public func cwm_client_endpoint(_ client: OpaquePointer?) -> OpaquePointer? {
  guard let client = unsafe unbox(client, ClientBox.self), client.client.isConnected else { return nil }
  return unsafe box(client.endpoint)
}

@c @implementation
public func cwm_client_close(
  _ client: OpaquePointer?, _ operation: UnsafePointer<cwm_operation>?, _ error: UnsafeMutablePointer<cwm_error>?
)
  -> Int32
{
  guard let box = unsafe unbox(client, ClientBox.self) else { return unsafe misuse(error, "no client") }
  guard let how = unsafe How(operation, box.owner) else { return unsafe misuse(error, noEnd) }
  if box.owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  let wasClosed = box.state.withLock { state in
    defer { state.isClosed = true }
    return state.isClosed
  }
  if wasClosed { return unsafe fail(error, CWM_CLOSED.rawValue, "the client was closed before") }
  box.owner.reserveAnyway()
  box.client.close(after: how.timeout) { completion in how.tell(forgiven(completion), box.owner) }
  return CWM_PENDING.rawValue
}

@c @implementation
public func cwm_client_free(_ client: OpaquePointer?) {
  guard let box = unsafe unretain(client, ClientBox.self), !box.owner.engine.isInChild else { return }
  box.client.closeByForce()
}
