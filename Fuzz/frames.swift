import CausewayBase
import CausewayTunnelCore
import CausewayWire

// The first byte chooses the session, the rest is what its peer sends: the session must refuse or go on, the same whatever the pieces
// the bytes come in, and whatever it sends afterwards must be frames of the protocol.

/// A session as hostile bytes may meet it: either side, before or in a resume, with small or usual windows.
private func session(_ choice: UInt8) -> Session {
  var limits = SessionLimits()
  if choice & 4 != 0 {
    limits.initialWindow = 64
    limits.maximumWindow = 256
    limits.maximumStreams = 4
  }
  let start = Instant(nanoseconds: 1_000_000_000)
  let session = Session(role: choice & 1 == 0 ? .relay : .client, limits: limits, pool: ChunkPool(), at: start)
  session.attach(resumed: false, at: start)
  if session.role == .relay {
    for count in [10, 100, 1000] { _ = session.open([UInt8](repeating: 7, count: count).span, at: start) }
    session.finish(2, at: start)
  }
  session.produce(into: ByteBuffer(), upTo: 300, at: start)
  if choice & 2 != 0 {
    session.detach()
    session.attach(resumed: true, at: start)
  }
  return session
}

private struct Outcome: Equatable {
  /// Pieces of one stream's data are joined: only where they are cut may differ.
  var facts: [String] = []
  var data: [[UInt8]] = []
  var unused = 0
  var error: SessionError?
}

private func receive(_ session: Session, _ bytes: [UInt8], _ ends: [Int]) -> Outcome {
  let now = Instant(nanoseconds: 1_100_000_000)
  var outcome = Outcome()
  var held: [UInt8] = []
  var start = 0
  var last: StreamID?
  for end in ends {
    held += bytes[start..<end]
    start = end
    var events: [SessionEvent] = []
    var used = 0
    do throws(SessionError) { used = try session.receive(held.span, at: now, into: &events) } catch { outcome.error = error }
    law(used >= 0 && used <= held.count, "used more than there is")
    for event in events {
      if case .data(let id, let range) = event {
        law(!range.isEmpty && range.upperBound <= held.count, "a data event outside the bytes")
        if last == id {
          outcome.data[outcome.data.count - 1] += held[range]
        } else {
          outcome.facts.append("data \(id)")
          outcome.data.append(Array(held[range]))
        }
        last = id
        continue
      }
      last = nil
      if case .control(let range) = event {
        outcome.facts.append("control")
        outcome.data.append(Array(held[range]))
      } else {
        outcome.facts.append("\(event)")
      }
    }
    if outcome.error != nil { return outcome }
    held.removeFirst(used)
  }
  outcome.unused = held.count
  return outcome
}

/// Reads what the session sends without its own code.
private func checkOutput(_ session: Session) {
  let now = Instant(nanoseconds: 1_200_000_000)
  for id in session.openStreams {
    let capacity = session.sendCapacity(id)
    if capacity > 0 { session.append(id, [UInt8](repeating: 1, count: min(capacity, 5000)).span, at: now) }
    session.drained(id, upTo: session.receivedByteCount(id), pathRoundTrip: 1000, at: now)
  }
  let buffer = ByteBuffer()
  session.produce(into: buffer, upTo: 200_000, at: now)
  law(session.nextDeadline != nil, "an attached session has a deadline")
  let out = buffer.array
  var offset = 0
  while offset < out.count {
    law(out.count - offset >= 8, "half a frame header")
    let count = Int(out[offset + 2]) << 8 | Int(out[offset + 3])
    law((1...7).contains(out[offset]) && count <= 65528 && out.count - offset >= 8 + count, "no frame of the protocol")
    if out[offset] == 1 { law(count >= 8, "data without an offset") }
    if out[offset] == 2 || out[offset] == 7 { law(count % 20 == 0, "half an entry") }
    offset += 8 + count
  }
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard count > 1 else { return 0 }
  var bytes = unsafe input(data, count)
  let choice = bytes.removeFirst()
  let first = session(choice)
  let whole = receive(first, bytes, [bytes.count])
  for ends in [cuts(bytes), Array(0...bytes.count)] {
    law(receive(session(choice), bytes, ends) == whole, "pieces give other events")
  }
  if whole.error == nil { checkOutput(first) }
  // An error costs the connection; the session goes on.
  first.detach()
  first.attach(resumed: true, at: Instant(nanoseconds: 1_300_000_000))
  checkOutput(first)
  var events: [SessionEvent] = []
  first.endAllStreams(.sessionEnded, into: &events)
  law(first.streamCount == 0 && first.unacknowledgedByteCount == 0, "an ended session holds something")
  return 0
}
