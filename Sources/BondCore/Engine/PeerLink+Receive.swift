import CausewayBase
import CausewayPaths
import CausewayWire

// What came from the network, after decryption and the replay window.

extension PeerLink {
  /// One authentic packet.
  /// - Parameters:
  ///   - payload: The plaintext, which may be delivered from where it is.
  func receive(
    _ session: Session, _ id: PathID, _ counter: UInt64, _ payload: UnsafeMutablePointer<UInt8>, _ count: Int, from route: Route,
    trafficClass: UInt8, arrivedAt arrival: Instant, at now: Instant
  ) {
    if session !== current { confirm(session, at: now) }
    session.receivedAt = now
    timers.receivedAuthenticated(data: count > 0, at: now)
    guard let path = path(id) ?? acceptPath(id, from: route, at: now) else { return engine.drops.count(.unknownPath) }
    path.statistics.receivedBytes &+= UInt64(count &+ Self.transportByteCount)
    path.statistics.receivedPackets &+= 1
    if path.route != route || path.newestEpoch != session.epoch { follow(path, session, counter, route, count, at: now) }
    if counter > path.newestCounter { path.newestCounter = counter }
    if count == 0 { return }
    // SAFETY: the payload is `count` bytes of the receive buffer, which outlives this call.
    let bytes = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(payload), count: count)
    let first = bytes[0]
    if first & 0xF8 == 0xC0, kind == .bond {
      session.record(id, counter, wantsAcknowledgement: true, isCongested: trafficClass & 3 == 3, arrivedAt: arrival, at: now)
      return unsafe receiveData(payload, bytes, 0, trafficClass, at: now)
    }
    if FrameKind.isFrame(first) {
      return unsafe receiveFrames(
        session, path, counter, payload, bytes, from: route, trafficClass: trafficClass, arrivedAt: arrival, at: now)
    }
    guard let length = InnerPacket.byteCount(bytes, at: 0) else { return engine.drops.count(.malformedPacket) }
    unsafe accept(payload, length, partial: false, trafficClass)
  }

  // MARK: Data

  @inline(__always) private func receiveData(
    _ payload: UnsafeMutablePointer<UInt8>, _ bytes: Span<UInt8>, _ offset: Int, _ trafficClass: UInt8, at now: Instant
  ) {
    guard let (header, packet) = try? DataHeader.read(bytes, at: offset) else { return engine.drops.count(.malformedFrame) }
    unsafe order(header, payload + packet.lowerBound, packet.count, trafficClass, at: now)
  }

  /// Delivers a packet now, keeps it for its turn, or drops it as a copy.
  @inline(__always) func order(
    _ header: DataHeader, _ packet: UnsafeMutablePointer<UInt8>, _ count: Int, _ trafficClass: UInt8, at now: Instant
  ) {
    let verdict = order.receive(header, at: now)
    if verdict != .duplicate, let decoder {
      // SAFETY: `count` bytes of the receive buffer.
      unsafe decoder.decoder.add(header, Span(_unsafeStart: UnsafePointer(packet), count: count), at: now)
    }
    switch verdict {
    case .deliver, .late: unsafe accept(packet, count, partial: header.flags.contains(.checksumPartial), trafficClass)
    case .duplicate: return
    case .hold: unsafe hold(header, packet, count, trafficClass, at: now)
    }
    if decoder != nil { takeRecovered(at: now) }
    while let slot = order.nextReleased() { engine.deliver(slot) }
  }

  private func hold(_ header: DataHeader, _ packet: UnsafeMutablePointer<UInt8>, _ count: Int, _ trafficClass: UInt8, at now: Instant) {
    guard count <= pool.packetByteCount, unsafe admit(packet, count, trafficClass) else { return }
    // What is held for one peer must not take the memory that others send with.
    guard pool.freeCount > pool.limit / 4, let slot = pool.take() else {
      return unsafe engine.deliver(packet, count, partial: header.flags.contains(.checksumPartial))
    }
    // SAFETY: the slot holds `packetByteCount` bytes behind its headroom, checked above.
    unsafe (pool.address(slot) + PacketPool.headroom).update(from: packet, count: count)
    pool[slot].length = count
    order.hold(slot, header, at: now)
  }

  @inline(__always) private func accept(_ packet: UnsafeMutablePointer<UInt8>, _ count: Int, partial: Bool, _ trafficClass: UInt8) {
    guard unsafe admit(packet, count, trafficClass) else { return }
    unsafe engine.deliver(packet, count, partial: partial)
  }

  /// Whether the inner source belongs to this peer (cryptokey routing), with the outer congestion mark folded in (RFC 6040 §4.2).
  @inline(__always) func admit(_ packet: UnsafeMutablePointer<UInt8>, _ count: Int, _ trafficClass: UInt8) -> Bool {
    // SAFETY: `count` bytes of the receive buffer; InnerPacket checked that they hold the header.
    var bytes = unsafe MutableSpan<UInt8>(_unsafeStart: packet, count: count)
    guard allowedSource.allows(bytes.span, id, engine.allowedIPs) else {
      engine.drops.count(.disallowedSource)
      return false
    }
    if trafficClass & 3 != 0 {
      let inner = ECN(packet: bytes.span)
      guard let mark = ECN.inner(inner, arrivingIn: ECN(typeOfService: trafficClass)) else {
        engine.drops.count(.congestionDrop)
        return false
      }
      if mark != inner { mark.write(into: &bytes) }
    }
    statistics.receivedPackets &+= 1
    statistics.receivedBytes &+= UInt64(count)
    return true
  }

  // MARK: Frames

  private func receiveFrames(
    _ session: Session, _ path: BondPath, _ counter: UInt64, _ payload: UnsafeMutablePointer<UInt8>, _ bytes: Span<UInt8>,
    from route: Route, trafficClass: UInt8, arrivedAt arrival: Instant, at now: Instant
  ) {
    var reader = FrameReader()
    var wantsAcknowledgement = false
    do throws(FrameError) {
      while let frame = try reader.next(bytes) {
        switch frame {
        case .hello(let hello): receiveHello(hello, on: path, at: now)
        case .helloAcknowledgement(let hello): receiveHelloAcknowledgement(hello, at: now)
        case _ where kind != .bond: receivedEarlyFrame(at: now)
        case .data(let header, let packet):
          wantsAcknowledgement = true
          unsafe order(header, payload + packet.lowerBound, packet.count, trafficClass, at: now)
        case .fragment(let header, let piece):
          wantsAcknowledgement = true
          if let (data, slot) = reassembler.receive(header, bytes.extracting(piece), path: path.id, at: now) {
            place(slot, data, trafficClass: trafficClass, at: now)
          }
        case .acknowledgement(let list): receiveAcknowledgements(list, bytes, session, at: now)
        case .probe(let probe): receiveProbe(probe, on: path, byteCount: bytes.count, from: route, arrivedAt: arrival, at: now)
        case .echo(let echo): receiveEcho(echo, on: path, from: route, at: now)
        case .paths(let list):
          wantsAcknowledgement = true
          receivePaths(list, bytes, at: now)
        case .skip(let skip):
          wantsAcknowledgement = true
          order.skip(skip, at: now)
          while let slot = order.nextReleased() { engine.deliver(slot) }
        case .parameters(let wish):
          wantsAcknowledgement = true
          receiveParameters(wish, at: now)
        case .repair(let header, let parity):
          wantsAcknowledgement = true
          receiveParity(header, bytes.extracting(parity), at: now)
        case .suspect(let suspicion):
          wantsAcknowledgement = true
          receiveSuspicion(suspicion, at: now)
        case .capacity(let list): receiveCapacities(list, bytes)
        }
      }
    } catch { engine.drops.count(.malformedFrame) }
    if kind == .bond {
      session.record(
        path.id, counter, wantsAcknowledgement: wantsAcknowledgement, isCongested: trafficClass & 3 == 3 && wantsAcknowledgement,
        arrivedAt: arrival, at: now)
    }
  }

  private func receiveAcknowledgements(_ list: AcknowledgementList, _ bytes: Span<UInt8>, _ session: Session, at now: Instant) {
    var list = list
    while let block = list.next(bytes) {
      guard let path = path(block.path) else { continue }
      guard session.epoch == path.sendingEpoch || session.epoch == path.previousSendingEpoch else {
        engine.drops.count(.badAcknowledgement)
        continue
      }
      engine.ranges.removeAll(keepingCapacity: true)
      var cursor = AcknowledgedRanges(block)
      while let range = cursor.next(bytes) { engine.ranges.append(CounterRange(first: range.lowerBound, last: range.upperBound)) }
      let ranges = engine.ranges
      let acknowledgement = PathAcknowledgement(
        largest: block.largest, arrivalMicroseconds: block.arrivalMicroseconds,
        delayNanoseconds: UInt64(block.delayMicroseconds) * 1000, congestionCount: block.congestionCount)
      do throws(AcknowledgementError) {
        try path.sender.receiveAcknowledgement(
          acknowledgement, ranges: ranges.span, underPreviousKeys: session.epoch != path.sendingEpoch, at: now,
          into: &engine.outcome)
      } catch { engine.drops.count(.badAcknowledgement) }
      applyOutcome(of: path, at: now)
      takeFacts(path, at: now)
    }
    updateParameters(at: now)
    updateCapacities(at: now)
    updateBacklogLimit(at: now)
    if retiresPaths {
      retiresPaths = false
      closeRetired(at: now)
    }
  }

  private func receiveParameters(_ wish: OrderParameters, at now: Instant) {
    if wish.holdLimitMicroseconds > 0 {
      order.update(holdLimit: UInt64(wish.holdLimitMicroseconds) * 1000, memoryByteCount: Int(wish.memoryByteCount))
    }
    if wish.flags.contains(.repairsFollow) { expectParity(at: now) }
  }

  private func receiveCapacities(_ list: CapacityList, _ bytes: Span<UInt8>) {
    var list = list
    while let entry = list.next(bytes) { path(entry.path)?.remoteCapacity = UInt64(entry.kilobits) * 1000 }
  }

  private func receiveSuspicion(_ suspicion: Suspicion, at now: Instant) {
    guard let path = path(suspicion.path) else { return }
    // The last one that works isn't given up on the peer's word: it has to prove itself.
    if paths.contains(where: { $0 !== path && carriesData($0) }) {
      path.sender.suspectedByPeer(at: now)
    } else {
      path.sender.ask(at: now)
    }
    takeFacts(path, at: now)
  }

  private func receivePaths(_ list: PathList, _ bytes: Span<UInt8>, at now: Instant) {
    if let known = remotePathsSequence, Int32(bitPattern: list.sequence &- known) < 0 { return }
    remotePathsSequence = list.sequence
    announced.removeAll(keepingCapacity: true)
    var list = list
    while let entry = list.next(bytes) {
      guard entry.path != .handshake, !isOwn(entry.path) else { continue }
      if entry.state == .closing {
        if let path = path(entry.path) { close(path, at: now) }
        continue
      }
      announced.append(entry)
      if let path = path(entry.path) { apply(entry, to: path) }
    }
  }

  /// What the peer said of a path, maybe before the path's own first packet came.
  func applyAnnouncement(to path: BondPath) {
    if let entry = announced.first(where: { $0.path == path.id }) { apply(entry, to: path) }
  }

  private func apply(_ entry: PathAnnouncement, to path: BondPath) {
    path.announcedState = entry.state
    path.preference = entry.state == .backup ? max(1, Int(entry.preference)) : Int(entry.preference)
    path.weight = Int(entry.weight)
    path.remoteRateLimit = UInt64(entry.rateLimitKilobits) * 1000
    applyRateLimit(path)
  }

  // MARK: Probes

  private func receiveProbe(
    _ probe: Probe, on path: BondPath, byteCount: Int, from route: Route, arrivedAt arrival: Instant, at now: Instant
  ) {
    guard path.pendingEchoes.count < BondPath.echoLimit else { return engine.drops.count(.tooManyProbes) }
    let echo = Echo(of: probe, arrivalMicroseconds: UInt32(truncatingIfNeeded: arrival.nanoseconds / 1000), receivedByteCount: byteCount)
    path.pendingEchoes.append(BondPath.PendingEcho(echo: echo, route: route))
    controlPending = true
  }

  private func receiveEcho(_ echo: Echo, on path: BondPath, from route: Route, at now: Instant) {
    if let candidate = path.candidate, echo.probe.challenge == candidate.challenge {
      path.candidate = nil
      move(path, to: candidate.route, at: now)
      return
    }
    guard echo.probe.challenge == path.challenge else { return engine.drops.count(.badEcho) }
    if echo.probe.id & BondPath.mtuProbeBit != 0 {
      path.mtuSearch?.echoed(id: echo.probe.id, at: now, &path.mtuFacts)
      if path.takeMTUFacts() { controlPending = true }
      return
    }
    path.sender.echoReceived(echo.probe.id, at: now)
    path.mtuSearch?.acknowledged(byteCount: Self.transportByteCount)
    if !path.isValidated {
      path.isValidated = true
      becameUsable(path, at: now)
    }
    takeFacts(path, at: now)
  }
}
