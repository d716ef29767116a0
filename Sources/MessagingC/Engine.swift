// swift-format-ignore-file: AlwaysUseLowerCamelCase

// The names are the header's.
public import CMessaging
internal import CausewayMessaging
internal import Synchronization

private let folder = Mutex<String?>(nil)
private let shared = Mutex<EngineBox?>(nil)

@c @implementation
public func cwm_set_ucx_folder(_ path: UnsafePointer<CChar>?) -> Int32 {
  guard let path = unsafe path else { return CWM_INVALID.rawValue }
  let text = unsafe String(cString: path)
  folder.withLock { $0 = text }
  return CWM_OK.rawValue
}

private func make(_ options: Engine.Options) throws(MessagingError) -> EngineBox {
  var options = options
  if let folder = folder.withLock({ $0 }) { options.wheelFolders = [folder] }
  return EngineBox(try Engine(options))
}

@c @implementation
public func cwm_engine_shared(_ error: UnsafeMutablePointer<cwm_error>?) -> OpaquePointer? {
  let result: Result<EngineBox, MessagingError> = shared.withLock { shared in
    if let engine = shared { return .success(engine) }
    do throws(MessagingError) {
      let engine = try make(Engine.Options())
      shared = engine
      return .success(engine)
    } catch {
      return .failure(error)
    }
  }
  switch result {
  case .success(let engine): return unsafe box(engine)
  case .failure(let reason):
    unsafe fail(error, reason)
    return nil
  }
}

@c @implementation
public func cwm_engine_create(_ options: UnsafePointer<cwm_engine_options>?, _ error: UnsafeMutablePointer<cwm_error>?) -> OpaquePointer? {
  var wanted = Engine.Options()
  if let options = unsafe options {
    // Callers of earlier headers have a shorter struct.
    var given = unsafe cwm_engine_options()
    let count = unsafe min(options.pointee.size, MemoryLayout<cwm_engine_options>.size)
    unsafe withUnsafeMutableBytes(of: &given) { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: options, count: count)) }
    let spin: Duration = unsafe given.spin_ns > 0 ? .nanoseconds(Int64(clamping: given.spin_ns)) : .microseconds(50)
    switch unsafe given.progress {
    case CWM_ADAPTIVE.rawValue: wanted.progress = .adaptive(spin: spin)
    case CWM_BLOCKING.rawValue: wanted.progress = .blocking
    case CWM_BUSY.rawValue: wanted.progress = unsafe .busy(core: given.core >= 0 ? Int(given.core) : nil)
    case CWM_MANUAL.rawValue: wanted.progress = .manual
    default:
      _ = unsafe misuse(error, "no such mode of progress")
      return nil
    }
    if let transports = unsafe given.transports { wanted.settings = [(name: "TLS", value: unsafe String(cString: transports))] }
    if unsafe given.unreceived_limit > 0 { wanted.unreceivedByteLimit = unsafe Int(clamping: given.unreceived_limit) }
    if unsafe given.endpoint_grant > 0 {
      wanted.maximumGrant = unsafe Int(clamping: given.endpoint_grant)
      wanted.minimumGrant = min(wanted.minimumGrant, wanted.maximumGrant)
    }
    if unsafe given.host_timeout_ns > 0 { wanted.hostTimeout = unsafe .nanoseconds(Int64(clamping: given.host_timeout_ns)) }
  }
  do throws(MessagingError) {
    return unsafe box(try make(wanted))
  } catch let reason {
    unsafe fail(error, reason)
    return nil
  }
}

@c @implementation
public func cwm_engine_close(_ engine: OpaquePointer?, _ timeout: UInt64, _ error: UnsafeMutablePointer<cwm_error>?) -> Int32 {
  guard let box = unsafe unbox(engine, EngineBox.self) else { return unsafe misuse(error, "no engine") }
  if box.engine.isOnLoop { return unsafe misuse(error, "an engine cannot be closed on its own thread") }
  if !box.engine.isInChild { box.engine.shutdown() }
  _ = unsafe unretain(engine, EngineBox.self)
  return CWM_OK.rawValue
}

@c @implementation
public func cwm_engine_progress(_ engine: OpaquePointer?) -> Int64 {
  guard let box = unsafe unbox(engine, EngineBox.self) else { return Int64(CWM_INVALID.rawValue) }
  do throws(MessagingError) {
    try box.engine.progress()
    return 0
  } catch {
    return Int64(code(error.code))
  }
}

@c @implementation
public func cwm_engine_arm(_ engine: OpaquePointer?, _ descriptor: UnsafeMutablePointer<Int32>?) -> Int32 {
  guard let box = unsafe unbox(engine, EngineBox.self), let descriptor = unsafe descriptor else { return CWM_INVALID.rawValue }
  guard box.engine.options.progress == .manual else { return CWM_INVALID.rawValue }
  unsafe descriptor.pointee = box.engine.descriptor
  return CWM_OK.rawValue
}

@c @implementation
public func cwm_cancel(_ engine: OpaquePointer?, _ request: UInt64) -> Int32 {
  guard let box = unsafe unbox(engine, EngineBox.self) else { return CWM_INVALID.rawValue }
  if Connects.cancel(request) { return CWM_OK.rawValue }
  return box.engine.cancel(request) ? CWM_OK.rawValue : CWM_NOT_FOUND.rawValue
}

@c @implementation
public func cwm_info_json(_ text: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ error: UnsafeMutablePointer<cwm_error>?) -> Int64 {
  let engine: EngineBox
  if let known = shared.withLock({ $0 }) {
    engine = known
  } else {
    guard let handle = unsafe cwm_engine_shared(error) else { return unsafe Int64(error?.pointee.code ?? CWM_NO_UCX.rawValue) }
    engine = unsafe unretain(handle, EngineBox.self)!
  }
  let path = engine.engine.libraryPath
  let source = path.utf8.contains("/libucx/lib/".utf8) ? "wheel" : "system"
  do throws(MessagingError) {
    let transports = try engine.engine.info().transports
      .map { "{\"name\":\"\(escaped($0.name))\",\"device\":\"\(escaped($0.device))\"}" }.joined(separator: ",")
    let ucx = "\"source\":\"\(source)\",\"version\":\"\(engine.engine.libraryVersion)\",\"path\":\"\(escaped(path))\""
    return unsafe write("{\(ucx),\"transports\":[\(transports)]}", text, capacity)
  } catch let reason {
    return unsafe Int64(fail(error, reason))
  }
}

private func escaped(_ text: String) -> String {
  var result = ""
  for character in text.unicodeScalars {
    if character == "\"" || character == "\\" { result.append("\\") }
    if character.value >= 0x20 { result.unicodeScalars.append(character) }
  }
  return result
}

/// Text and its NUL into a caller's room; returns its length without the NUL.
func write(_ text: String, _ place: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
  let bytes = Array(text.utf8)
  if let place = unsafe place, capacity > 0 {
    let count = min(bytes.count, capacity - 1)
    // SAFETY: the caller's room has `capacity` bytes.
    for index in 0..<count { unsafe place[index] = CChar(bitPattern: bytes[index]) }
    unsafe place[count] = 0
  }
  return Int64(bytes.count)
}
