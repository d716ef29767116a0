// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are the header's.
public import CMessaging
internal import CausewayMessaging

@c @implementation
public func cwm_endpoint_retain(_ endpoint: OpaquePointer?) {
  if let endpoint = unsafe unbox(endpoint, EndpointBox.self) { _ = unsafe Unmanaged.passRetained(endpoint) }
}

@c @implementation
public func cwm_endpoint_release(_ endpoint: OpaquePointer?) { _ = unsafe unretain(endpoint, EndpointBox.self) }

@c @implementation
public func cwm_endpoint_id(_ endpoint: OpaquePointer?) -> UInt64 { unsafe unbox(endpoint, EndpointBox.self)?.id ?? 0 }

private func copy<T>(_ text: some StringProtocol, into field: inout T) {
  unsafe withUnsafeMutableBytes(of: &field) { bytes in
    var count = 0
    for byte in text.utf8.prefix(bytes.count - 1) {
      unsafe bytes[count] = byte
      count += 1
    }
    unsafe bytes[count] = 0
  }
}

@c @implementation
public func cwm_endpoint_info_get(_ endpoint: OpaquePointer?, _ info: UnsafeMutablePointer<cwm_endpoint_info>?) -> Int32 {
  guard let box = unsafe unbox(endpoint, EndpointBox.self), let info = unsafe info else { return CWM_INVALID.rawValue }
  var result = cwm_endpoint_info()
  result.size = unsafe info.pointee.size
  copy("endpoint-\(box.id)", into: &result.name)
  let (local, remote) = box.port.addresses
  if let local {
    copy(local.host, into: &result.local_host)
    result.local_port = local.port
  }
  if let remote {
    copy(remote.host, into: &result.remote_host)
    result.remote_port = remote.port
  }
  do throws(MessagingError) {
    let counters = try box.port.counters()
    result.sent_messages = counters.messagesSent
    result.sent_bytes = counters.bytesSent
    result.received_messages = counters.messagesReceived
    result.received_bytes = counters.bytesReceived
    result.in_flight = UInt64(counters.sendsInFlight)
    result.unreceived_bytes = UInt64(counters.unreceivedByteCount)
    result.unreceived_messages = UInt64(counters.unreceivedMessages)
    result.queued = UInt64(counters.sendsQueued)
    result.is_connected = box.port.isLiving ? 1 : 0
  } catch {
    if error.code == .forked { return CWM_FORKED.rawValue }
  }
  // SAFETY: never more than the caller's struct says it has.
  let count = unsafe min(info.pointee.size, MemoryLayout<cwm_endpoint_info>.size)
  unsafe withUnsafeBytes(of: &result) { unsafe UnsafeMutableRawPointer(info).copyMemory(from: $0.baseAddress!, byteCount: count) }
  return CWM_OK.rawValue
}

@c @implementation
public func cwm_endpoint_transports(
  _ endpoint: OpaquePointer?, _ text: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ error: UnsafeMutablePointer<cwm_error>?
) -> Int64 {
  guard let box = unsafe unbox(endpoint, EndpointBox.self) else { return unsafe Int64(misuse(error, "no endpoint")) }
  do throws(MessagingError) {
    return unsafe write(try box.port.transports().map { "\($0.name) \($0.device)\n" }.joined(), text, capacity)
  } catch let reason {
    return unsafe Int64(fail(error, reason))
  }
}

@c @implementation
public func cwm_endpoint_evaluate_performance(_ endpoint: OpaquePointer?, _ length: Int) -> Double {
  guard let box = unsafe unbox(endpoint, EndpointBox.self) else { return -1 }
  do throws(MessagingError) {
    let duration = try box.port.evaluatePerformance(of: length)
    return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  } catch {
    return -1
  }
}
