import CausewayBase
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import CausewayWire

@testable import CausewayTunnel

/// What a visitor's side sees of one stream: its records, or raw bytes behind a 101.
final class Visitor: StreamHandler {
  struct Answer: Equatable {
    var status = 0
    var fields: [String] = []
  }
  var answers: [Answer] = []
  var bodyLength: BodyLength?
  var body: [UInt8] = []
  var raw: [UInt8] = []
  var trailers: [String]?
  var ended = false
  var reset: ResetCode?
  var damaged = false
  /// Off: nothing is reported as drained, as by a visitor that does not read.
  var drains = true
  var onWritable: (() -> Void)?
  var isRaw = false
  private var parser = RecordParser()
  private unowned let driver: SessionDriver
  var id: StreamID = 0

  init(_ driver: SessionDriver) { self.driver = driver }

  var status: Int { answers.last?.status ?? 0 }
  var text: String { String(decoding: body, as: UTF8.self) }
  var rawText: String { String(decoding: raw, as: UTF8.self) }
  var isOver: Bool { ended || reset != nil }

  func streamReceived(_ bytes: Span<UInt8>) {
    var offset = 0
    do throws(RecordError) {
      while !isRaw, let event = try parser.next(bytes, &offset) {
        switch event {
        case .head(let kind, let range): try head(kind, bytes, range)
        case .collectedHead(let kind):
          let collected = parser.collected
          try head(kind, collected.bytes, 0..<collected.count)
        case .data(let range): body += bytes.array(in: range)
        }
      }
    } catch {
      damaged = true
    }
    if isRaw { raw += bytes.array(in: offset..<bytes.count) }
    if drains { drain() }
  }

  func drain() {
    driver.drained(id, upTo: driver.session.receivedByteCount(id), acknowledged: driver.session.receivedByteCount(id), pathRoundTrip: 0)
  }

  private func head(_ kind: RecordKind, _ bytes: Span<UInt8>, _ range: Range<Int>) throws(RecordError) {
    var reader = HeadRecordReader(payload: range)
    if kind == .trailers {
      trailers = try fields(try reader.trailers(bytes), &reader, bytes)
      return
    }
    let response = try reader.response(bytes)
    answers.append(Answer(status: Int(response.status), fields: try fields(response.fieldCount, &reader, bytes)))
    bodyLength = response.body
    if response.status == 101 { isRaw = true }
  }

  private func fields(_ count: Int, _ reader: inout HeadRecordReader, _ bytes: Span<UInt8>) throws(RecordError) -> [String] {
    var result: [String] = []
    for _ in 0..<count {
      let (name, value) = try reader.field(bytes)
      result.append("\(bytes.string(in: name)): \(bytes.string(in: value))")
    }
    return result
  }

  func streamEnded() { ended = true }
  func streamReset(_ code: ResetCode) { reset = code }
  func streamWritable() { onWritable?() }
}

/// A relay's driver and a client with one tunnel to a service that the test plays.
final class OriginBench: SessionDriverOwner, OriginAvailabilityObserver {
  let loop: EventLoop
  let relay: SessionDriver
  let client: SessionDriver
  let context: OriginContext
  let tunnel: LocalTunnel
  var changes: [Bool] = []
  private let pool = ChunkPool()

  init(_ loop: EventLoop, _ target: OriginTarget, isHTTP: Bool = true) throws {
    self.loop = loop
    relay = SessionDriver(role: .relay, pool: pool, loop: loop)
    client = SessionDriver(role: .client, pool: pool, loop: loop)
    context = OriginContext(driver: client, pool: pool, observer: nil)
    tunnel = LocalTunnel(name: "test", isHTTP: isHTTP, target: target)
    context.setTunnels([1: tunnel])
    let (a, b) = try socketPair(on: loop)
    let nothing: [UInt8] = []
    relay.owner = self
    client.owner = self
    context.availability = self
    relay.attach(Lane(a, received: nothing.span, framing: nil), resumed: false)
    client.attach(Lane(b, received: nothing.span, framing: nil), resumed: false)
  }

  convenience init(_ loop: EventLoop, port: UInt16, isHTTP: Bool = true) throws {
    try self.init(loop, OriginTarget(address: .hostPort("127.0.0.1", port)), isHTTP: isHTTP)
  }

  func sessionOpened(_ stream: StreamID) -> any StreamHandler { context.handler(for: stream) }
  func sessionReceivedControl(_ message: Span<UInt8>) {}
  func sessionLostLane(_ reason: String) {}
  func sessionSynchronized() {}
  func originChanged(tunnel: LocalTunnel, isUp: Bool, reason: String) { changes.append(isUp) }

  /// Opens a stream; a whole request unless `body` stays open.
  func request(
    _ method: String = "GET", _ target: String = "/", kind: StreamKind = .http, body: [UInt8]? = nil, length: BodyLength? = nil,
    ends: Bool = true,
    fields: [(String, String)] = []
  ) -> Visitor {
    let record = ByteBuffer()
    let length = length ?? body.map { .known(UInt64($0.count)) } ?? .none
    var writer = HeadRecordWriter(
      request: kind, tunnel: 1, method: Array(method.utf8).span, target: Array(target.utf8).span, host: Array("h.example".utf8).span,
      body: length,
      to: record)
    for (name, value) in fields { writer.field(Array(name.utf8).span, Array(value.utf8).span) }
    writer.finish()
    if let body { Self.appendData(body, to: record) }
    if kind == .http && ends { HeadRecordWriter(trailersTo: record).finish() }
    let visitor = Visitor(relay)
    visitor.id = relay.open(record.bytes, visitor)!
    if kind == .http && ends { relay.finish(visitor.id) }
    return visitor
  }

  func tcp() -> Visitor {
    let record = ByteBuffer()
    HeadRecordWriter.appendTCP(tunnel: 1, visitor: "1.2.3.4:5", to: record)
    let visitor = Visitor(relay)
    visitor.isRaw = true
    visitor.id = relay.open(record.bytes, visitor)!
    return visitor
  }

  static func appendData(_ body: [UInt8], to record: ByteBuffer) {
    if body.isEmpty { return }
    Record.appendHeader(.data, payloadByteCount: body.count, to: record)
    record.append(body.span)
  }

  func send(_ visitor: Visitor, data: [UInt8]) {
    let record = ByteBuffer()
    Self.appendData(data, to: record)
    relay.send(visitor.id, record.bytes)
  }

  func send(_ visitor: Visitor, raw: String) { relay.send(visitor.id, Array(raw.utf8).span) }

  func end(_ visitor: Visitor, trailers: [(String, String)] = []) {
    let record = ByteBuffer()
    var writer = HeadRecordWriter(trailersTo: record)
    for (name, value) in trailers { writer.field(Array(name.utf8).span, Array(value.utf8).span) }
    writer.finish()
    relay.send(visitor.id, record.bytes)
    relay.finish(visitor.id)
  }

  /// As the relay does when an answer is complete: an unfinished upload is reset.
  func complete(_ visitor: Visitor) { relay.release(visitor.id) }

  /// No stream, no handler is left at the client.
  func isClean() -> Bool { client.handlerCount == 0 && client.session.streamCount == 0 }

  func close() {
    relay.endAllStreams(.sessionEnded)
    client.endAllStreams(.sessionEnded)
    relay.detach()
    client.detach()
    context.end()
    tunnel.pool.closeAll()
  }
}

func pattern(_ count: Int, _ seed: UInt64 = 1) -> [UInt8] {
  var random = SeededRandom(seed: seed)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  for _ in 0..<min(count, 65_521) { bytes.append(UInt8(truncatingIfNeeded: random.next() >> 32)) }
  while bytes.count < count { bytes += bytes.prefix(count - bytes.count) }
  return bytes
}
