import CausewayBase
import CausewayLanes
import CausewayLinuxIO
import CausewayTunnelCore

/// The client's end of the tunnel: answers each request by what its path asks for.
final class FakeClient: SessionDriverOwner {
  let driver: SessionDriver
  var streams: [FakeOrigin] = []
  /// Codes of resets that the relay sent.
  var resets: [ResetCode] = []

  init(_ driver: SessionDriver) { self.driver = driver }

  func sessionOpened(_ stream: StreamID) -> any StreamHandler {
    let origin = FakeOrigin(self, stream)
    streams.append(origin)
    return origin
  }
  func sessionReceivedControl(_ message: Span<UInt8>) {}
  func sessionLostLane(_ reason: String) {}
  func sessionSynchronized() {}
}

final class FakeOrigin: StreamHandler {
  unowned let client: FakeClient
  let id: StreamID
  var driver: SessionDriver { client.driver }
  private var records = RecordParser()
  var kind = StreamKind.http
  var tunnel: UInt16 = 0
  var method = ""
  var target = ""
  var host = ""
  var visitor = ""
  var bodyLength = BodyLength.none
  var fields: [(String, String)] = []
  var trailers: [(String, String)] = []
  var body: [UInt8] = []
  var hasRequestEnd = false
  var sawEnd = false
  var isRaw = false
  /// Bytes of `/bulk` still to send.
  var bulk = 0
  var received: UInt64 = 0
  var stalls = false

  init(_ client: FakeClient, _ id: StreamID) {
    self.client = client
    self.id = id
  }

  // MARK: Events

  func streamReceived(_ bytes: Span<UInt8>) {
    received += UInt64(bytes.count)
    if isRaw {
      raw(bytes)
    } else {
      var offset = 0
      do {
        while !isRaw, let event = try records.next(bytes, &offset) {
          switch event {
          case .head(let kind, let payload): try head(kind, bytes, payload)
          case .collectedHead(let kind):
            let collected = records.collected
            try head(kind, collected.bytes, 0..<collected.count)
          case .data(let range): for index in range { body.append(bytes[index]) }
          }
        }
      } catch { driver.reset(id, .protocolViolation) }
      if isRaw && offset < bytes.count { raw(bytes.extracting(offset..<bytes.count)) }
    }
    if !stalls && driver.wantsDrainReport(id) { driver.drained(id, upTo: received, acknowledged: received, pathRoundTrip: 0) }
  }

  func streamEnded() {
    sawEnd = true
    if isRaw && target != "/ws-half" { driver.finish(id) }
    if target == "/ws-half" {
      send("after")
      driver.finish(id)
    }
  }

  func streamReset(_ code: ResetCode) { client.resets.append(code) }
  func streamWritable() { pumpBulk() }

  private func raw(_ bytes: Span<UInt8>) {
    for index in bytes.indices { body.append(bytes[index]) }
    driver.send(id, bytes)
  }

  private func head(_ kind: RecordKind, _ bytes: Span<UInt8>, _ payload: Range<Int>) throws {
    var reader = HeadRecordReader(payload: payload)
    func text(_ range: Range<Int>) -> String {
      var part: [UInt8] = []
      for index in range { part.append(bytes[index]) }
      return String(decoding: part, as: UTF8.self)
    }
    switch kind {
    case .open:
      let open = try reader.open(bytes)
      self.kind = open.kind
      tunnel = open.tunnel
      method = text(open.method)
      target = text(open.target)
      host = text(open.host)
      visitor = text(open.visitor)
      bodyLength = open.body
      for _ in 0..<open.fieldCount {
        let (name, value) = try reader.field(bytes)
        fields.append((text(name), text(value)))
      }
      isRaw = open.kind == .tcp
      opened()
    case .trailers:
      for _ in 0..<(try reader.trailers(bytes)) {
        let (name, value) = try reader.field(bytes)
        trailers.append((text(name), text(value)))
      }
      hasRequestEnd = true
      requestEnded()
    default: throw RecordError.malformed("not for a client")
    }
  }

  // MARK: Answers

  func respond(_ status: UInt16, _ body: BodyLength, _ fields: [(String, String)] = []) {
    let out = ByteBuffer()
    var writer = HeadRecordWriter(response: status, reason: Array("Fine".utf8).span, body: body, to: out)
    for (name, value) in fields { writer.field(Array(name.utf8).span, Array(value.utf8).span) }
    writer.finish()
    driver.send(id, out.bytes)
  }

  func send(_ text: String) { driver.send(id, Array(text.utf8).span) }

  func data(_ bytes: [UInt8]) {
    let out = ByteBuffer()
    Record.appendHeader(.data, payloadByteCount: bytes.count, to: out)
    out.append(bytes.span)
    driver.send(id, out.bytes)
  }

  func end(_ trailers: [(String, String)] = []) {
    let out = ByteBuffer()
    var writer = HeadRecordWriter(trailersTo: out)
    for (name, value) in trailers { writer.field(Array(name.utf8).span, Array(value.utf8).span) }
    writer.finish()
    driver.send(id, out.bytes)
    driver.finish(id)
  }

  private func opened() {
    switch target {
    case "/early":
      respond(413, .known(5))
      data(Array("large".utf8))
      end()
    case "/continue": respond(100, .none)
    case "/ws", "/ws-half":
      respond(101, .none, [("Sec-WebSocket-Accept", "abc")])
      isRaw = true
      send("hi")
    case "/ws-denied":
      respond(403, .known(2))
      data(Array("no".utf8))
      end()
    case "/bad-switch": respond(101, .none)
    case "/stall": stalls = true
    case "/refused": driver.reset(id, .originRefused)
    case "/timeout": driver.reset(id, .originTimeout)
    case "/overloaded": driver.reset(id, .overloaded)
    case "/gone": driver.reset(id, .tunnelGone)
    case "/forged": respond(200, .none, [("X-A", "1\r\nX-B: 2")])
    default: break
    }
  }

  private func requestEnded() {
    switch target {
    case "/hello":
      respond(200, .known(5), [("X-Origin", "yes"), ("Connection", "close"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
      data(Array("hello".utf8))
      end()
    case "/echo", "/continue":
      respond(200, .unknown)
      if !body.isEmpty { data(body) }
      end(trailers)
    case "/fields":
      let text = "\(method) \(host) \(tunnel)\n" + fields.map { "\($0.0): \($0.1)\n" }.joined()
      respond(200, .known(UInt64(text.utf8.count)))
      data(Array(text.utf8))
      end()
    case "/hints":
      respond(103, .none, [("Link", "</a.css>")])
      respond(200, .known(2))
      data(Array("ok".utf8))
      end()
    case "/head":
      respond(200, .none, [("Content-Length", "1234")])
      end()
    case "/204":
      respond(204, .none)
      end()
    case "/304":
      respond(304, .none, [("Content-Length", "99"), ("ETag", "x")])
      end()
    case "/cut-length":
      respond(200, .known(10))
      data(Array("short".utf8))
      driver.reset(id, .originAborted)
    case "/cut-unknown":
      respond(200, .unknown)
      data(Array("short".utf8))
      cutLater()
    case "/short":
      respond(200, .known(10))
      data(Array("short".utf8))
      end()
    case "/endless-end": driver.finish(id)
    case "/bulk":
      bulk = 64 * 1024 * 1024
      respond(200, .known(UInt64(bulk)))
      pumpBulk()
    default: break  // never answers
    }
  }

  /// A reset overtakes queued bytes, so that what came before it must have left first.
  private func cutLater() {
    let timer = LoopTimerBox(driver, id)
    timer.start()
  }

  private func pumpBulk() {
    while bulk > 0 {
      let capacity = driver.sendCapacity(id)
      if capacity <= Record.headerByteCount { return }
      let count = min(bulk, capacity - Record.headerByteCount, 32 * 1024)
      data([UInt8](repeating: 0x61, count: count))
      bulk -= count
      if bulk == 0 { end() }
    }
  }
}

/// Resets a stream in a moment; holds itself until then.
final class LoopTimerBox {
  private let driver: SessionDriver
  private let id: StreamID
  private var timer: LoopTimer?
  init(_ driver: SessionDriver, _ id: StreamID) {
    self.driver = driver
    self.id = id
  }
  func start() {
    let timer = LoopTimer(driver.loop) { _ in
      self.driver.reset(self.id, .originAborted)
      self.timer = nil
    }
    timer.set(after: .milliseconds(50))
    self.timer = timer
  }
}
