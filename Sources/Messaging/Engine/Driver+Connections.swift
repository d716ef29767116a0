internal import CUCX
internal import CausewayLinuxIO
internal import CausewayMessagingCore

extension Driver {
  /// Makes the UCX endpoint of a connection whose handshake told the peer's worker address.
  func connect(_ id: ConnectionID, peer: ConnectionAddress, address: Span<UInt8>, memory: ProcessMemory?, owner: any ConnectionOwner)
    -> Int32
  {
    let slot = unsafe connections.pointer(id.slot)
    unsafe slot.pointee = ConnectionSlot()
    unsafe slot.pointee.driver = Unmanaged.passUnretained(self)
    unsafe slot.pointee.id = id
    unsafe slot.pointee.owner = owner
    unsafe slot.pointee.memory = memory
    var endpoint: ucp_ep_h?
    // SAFETY: UCX copies the address; the slot never moves.
    let status = unsafe address.withUnsafeBytes { bytes in
      unsafe cucx_endpoint_create(table, worker, bytes.baseAddress, onEndpointError, slot, &endpoint)
    }
    guard status == 0, unsafe endpoint != nil else {
      unsafe slot.pointee.isClosed = true
      return status
    }
    unsafe slot.pointee.endpoint = endpoint
    unsafe core.pointee.establish(id, peer: peer, eagerLimit: eagerLimit)
    return 0
  }

  /// The UCX endpoint of a connection that is there; its place may be another one's by now. The owner of the lock.
  func endpoint(of id: ConnectionID) -> ucp_ep_h? {
    guard !isShutDown, id != MessagePort.nothing else { return nil }
    let slot = unsafe connections.pointer(id.slot)
    guard unsafe slot.pointee.id == id, unsafe !slot.pointee.hasFailed else { return nil }
    return unsafe slot.pointee.endpoint
  }

  /// What a UCX status of an operation means for its connection.
  @inline(never) func lost(_ status: Int32, _ connection: ConnectionID) -> MessagingError.Code {
    switch status {
    // I/O error, unreachable, canceled, timed out, rejected, not connected, reset; link and endpoint failures (1.13's name of a reset).
    case -3, -6, -16, -20, -23, -24, -25, -89 ... -40: break
    default: if unsafe !connections.pointer(connection.slot).pointee.hasFailed { return .ucxFailed }
    }
    fail(connection)
    return .peerLost
  }

  /// Declares the peer lost: once. The endpoint is torn down outside UCX.
  func fail(_ id: ConnectionID) {
    let slot = unsafe connections.pointer(id.slot)
    guard unsafe slot.pointee.id == id, unsafe !slot.pointee.hasFailed, unsafe !slot.pointee.isClosing else { return }
    unsafe slot.pointee.hasFailed = true
    unsafe core.pointee.connectionFailed(id)
    unsafe work.pointee.lost.append(id)
  }

  @inline(never) func tearDownLost() {
    while let id = unsafe work.pointee.lost.popLast() {
      let slot = unsafe connections.pointer(id.slot)
      guard unsafe slot.pointee.id == id else { continue }
      stopReads(of: id, .peerLost)
      // The slot may be free as soon as the endpoint is closed.
      let owner = unsafe slot.pointee.owner
      unsafe closeEndpoint(slot, force: true)
      if let owner { loop.post { owner.connectionWasLost() } }
    }
  }

  /// Ends a connection on our wish; nothing in it waits any more.
  func close(_ id: ConnectionID) {
    let slot = unsafe connections.pointer(id.slot)
    unsafe core.pointee.closeConnection(id)
    guard unsafe slot.pointee.id == id else { return unsafe core.pointee.releaseConnection(id) }
    stopReads(of: id, .closed)
    settle()
    unsafe closeEndpoint(slot, force: slot.pointee.hasFailed || slot.pointee.requests > 0)
  }

  private func closeEndpoint(_ slot: UnsafeMutablePointer<ConnectionSlot>, force: Bool) {
    guard unsafe !slot.pointee.isClosing else { return }
    unsafe slot.pointee.isClosing = true
    unsafe slot.pointee.memory = nil
    unsafe slot.pointee.takesOffers = false
    if let endpoint = unsafe slot.pointee.endpoint {
      unsafe slot.pointee.endpoint = nil
      var request: UnsafeMutableRawPointer?
      if unsafe cucx_endpoint_close(table, endpoint, force ? 1 : 0, onEndpointClosed, slot, &request) == 1 {
        unsafe slot.pointee.closeRequest = request
        unsafe work.pointee.closing += 1
        return
      }
    }
    unsafe slot.pointee.isClosed = true
    unsafe releaseIfIdle(slot)
  }

  func endpointClosed(_ slot: UnsafeMutablePointer<ConnectionSlot>) {
    unsafe slot.pointee.closeRequest = nil
    unsafe work.pointee.closing -= 1
    unsafe slot.pointee.isClosed = true
    unsafe releaseIfIdle(slot)
  }

  /// Before the worker's end: what UCX still closes is waited for a while, and let go of then, since its end asserts that nobody waits.
  func finishClosing(atMost limit: UInt64) {
    let deadline = now() &+ limit
    while unsafe work.pointee.closing > 0 && now() < deadline { unsafe _ = cucx_progress(table, worker) }
    // Closed endpoints go piece by piece; a worker of 1.13 that ends meanwhile changes the list of pieces while it walks it, and crashes.
    var quietRounds = 0
    while quietRounds < 8 && now() < deadline { quietRounds = unsafe cucx_progress(table, worker) == 0 ? quietRounds + 1 : 0 }
    unsafe connections.visit { slot in
      guard let request = unsafe slot.pointee.closeRequest else { return }
      unsafe slot.pointee.closeRequest = nil
      unsafe cucx_request_free(table, request)
    }
  }

  @inline(__always) func requestCameBack(_ id: ConnectionID) {
    let slot = unsafe connections.pointer(id.slot)
    unsafe slot.pointee.requests -= 1
    if unsafe slot.pointee.isClosed { unsafe releaseIfIdle(slot) }
  }

  func releaseIfIdle(_ slot: UnsafeMutablePointer<ConnectionSlot>) {
    guard unsafe slot.pointee.requests == 0, let id = unsafe slot.pointee.id else { return }
    unsafe slot.pointee.id = nil
    unsafe slot.pointee.owner = nil
    unsafe core.pointee.releaseConnection(id)
  }
}

private let onEndpointError: ucp_err_handler_cb_t = { argument, endpoint, status in
  let slot = unsafe argument!.assumingMemoryBound(to: ConnectionSlot.self)
  unsafe slot.pointee.driver!._withUnsafeGuaranteedRef { driver in
    if let id = unsafe slot.pointee.id { driver.fail(id) }
  }
}

private let onEndpointClosed: ucp_send_nbx_callback_t = { request, status, argument in
  let slot = unsafe argument!.assumingMemoryBound(to: ConnectionSlot.self)
  unsafe slot.pointee.driver!._withUnsafeGuaranteedRef { driver in
    unsafe cucx_request_free(driver.table, request)
    unsafe driver.endpointClosed(slot)
  }
}
