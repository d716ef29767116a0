internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTunnelCore
internal import CausewayWire

extension VisitorConnection {
  /// Moves the request's body into the stream, as far as there is credit.
  func pumpUpload() {
    var budget = Self.readBudget
    while phase == .exchange && upload != .done, let driver {
      let capacity = driver.sendCapacity(id)
      if capacity == 0 {
        rate?.pause(at: now)
        return
      }
      if held == nil {
        guard stream.isReadable else { return awaitBody() }
        guard budget > 0 else { return stream.continueSoon() }
      }
      switch upload {
      case .done: return
      case .length(let left): pumpLength(driver, left, capacity, &budget)
      case .chunked: pumpChunks(driver, capacity, &budget)
      }
    }
  }

  private func awaitBody() {
    rate?.resume(at: now)
    if let rate { watch(rate.deadline) }
  }

  private func received(_ count: Int, _ budget: inout Int) {
    budget -= count
    rate?.received(count)
    ingress.counters.bytesFromVisitors &+= UInt64(count)
  }

  private func pumpLength(_ driver: SessionDriver, _ left: UInt64, _ capacity: Int, _ budget: inout Int) {
    let wanted = min(Int(clamping: left), capacity)
    if let held {
      let count = min(wanted, held.count)
      let record = ingress.record
      record.removeAll()
      Record.appendHeader(.data, payloadByteCount: count, to: record)
      record.append(held.bytes.extracting(0..<count))
      held.consume(count)
      park(held)
      finishPiece(driver, left, count, record)
      return
    }
    if uploadRecord == 0 { beginUploadRecord(driver, left) }
    switch driver.sendFrom(stream, id, atMost: min(wanted, uploadRecord), asRecord: false) {
    case .bytes(let count):
      uploadRecord -= count
      received(count, &budget)
      let record = ingress.record
      record.removeAll()
      finishPiece(driver, left, count, record)
    case .wouldBlock: return
    case .end, .failed: visitorGone()
    }
  }

  /// One record for as much of the body as fits one: its bytes then need no header of their own.
  private func beginUploadRecord(_ driver: SessionDriver, _ left: UInt64) {
    uploadRecord = Int(min(left, UInt64(Record.maximumDataByteCount)))
    let record = ingress.record
    record.removeAll()
    Record.appendHeader(.data, payloadByteCount: uploadRecord, to: record)
    driver.send(id, record.bytes)
  }

  /// Sends `record` and, when the body is complete, its end.
  private func finishPiece(_ driver: SessionDriver, _ left: UInt64, _ count: Int, _ record: ByteBuffer) {
    let isWhole = left == UInt64(count)
    upload = isWhole ? .done : .length(left - UInt64(count))
    if isWhole { OpenRecord.appendEnd(to: record) }
    if !record.isEmpty { driver.send(id, record.bytes) }
    if isWhole { uploadEnded(driver) }
  }

  private func uploadEnded(_ driver: SessionDriver) {
    upload = .done
    decoder = nil
    rate = nil
    driver.finish(id)
  }

  private func pumpChunks(_ driver: SessionDriver, _ capacity: Int, _ budget: inout Int) {
    let buffer = inputBuffer
    if held == nil {
      switch stream.read(into: buffer, atMost: min(capacity, TCPStream.readByteCount)) {
      case .bytes(let count): received(count, &budget)
      case .wouldBlock: return
      case .end, .failed: return visitorGone()
      }
    }
    decodeChunks(driver, buffer, capacity)
  }

  /// Joins the data of all chunks in `buffer` to one record.
  private func decodeChunks(_ driver: SessionDriver, _ buffer: ByteBuffer, _ capacity: Int) {
    guard let decoder else { return }
    let record = ingress.record
    record.removeAll()
    Record.appendHeader(.data, payloadByteCount: 0, to: record)
    var offset = 0
    var isWhole = false
    do throws(ChunkedError) {
      let bytes = buffer.bytes.extracting(first: capacity)
      loop: while true {
        switch try decoder.chunks.next(bytes, from: &offset) {
        case .data(let range): record.append(bytes.extracting(range))
        case .needsMore: break loop
        case .end:
          isWhole = true
          break loop
        }
      }
    } catch {
      buffer.removeAll()
      park(buffer)
      return breakExchange(.cancelled, .malformedBody)
    }
    let count = record.count - Record.headerByteCount
    if count == 0 {
      record.removeAll()
    } else {
      record.setBigEndian(UInt32(RecordKind.data.rawValue) << 24 | UInt32(count), at: 0)
    }
    buffer.consume(offset)
    park(buffer)
    if isWhole { OpenRecord.appendEnd(decoder.chunks.trailers, to: record) }
    if !record.isEmpty { driver.send(id, record.bytes) }
    if isWhole { uploadEnded(driver) }
  }

  func streamWritable() {
    guard phase == .exchange else { return }
    rate?.resume(at: now)
    work()
  }

  /// While an answer is on its way: notices that the visitor ended or went. What it sends ahead is kept, one read of it.
  func watchVisitor() {
    while stream.isReadable && held == nil && !visitorFinished && phase == .exchange {
      let buffer = ingress.input
      switch stream.read(into: buffer, atMost: Self.readByteCount) {
      case .bytes: park(buffer)
      case .wouldBlock: return
      case .failed: visitorGone()
      case .end:
        // A close looks like an end at first: it goes on for a while, as long as answers flow.
        visitorFinished = true
        setPhaseDeadline(after: ingress.limits.finishedVisitor)
      }
    }
  }

  /// Drops the rest of a body that nobody wanted, to keep the connection.
  func discard() {
    guard case .length(var left) = upload else { return nextRequest() }
    while left > 0 {
      let buffer = inputBuffer
      if held == nil {
        guard stream.isReadable else { break }
        switch stream.read(into: buffer, atMost: min(Int(clamping: left), Self.readByteCount)) {
        case .bytes: break
        case .wouldBlock: continue
        case .end, .failed: return close()
        }
      }
      let count = min(buffer.count, Int(clamping: left))
      buffer.consume(count)
      park(buffer)
      left -= UInt64(count)
    }
    upload = left == 0 ? .done : .length(left)
    if left == 0 { nextRequest() }
  }
}
