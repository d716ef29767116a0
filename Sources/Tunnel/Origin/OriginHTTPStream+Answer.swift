internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayTunnelCore
internal import CausewayWire

extension OriginHTTPStream {
  /// Reads what the service has sent, as far as the session can take it.
  func readAnswer() {
    guard let socket else { return }
    var budget = Self.readBudget
    while !isOver && socket.isReadable {
      if budget <= 0 { return socket.continueSoon() }
      let goesOn =
        switch answer {
        case .head: readHead(socket, &budget)
        case .known(let remaining): readBulk(socket, remaining: remaining, &budget)
        case .untilClose: readBulk(socket, remaining: .max, &budget)
        case .chunked: readChunks(socket, &budget)
        case .done: false
        }
      // Nothing there, or no capacity: readiness or `streamWritable` brings us back.
      if !goesOn { return }
    }
  }

  private func readHead(_ socket: TCPStream, _ budget: inout Int) -> Bool {
    // Interim answers are bounded like a body: a service could send them for ever.
    if status != 0 && context.driver.sendCapacity(id) == 0 { return false }
    let input = headInput.isEmpty ? context.answer : headInput
    if headInput.isEmpty { input.removeAll() }
    switch socket.read(into: input, atMost: Self.headReadByteCount) {
    case .wouldBlock: return false
    case .bytes(let count):
      gotAnswerByte = true
      budget -= count
      parseHeads(input)
      return true
    case .end, .failed:
      connectionLost()
      return false
    }
  }

  /// Interim heads, the final one, and what of the body came with it: all in one append to the session.
  private func parseHeads(_ input: ByteBuffer) {
    guard let request else { return }
    let out = context.records
    out.removeAll()
    defer { out.trim(above: 128 * 1024) }
    while answer == .head && !input.isEmpty {
      let head = context.head
      head.reset()
      let count: Int
      do throws(HTTPHeadError) {
        guard let found = try head.parse(input.bytes, to: request.method) else { break }
        count = found
      } catch {
        return fail(.originMalformed)
      }
      if head.status == 101 {
        guard request.kind == .webSocket, head.upgrade == .webSocket else { return fail(.originMalformed) }
      }
      OriginResponse.write(head, input.bytes, to: out)
      status = Int(head.status)
      input.consume(count)
      if head.status == 101 { return becomeRaw(input, out) }
      if head.isInterim { continue }
      beginBody(head)
    }
    if answer == .head {
      if input !== headInput {
        headInput.append(input.bytes)
        input.removeAll()
      }
    } else {
      takeBody(input, out)
    }
    if !isOver && !out.isEmpty { context.driver.send(id, out.bytes) }
    if !isOver { completeIfAnswered() }
  }

  /// The service switched to WebSocket: a pipe takes over, and this object is free again.
  private func becomeRaw(_ input: ByteBuffer, _ out: ByteBuffer) {
    guard let socket else { return }
    out.append(input.bytes)
    input.removeAll()
    context.driver.send(id, out.bytes)
    if let tunnel { context.originIsUp(tunnel) }
    let pipe = RawPipe(context.driver, id, socket, pool: context.pool, handledBefore: handled)
    _ = pipe  // the driver and the socket hold it
    self.socket = nil
    answer = .done
    finish(keeping: false)
  }

  private func beginBody(_ head: ResponseHead) {
    keepsConnection = head.keepAlive
    replay.removeAll()
    switch head.framing {
    case .none: answer = .known(0)
    case .length(let count): answer = .known(count)
    case .chunked:
      answer = .chunked
      chunks = ChunkedDecoder()
    case .untilClose: answer = .untilClose
    }
    context.unwatch(self)
    if let tunnel, tunnel.isDown { context.originIsUp(tunnel) }
  }

  /// Body bytes that were read together with the head.
  private func takeBody(_ input: ByteBuffer, _ out: ByteBuffer) {
    switch answer {
    case .known(let remaining):
      let count = min(input.count, Int(clamping: remaining))
      if count > 0 {
        Record.appendHeader(.data, payloadByteCount: count, to: out)
        out.append(input.bytes.extracting(0..<count))
      }
      if count < input.count { keepsConnection = false }  // bytes nobody asked for
      answer = .known(remaining - UInt64(count))
      if remaining == UInt64(count) { appendEnd(out) }
    case .untilClose:
      if !input.isEmpty {
        Record.appendHeader(.data, payloadByteCount: input.count, to: out)
        out.append(input.bytes)
      }
    case .chunked: decode(input, out)
    case .head, .done: break
    }
    input.removeAll()
    if input === headInput { input.trim(above: 4096) }
  }

  private func appendEnd(_ out: ByteBuffer) {
    HeadRecordWriter(trailersTo: out).finish()
    answer = .done
  }

  /// After the records were handed over: the explicit end, and the connection's future.
  func completeIfAnswered() {
    guard answer == .done else { return }
    context.driver.finish(id)
    finishIfDone()
  }

  /// Straight from the socket into the session.
  private func readBulk(_ socket: TCPStream, remaining: UInt64, _ budget: inout Int) -> Bool {
    var capacity = context.driver.sendCapacity(id) - Record.headerByteCount
    guard capacity > 0 else { return false }
    let isKnown = answer != .untilClose
    if isKnown {
      if recordRemaining == 0 { beginRecord(remaining) }
      capacity = min(capacity, recordRemaining)
    }
    switch context.driver.sendFrom(socket, id, atMost: capacity, asRecord: !isKnown) {
    case .bytes(let count):
      budget -= count
      if isKnown {
        recordRemaining -= count
        answer = .known(remaining - UInt64(count))
        if remaining == UInt64(count) { endAnswer() }
      }
      return true
    case .wouldBlock: return false
    case .end where answer == .untilClose: endAnswer()
    case .end, .failed: fail(.originAborted)
    }
    return false
  }

  /// One record for as much of the body as fits one: its bytes then need no header of their own.
  private func beginRecord(_ remaining: UInt64) {
    recordRemaining = Int(min(remaining, UInt64(Record.maximumDataByteCount)))
    let out = context.records
    out.removeAll()
    Record.appendHeader(.data, payloadByteCount: recordRemaining, to: out)
    context.driver.send(id, out.bytes)
  }

  private func endAnswer() {
    let out = context.records
    out.removeAll()
    appendEnd(out)
    context.driver.send(id, out.bytes)
    completeIfAnswered()
  }

  private func readChunks(_ socket: TCPStream, _ budget: inout Int) -> Bool {
    let capacity = context.driver.sendCapacity(id) - Record.headerByteCount
    guard capacity > 0 else { return false }
    let input = context.answer
    input.removeAll()
    switch socket.read(into: input, atMost: min(capacity, TCPStream.readByteCount)) {
    case .wouldBlock: return false
    case .bytes(let count):
      budget -= count
      let out = context.records
      out.removeAll()
      decode(input, out)
      if !isOver && !out.isEmpty { context.driver.send(id, out.bytes) }
      if !isOver { completeIfAnswered() }
      return true
    case .end, .failed:
      fail(.originAborted)
      return false
    }
  }

  /// Takes the chunks of `input` apart and joins their data in one record.
  private func decode(_ input: ByteBuffer, _ out: ByteBuffer) {
    let start = out.count
    Record.appendHeader(.data, payloadByteCount: 0, to: out)
    var offset = 0
    var isComplete = false
    do throws(ChunkedError) {
      loop: while true {
        switch try chunks.next(input.bytes, from: &offset) {
        case .data(let range): out.append(input.bytes.extracting(range))
        case .needsMore: break loop
        case .end:
          isComplete = true
          break loop
        }
      }
    } catch {
      return fail(.originMalformed)
    }
    let count = out.count - start - Record.headerByteCount
    if count == 0 {
      out.truncate(to: start)
    } else {
      out.setBigEndian(UInt32(RecordKind.data.rawValue) << 24 | UInt32(count), at: start)
    }
    guard isComplete else { return }
    if offset < input.count { keepsConnection = false }  // bytes nobody asked for
    var writer = HeadRecordWriter(trailersTo: out)
    let trailers = chunks.trailers
    for line in trailers.fields { writer.field(trailers.bytes.span.extracting(line.name), trailers.bytes.span.extracting(line.value)) }
    writer.finish()
    answer = .done
  }

  /// The service is gone before a whole head: once more on a fresh connection if the kept one was stale, else the visitor hears.
  private func connectionLost() {
    if isReused && !gotAnswerByte && !replay.isEmpty {
      isReused = false
      socket?.close()
      socket = nil
      pending.removeAll()
      let replay = self.replay
      pending.append(replay.bytes)
      replay.removeAll()
      return dial()
    }
    fail(.originAborted)
  }
}
