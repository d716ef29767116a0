internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTelemetry
internal import CausewayTunnelCore
internal import CausewayWire

extension VisitorConnection {
  /// Where a whole head leads.
  private enum Destination {
    case open(Route)
    case wait(String)
    case refuse(Refusal)
    case answer(StaticString)
    case lane(LaneUpgrade)
  }

  /// Reads and handles heads until one needs a stream, or nothing is left.
  func readHead() {
    var budget = Self.requestBudget
    let buffer = inputBuffer
    while phase == .head && unsent.isEmpty {
      if mustParse && !buffer.isEmpty {
        mustParse = false
        if takeRequest(buffer) {
          mustParse = true
          if phase == .head && !buffer.isEmpty { setPhaseDeadline(after: ingress.limits.head) }
          budget -= 1
          if budget > 0 { continue }
          stream.continueSoon()
          break
        }
        if phase != .head { break }
      }
      guard stream.isReadable else { break }
      let before = buffer.count
      switch stream.read(into: buffer, atMost: Self.readByteCount) {
      case .bytes:
        if before == 0 { setPhaseDeadline(after: ingress.limits.head) }
        // A head that arrives in pieces is parsed again only when a line is complete, or when it is too long for a head.
        mustParse = before == 0 || buffer.count >= HeadLimits.standard.headByteCount || hasLineFeed(buffer, from: before)
      case .wouldBlock: continue
      case .end, .failed: close()
      }
    }
    if phase == .closed { buffer.removeAll() } else { park(buffer) }
  }

  private func hasLineFeed(_ buffer: ByteBuffer, from start: Int) -> Bool {
    buffer.bytes.firstIndex(of: ASCII.lineFeed, in: start..<buffer.count) != nil
  }

  /// Handles the request whose head begins `buffer`.
  /// - Returns: whether a whole head was consumed.
  private func takeRequest(_ buffer: ByteBuffer) -> Bool {
    let head = ingress.head
    head.reset()
    let bytes = buffer.bytes
    let count: Int
    do throws(HTTPHeadError) {
      guard let found = try head.parse(bytes) else { return false }
      count = found
    } catch {
      beginRequest()
      facts.keepsAlive = false
      format = PageFormat(accept: bytes.extracting(first: 4096))
      upload = .chunked  // whatever follows is in doubt
      buffer.removeAll()
      answer(.head(error))
      return false
    }
    beginRequest()
    facts.isHead = head.method == .head
    facts.minorVersion = head.minorVersion
    facts.keepsAlive = head.keepAlive
    facts.isWebSocket = head.upgrade == .webSocket
    format = PageFormat(head, bytes)
    awaitsContinue = head.expectsContinue
    uploadRecord = 0
    switch head.framing {
    case .none, .untilClose: upload = .done
    case .length(let length): upload = length == 0 ? .done : .length(length)
    case .chunked: upload = .chunked
    }
    switch destination(head, bytes) {
    case .open(let route):
      open(route, head, buffer, headByteCount: count)
      return true
    case .wait(let name):
      startWaiting(name)
      return false
    case .refuse(let refusal):
      buffer.consume(count)
      answer(refusal)
    case .answer(let text):
      buffer.consume(count)
      answerOK(text)
    case .lane(let upgrade):
      buffer.consume(count)
      giveAway(upgrade, buffer)
      return false
    }
    return true
  }

  private func beginRequest() {
    phaseDeadline = .distantFuture
    facts = RequestFacts()
    answerStarted = false
    body = .none
    keepsAlive = false
    handled = 0
    awaitsContinue = false
  }

  // MARK: Where to

  private func destination(_ head: RequestHead, _ bytes: Span<UInt8>) -> Destination {
    if head.method == .trace || head.method == .connect { return .refuse(.methodNotAllowed) }
    guard let host = head.host else { return .refuse(.hostMissing) }
    if let route, route.isLive, route.driver.isAttached, isCached(bytes, host.name) { return admitted(route, head, bytes) }
    switch ingress.policy.classify(bytes, host.name) {
    case .relay: return control(head, bytes)
    case .foreign: return .refuse(.noSuchTunnel)
    case .tunnel(let range):
      var name = bytes.string(in: range)
      for byte in name.utf8 where byte &- 0x41 < 26 {
        name = name.lowercased()
        break
      }
      switch ingress.routes.lookUp(name) {
      case .ready(let found):
        route = found
        routeHost = bytes.array(in: host.name.range)
        return admitted(found, head, bytes)
      case .waiting: return now < waitUntil ? .wait(name) : .refuse(.tunnelReconnecting)
      case .offline: return .refuse(.tunnelOffline)
      case .unknown: return .refuse(.noSuchTunnel)
      }
    }
  }

  /// Whether the last route was for this very host; most connections know one only.
  private func isCached(_ bytes: Span<UInt8>, _ name: ByteRange) -> Bool {
    let host = routeHost
    guard host.count == name.count else { return false }
    for index in 0..<host.count where host[index] != bytes[Int(name.start) &+ index] { return false }
    return true
  }

  private func admitted(_ route: Route, _ head: RequestHead, _ bytes: Span<UInt8>) -> Destination {
    if facts.isWebSocket && upload != .done { return .refuse(.upgradeWithBody) }
    if let verifier = route.basicAuth, let refusal = refusal(by: verifier, head, bytes) { return .refuse(refusal) }
    if ingress.policy.isLoop(head, bytes) { return .refuse(.loop) }
    if head.method == .options, let field = head.first(.maxForwards), bytes.decimal(in: field.value) == 0 { return .answer("") }
    return .open(route)
  }

  /// Why the request does not bring the tunnel's password; nil when it does. A password that is not known yet costs time, which is limited.
  private func refusal(by verifier: BasicAuthVerifier, _ head: RequestHead, _ bytes: Span<UInt8>) -> Refusal? {
    guard let field = head.first(.authorization), let credentials = BasicCredentials.decode(bytes.extracting(field.value)) else {
      return .unauthorized
    }
    if verifier.remembers(credentials.span) { return nil }
    let address = ingress.policy.address(of: visitor, head, bytes)
    guard ingress.guesses.mayTry(address, at: now) else { return .tooManyGuesses }
    let isRight = verifier.accepts(credentials.span)
    ingress.guesses.tried(address, iterations: verifier.iterations, wasRight: isRight, at: now)
    return isRight ? nil : .unauthorized
  }

  /// The relay's own host.
  private func control(_ head: RequestHead, _ bytes: Span<UInt8>) -> Destination {
    let target = ControlTarget(bytes, path: head.path)
    guard head.method == .get || head.method == .head else { return .refuse(target == .other ? .notFoundHere : .methodNotAllowed) }
    switch target {
    case .root: return .answer("This is a Causeway relay. Tunnels have host names of their own.\n")
    case .health: return .answer("ok\n")
    case .other:
      format = .json
      return .refuse(.notFoundHere)
    case .tunnel:
      if ingress.controlPath == nil || head.method != .get || upload != .done { return .refuse(.notFoundHere) }
      if head.upgrade == .webSocket { return .lane(.webSocket(key: bytes.array(in: head.webSocketKey.range))) }
      if head.upgrade == .other, bytes.matches(head.upgradeToken, lowercased: "causeway/3") { return .lane(.raw) }
      return .refuse(.upgradeRequired)
    }
  }

  private func giveAway(_ upgrade: LaneUpgrade, _ buffer: ByteBuffer) {
    let received = ByteBuffer()
    received.append(buffer.bytes)
    buffer.removeAll()
    ingress.counters.lanes &+= 1
    let controlPath = ingress.controlPath
    letGo()
    controlPath?.acceptLane(stream, from: String(decoding: visitor.address, as: UTF8.self), upgrade: upgrade, received: received.bytes)
  }

  // MARK: Waiting

  private func startWaiting(_ name: String) {
    if waitUntil == .distantFuture { waitUntil = now + ingress.limits.routeWait }
    guard ingress.routes.wait(self, for: name) else {
      waitUntil = .zero
      mustParse = true
      return stream.continueSoon()
    }
    waitingName = name
    phase = .waiting
    phaseDeadline = waitUntil
    watch(phaseDeadline)
  }

  func routeMayHaveChanged() {
    guard phase == .waiting else { return }
    waitingName = nil
    lookAgain()
  }

  /// The head is still there; its destination may have become another.
  func lookAgain() {
    if let waitingName { ingress.routes.stopWaiting(self, for: waitingName) }
    waitingName = nil
    phase = .head
    mustParse = true
    stream.continueSoon()
  }

  // MARK: Opening

  /// Opens the stream: head, and what of the body came with it, in one append.
  private func open(_ route: Route, _ head: RequestHead, _ buffer: ByteBuffer, headByteCount: Int) {
    let record = ingress.record
    record.removeAll()
    var used = headByteCount
    do {
      let bytes = buffer.bytes
      OpenRecord.append(
        head, bytes, visitor: visitor, policy: ingress.policy, tunnel: route.tunnel, stripsAuthorization: route.basicAuth != nil,
        scratch: ingress.text, to: record)
      switch upload {
      case .done: break
      case .length(let length):
        let count = min(Int(clamping: length), bytes.count - headByteCount)
        if count > 0 {
          Record.appendHeader(.data, payloadByteCount: count, to: record)
          record.append(bytes.extracting(headByteCount..<headByteCount + count))
          used += count
        }
        upload = length == UInt64(count) ? .done : .length(length - UInt64(count))
      case .chunked: decoder = UploadDecoder()
      }
    }
    let isWhole = upload == .done && !facts.isWebSocket
    if isWhole { OpenRecord.appendEnd(to: record) }
    buffer.consume(used)
    waitUntil = .distantFuture
    ingress.counters.requests &+= 1
    ingress.metrics?.requests.add()
    guard let id = route.driver.open(record.bytes, self) else { return answer(.overloaded) }
    driver = route.driver
    self.id = id
    phase = .exchange
    if isWhole {
      route.driver.finish(id)
    } else if upload != .done {
      let rate = BodyRate(at: now)
      self.rate = rate
      watch(rate.deadline)
    }
  }
}
