internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc

/// A look at the queue in shared memory after a peer's death.
@safe struct QueueWatch {
  /// Between two looks.
  static let interval = Duration.milliseconds(10)
  /// Looks with something unread in the queue, before a message to ourselves asks whether it moves; and those, and the time, that the
  /// message is waited for.
  static let patience = 5
  static let probeLooks = 20
  static let probeTime: UInt64 = 1_000_000_000

  var looks = 0
  /// Somebody else died meanwhile.
  var isAskedAgain = false
  var hasArrived = false
  var sentAt: UInt64 = 0
  /// Ourselves, while the message is under way.
  var endpoint: ucp_ep_h?
}

/// Where peers find a worker.
struct WorkerAddresses {
  var all: [UInt8] = []
  /// Without shared memory.
  var network: [UInt8] = []
}

/// In shared memory all peers of a host write into one queue of the worker: each takes a place, fills it, and marks it as full. A peer that
/// dies in between (by a signal, or because the memory that it sends is gone) leaves a place that is never marked: what stands behind it
/// is never read, from whomever it is, and UCX has no way past it. So after each death the queue is looked at, and when it stands still
/// the worker makes room for another. Its connections end as `peerLost`; the engine, its servers, and the messages that were here already
/// stay.
extension Driver {
  /// The active message that we send to ourselves.
  static let probeID: UInt32 = 2

  /// A peer is gone. On the loop's thread.
  func watchQueue() {
    guard sharesMemory, !isShutDown else { return }
    if queueTimer?.isArmed == true {
      unsafe work.pointee.queueWatch.isAskedAgain = true
      return
    }
    unsafe work.pointee.queueWatch = QueueWatch()
    if queueTimer == nil { queueTimer = LoopTimer(loop) { [unowned self] _ in lookAtQueue() } }
    queueTimer?.set(after: QueueWatch.interval)
  }

  private func lookAtQueue() {
    guard !isShutDown else { return }
    progressToEnd()
    unsafe work.pointee.queueWatch.looks += 1
    let watch = unsafe work.pointee.queueWatch
    // A worker that may sleep has read all there is.
    if unsafe watch.hasArrived || cucx_arm(table, worker) == 0 {
      endProbe()
      if watch.isAskedAgain { watchQueue() }
      return
    }
    if watch.looks == QueueWatch.patience {
      sendProbe()
    } else if watch.looks >= QueueWatch.patience + QueueWatch.probeLooks && now() &- watch.sentAt >= QueueWatch.probeTime {
      let wasSent = unsafe watch.endpoint != nil
      endProbe()
      if wasSent && renewWorker() { return }
      unsafe work.pointee.queueWatch = QueueWatch()
    }
    queueTimer?.set(after: QueueWatch.interval)
  }

  private func sendProbe() {
    unsafe work.pointee.queueWatch.sentAt = now()
    var endpoint: ucp_ep_h?
    // SAFETY: UCX copies the address.
    let status = unsafe work.pointee.addresses.all.withUnsafeBytes { bytes in
      unsafe cucx_endpoint_create(table, worker, bytes.baseAddress, onProbeError, nil, &endpoint)
    }
    guard status == 0, let endpoint = unsafe endpoint else { return }
    unsafe work.pointee.queueWatch.endpoint = endpoint
    // SAFETY: an empty message; its request is given back by the callback.
    let argument = unsafe Unmanaged.passUnretained(self).toOpaque()
    if unsafe cucx_am_send(table, endpoint, Self.probeID, nil, 0, nil, 0, 0, onProbeSent, argument) < 0 { endProbe() }
  }

  func endProbe() {
    guard let endpoint = unsafe work.pointee.queueWatch.endpoint else { return }
    unsafe work.pointee.queueWatch.endpoint = nil
    let argument = unsafe Unmanaged.passUnretained(self).toOpaque()
    var request: UnsafeMutableRawPointer?
    if unsafe cucx_endpoint_close(table, endpoint, 1, onProbeClosed, argument, &request) == 1 { unsafe work.pointee.closing += 1 }
  }

  /// What a new worker needs before anybody sends to it. Returns its addresses.
  func prepare(_ worker: ucp_worker_h) throws(SystemError) -> WorkerAddresses {
    let argument = unsafe Unmanaged.passUnretained(self).toOpaque()
    guard unsafe cucx_set_handler(table, worker, Self.messageID, onMessage, argument) == 0,
      unsafe cucx_set_handler(table, worker, Self.probeID, onProbe, argument) == 0
    else { throw SystemError(EINVAL, "ucp_worker_set_am_recv_handler") }
    return unsafe try WorkerAddresses(all: address(of: worker), network: address(of: worker, isNetworkOnly: true))
  }

  private func address(of worker: ucp_worker_h, isNetworkOnly: Bool = false) throws(SystemError) -> [UInt8] {
    var bytes: UnsafeRawPointer?
    var count = 0
    guard unsafe cucx_worker_address(table, worker, isNetworkOnly ? 1 : 0, &bytes, &count) == 0, let address = unsafe bytes else {
      throw SystemError(ENOMEM, "ucp_worker_query")
    }
    defer { unsafe cucx_address_release(table, worker, address) }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: address, count: count))
  }

  // MARK: Another worker

  /// False when there is no room for a second worker now; nothing has changed then.
  private func renewWorker() -> Bool {
    var made: ucp_worker_h?
    var efd: CInt = -1
    guard unsafe cucx_worker_create(table, context, name, &made, &efd) == 0, let fresh = unsafe made else { return false }
    guard let addresses = unsafe try? prepare(fresh), let registration = try? loop.register(efd, efdHandler) else {
      unsafe table.pointee.worker_destroy(fresh)
      return false
    }
    unsafe connections.visit { slot in if let id = unsafe slot.pointee.id { fail(id) } }
    settle()
    finishClosing(atMost: 200_000_000)
    unsafe messages.visit { unsafe keep($0) }
    if let efdRegistration { loop.deregister(efdRegistration) }
    unsafe table.pointee.worker_destroy(worker)
    unsafe workerPlace.pointee = fresh
    efdRegistration = registration
    unsafe work.pointee.addresses = addresses
    unsafe work.pointee.renewals &+= 1
    forgetRequests()
    return true
  }

  /// What UCX had and never gave back is ours again: its worker is gone.
  private func forgetRequests() {
    unsafe sends.visit { slot in
      if unsafe slot.pointee.isUnderWay {
        unsafe slot.pointee.isUnderWay = false
        unsafe finish(slot, failed: true)
      }
    }
    unsafe receives.visit { slot in
      if unsafe slot.pointee.isUnderWay {
        var outcome = unsafe slot.pointee.outcome
        outcome.status = MessagingError.Code.peerLost.rawValue
        unsafe end(slot, outcome)
      }
    }
    unsafe work.pointee.closing = 0
    unsafe connections.visit { slot in
      guard unsafe slot.pointee.id != nil else { return }
      unsafe slot.pointee.requests = 0
      unsafe slot.pointee.isClosed = true
      unsafe releaseIfIdle(slot)
    }
    settle()
  }
}

// SAFETY of the callbacks: `argument` is the driver, which outlives its workers.

private let onProbe: ucp_am_recv_callback_t = { argument, _, _, _, _, _ in
  unsafe Unmanaged<Driver>.fromOpaque(argument!)._withUnsafeGuaranteedRef { unsafe $0.work.pointee.queueWatch.hasArrived = true }
  return UCS_OK
}

private let onProbeError: ucp_err_handler_cb_t = { _, _, _ in }

private let onProbeSent: ucp_send_nbx_callback_t = { request, _, argument in
  unsafe Unmanaged<Driver>.fromOpaque(argument!)._withUnsafeGuaranteedRef { unsafe cucx_request_free($0.table, request) }
}

private let onProbeClosed: ucp_send_nbx_callback_t = { request, _, argument in
  unsafe Unmanaged<Driver>.fromOpaque(argument!)._withUnsafeGuaranteedRef { driver in
    unsafe cucx_request_free(driver.table, request)
    unsafe driver.work.pointee.closing -= 1
  }
}
