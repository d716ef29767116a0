// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are the header's.
public import CMessaging
internal import CausewayMessaging

@c @implementation
public func cwm_engine_metrics(
  _ engine: OpaquePointer?, _ text: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int64 {
  guard let box = unsafe unbox(engine, EngineBox.self) else { return unsafe Int64(misuse(error, "no engine")) }
  do throws(MessagingError) {
    return unsafe write(try box.engine.metrics(), text, capacity)
  } catch let reason {
    return unsafe Int64(fail(error, reason))
  }
}

@c @implementation
public func cwm_engine_serve_metrics(
  _ engine: OpaquePointer?, _ host: UnsafePointer<CChar>?, _ port: UInt16, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int32 {
  guard let box = unsafe unbox(engine, EngineBox.self), let host = unsafe host else { return unsafe misuse(error, "no engine, or no host") }
  if box.engine.isOnLoop { return unsafe misuse(error, "the engine's thread cannot wait for itself: serve from elsewhere") }
  let answer = Answer<Result<UInt16, MessagingError>>()
  box.engine.serveMetrics(on: unsafe String(cString: host), port: port) { answer.give($0) }
  switch answer.wait(for: box.engine) {
  case .success(let port)?: return Int32(port)
  case .failure(let reason)?: return unsafe fail(error, reason)
  case nil: return unsafe fail(error, CWM_NO_MEMORY.rawValue, "no descriptor left")
  }
}
