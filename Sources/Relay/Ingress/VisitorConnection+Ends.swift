internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTunnelCore

extension VisitorConnection {
  /// The answer is out (or waits in `unsent`): on to the next request, or to the end of the connection.
  func endExchange(_ keeps: Bool) {
    guard phase != .closed else { return }
    id = 0
    driver = nil
    decoder = nil
    rate = nil
    waitUntil = .distantFuture
    phaseDeadline = .distantFuture
    guard keeps else {
      phase = .finishing
      return
    }
    if upload == .done { return nextRequest() }
    phase = .discarding
    setPhaseDeadline(after: ingress.limits.head)
  }

  func nextRequest() {
    if (visitorFinished || ingress.isDraining) && held == nil {
      phase = .finishing
      return
    }
    upload = .done
    phase = .head
    mustParse = held != nil
    setPhaseDeadline(after: held == nil ? ingress.limits.keepAliveIdle : ingress.limits.head)
  }

  /// Everything is with the kernel. Unread input would turn a close into an RST, which deletes the answer on its way (RFC 9112 §9.6).
  func finishNow() {
    let mayHaveMore = facts.keepsAlive || upload != .done || held != nil || stream.isReadable
    if isCut || visitorFinished || !mayHaveMore { return close() }
    held = nil
    stream.finishWriting()
    phase = .lingering
    lingerEnd = now + ingress.limits.lingerTotal
    lingered = 0
    setPhaseDeadline(after: ingress.limits.lingerIdle)
  }

  func linger() {
    var budget = Self.readBudget
    let buffer = ingress.input
    while stream.isReadable {
      guard budget > 0 else { return stream.continueSoon() }
      switch stream.read(into: buffer) {
      case .bytes(let count):
        buffer.removeAll()
        budget -= count
        lingered += count
        if lingered > ingress.limits.lingerByteCount { return close() }
        phaseDeadline = min(now + ingress.limits.lingerIdle, lingerEnd)
      case .wouldBlock: return
      case .end, .failed: return close()
      }
    }
  }

  func phaseExpired() {
    switch phase {
    case .head:
      ingress.counters.timeouts &+= 1
      guard held != nil else { return close() }
      held = nil
      facts.keepsAlive = false
      upload = .chunked  // whatever follows is in doubt
      answer(.headTooSlow)
      work()
    case .waiting: lookAgain()
    case .exchange: visitorGone()
    case .discarding, .finishing, .lingering: close()
    case .raw, .closed: break
    }
  }

  /// The visitor's socket is broken or abandoned.
  func visitorGone() {
    if id != 0 { driver?.reset(id, .cancelled) }
    id = 0
    close()
  }

  func close() {
    guard phase != .closed else { return }
    stream.close()
    letGo()
  }

  /// Ends this object's life; the socket is closed or somebody else's.
  func letGo() {
    guard phase != .closed else { return }
    phase = .closed
    stopTimer()
    if let waitingName { ingress.routes.stopWaiting(self, for: waitingName) }
    waitingName = nil
    if stream.owner === self { stream.owner = nil }
    unsent.removeAll()
    held = nil
    driver = nil
    pipe = nil
    ingress.remove(self)
  }

  func shutDown() {
    if phase == .raw {
      if id != 0 { driver?.reset(id, .cancelled) }
      stream.close()
      return letGo()
    }
    visitorGone()
  }

  var isBusy: Bool { phase != .lingering && phase != .closed }

  func drain() {
    if phase == .head && held == nil { close() }
  }
}
