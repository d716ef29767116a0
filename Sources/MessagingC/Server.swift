// swift-format-ignore-file: AlwaysUseLowerCamelCase

// The names are the header's.
internal import CLinux
public import CMessaging
internal import CausewayMessaging
internal import Glibc
internal import Synchronization

@c @implementation
public func cwm_server_create(_ engine: OpaquePointer?, _ error: UnsafeMutablePointer<cwm_error>?) -> OpaquePointer? {
  guard let owner = unsafe unbox(engine, EngineBox.self) else {
    _ = unsafe misuse(error, "no engine")
    return nil
  }
  do throws(MessagingError) {
    return unsafe box(ServerBox(owner, try Server(on: owner.engine)))
  } catch let reason {
    unsafe fail(error, reason)
    return nil
  }
}

@c @implementation
public func cwm_server_on_accept(_ server: OpaquePointer?, _ callback: cwm_callback?, _ context: UnsafeMutableRawPointer?) -> Int32 {
  guard let server = unsafe unbox(server, ServerBox.self) else { return CWM_INVALID.rawValue }
  guard let callback = unsafe callback else {
    server.server.onAccept(nil)
    return CWM_OK.rawValue
  }
  nonisolated(unsafe) let (call, argument) = unsafe (callback, context)
  server.server.onAccept { [unowned server] endpoint in
    var told = unsafe exported(Completion(foreign: nil), 0, nil)
    unsafe told.endpoint = box(server.box(endpoint))
    unsafe call(argument, &told)
  }
  return CWM_OK.rawValue
}

@c @implementation
public func cwm_server_accept_into(_ server: OpaquePointer?, _ queue: OpaquePointer?, _ user: UInt64) -> Int32 {
  guard let server = unsafe unbox(server, ServerBox.self), let queue = unsafe unbox(queue, QueueBox.self) else {
    return CWM_INVALID.rawValue
  }
  server.server.onAccept { [unowned server] endpoint in
    let endpoint = server.box(endpoint)
    // An entry stands for the oldest: of those that nobody takes the newest stay.
    let isFull = queue.accepted.withLock { accepted in
      defer { accepted.append(endpoint) }
      if accepted.count < QueueBox.acceptedLimit { return false }
      accepted.removeFirst()
      return true
    }
    if isFull { return }
    var told = Completion(foreign: nil)
    told.status = acceptedStatus
    queue.queue.add(user, told)
  }
  return CWM_OK.rawValue
}

/// Waits for an answer that the engine's thread gives.
final class Answer<Value>: @unchecked Sendable {  // `value` is written before the descriptor, and read after it
  private var value: Value?
  private let descriptor = eventfd(0, CInt(EFD_CLOEXEC))

  deinit { if descriptor >= 0 { _ = close(descriptor) } }

  func give(_ value: Value) {
    self.value = value
    var one: UInt64 = 1
    _ = unsafe Glibc.write(descriptor, &one, 8)
  }

  func wait(for engine: Engine) -> Value? {
    if descriptor < 0 { return nil }
    if engine.options.progress == .manual {
      // SAFETY: one entry of ours.
      var look = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      while unsafe poll(&look, 1, 0) == 0 { try? engine.progress() }
    }
    var count: UInt64 = 0
    while unsafe read(descriptor, &count, 8) < 0 && errno == EINTR {}
    return value
  }
}

func key(_ bytes: UnsafeRawPointer?, _ count: Int) throws(MessagingError) -> MessagingKey? {
  guard let bytes = unsafe bytes else { return nil }
  return try MessagingKey(unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: max(0, count))))
}

@c @implementation
public func cwm_server_listen(
  _ server: OpaquePointer?, _ host: UnsafePointer<CChar>?, _ port: UInt16, _ options: UnsafePointer<cwm_listen_options>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(server, ServerBox.self) else { return unsafe misuse(error, "no server") }
  let engine = box.owner.engine
  if engine.isOnLoop { return unsafe misuse(error, "the engine's thread cannot wait for itself: listen elsewhere") }
  if box.state.withLock({ $0.isClosed }) { return unsafe fail(error, CWM_CLOSED.rawValue, "the server was closed") }
  let name = unsafe host.map { unsafe String(cString: $0) } ?? ""
  do throws(MessagingError) {
    let key = unsafe try key(options?.pointee.key, options?.pointee.key_length ?? 0)
    let answer = Answer<Result<UInt16, MessagingError>>()
    box.server.listen(on: name.isEmpty ? "::" : name, port: port, key: key) { answer.give($0) }
    switch answer.wait(for: engine) {
    case .success(let port)?: box.state.withLock { $0.port = port }
    case .failure(let reason)?: return unsafe fail(error, reason)
    case nil: return unsafe fail(error, CWM_NO_MEMORY.rawValue, "no descriptor left")
    }
    return CWM_OK.rawValue
  } catch let reason {
    return unsafe fail(error, reason)
  }
}

@c @implementation
public func cwm_server_listen_address(
  _ server: OpaquePointer?, _ blob: UnsafeMutableRawPointer?, _ capacity: Int, _ options: UnsafePointer<cwm_listen_options>?,
  _ error: UnsafeMutablePointer<cwm_error>?
) -> Int64 {
  guard let box = unsafe unbox(server, ServerBox.self) else { return unsafe Int64(misuse(error, "no server")) }
  let engine = box.owner.engine
  if engine.isOnLoop { return unsafe Int64(misuse(error, "the engine's thread cannot wait for itself: listen elsewhere")) }
  if box.state.withLock({ $0.isClosed }) { return unsafe Int64(fail(error, CWM_CLOSED.rawValue, "the server was closed")) }
  do throws(MessagingError) {
    var bytes = box.state.withLock { $0.address }
    if bytes.isEmpty {
      let key = unsafe try key(options?.pointee.key, options?.pointee.key_length ?? 0)
      let answer = Answer<Result<[UInt8], MessagingError>>()
      box.server.listenAddress(tcp: unsafe (options?.pointee.without_tcp ?? 0) == 0, key: key) { answer.give($0) }
      guard let result = answer.wait(for: engine) else {
        return unsafe Int64(fail(error, CWM_NO_MEMORY.rawValue, "no descriptor left"))
      }
      bytes = try result.get()
      let address = bytes
      box.state.withLock { $0.address = address }
    }
    if let blob = unsafe blob, bytes.count <= capacity {
      // SAFETY: the caller's room has `capacity` bytes.
      unsafe blob.copyMemory(from: bytes, byteCount: bytes.count)
    }
    return Int64(bytes.count)
  } catch let reason {
    return unsafe Int64(fail(error, reason))
  }
}

@c @implementation
public func cwm_server_port(_ server: OpaquePointer?) -> UInt16 { unsafe unbox(server, ServerBox.self)?.state.withLock { $0.port } ?? 0 }

@c @implementation
public func cwm_server_clients(_ server: OpaquePointer?, _ endpoints: UnsafeMutablePointer<OpaquePointer?>?, _ count: Int) -> Int {
  guard let server = unsafe unbox(server, ServerBox.self) else { return 0 }
  let all = server.boxes()
  if let endpoints = unsafe endpoints {
    for (index, endpoint) in all.prefix(max(0, count)).enumerated() { unsafe endpoints[index] = box(endpoint) }
  }
  return all.count
}

@c @implementation
public func cwm_server_close(
  _ server: OpaquePointer?, _ operation: UnsafePointer<cwm_operation>?, _ error: UnsafeMutablePointer<cwm_error>?
)
  -> Int32
{
  guard let box = unsafe unbox(server, ServerBox.self) else { return unsafe misuse(error, "no server") }
  guard let how = unsafe How(operation, box.owner) else { return unsafe misuse(error, noEnd) }
  if box.owner.engine.isInChild { return unsafe fail(error, CWM_FORKED.rawValue, "this process was forked from the engine's") }
  let wasClosed = box.state.withLock { state in
    defer { state.isClosed = true }
    return state.isClosed
  }
  if wasClosed { return unsafe fail(error, CWM_CLOSED.rawValue, "the server was closed before") }
  box.owner.reserveAnyway()
  box.server.close(after: how.timeout) { completion in how.tell(forgiven(completion), box.owner) }
  return CWM_PENDING.rawValue
}

/// A close is well when there was nobody to flush to.
func forgiven(_ completion: Completion) -> Completion {
  switch completion.code {
  case .peerLost, .closed, .notConnected: Completion(foreign: nil)
  default: completion
  }
}

@c @implementation
public func cwm_server_free(_ server: OpaquePointer?) {
  guard let box = unsafe unretain(server, ServerBox.self) else { return }
  if box.owner.engine.isInChild { return }
  box.server.onAccept(nil)
  box.server.closeByForce()
}
