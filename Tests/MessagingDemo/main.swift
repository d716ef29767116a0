import CausewayCrypto
import CausewayMessaging
import CausewaySupport
import Glibc
import Synchronization

// One of two processes that send each other so many bytes at the same time, with a bar on a terminal's stderr and SHA-256 of both ways.
//   messaging-demo listen BYTES         prints its port, then `sent HASH`, `received HASH`, `seconds S`, `over TRANSPORT …`
//   messaging-demo connect BYTES PORT   the same of the other side
// Exit 0, or 1 with `lost MESSAGE`.
let chunkByteCount = 8 << 20
let arguments = CommandLine.arguments
guard arguments.count >= 3, let total = Int(arguments[2]), total > 0 else {
  print("messaging-demo: listen BYTES, or connect BYTES PORT")
  exit(2)
}
let isListening = arguments[1] == "listen"
let chunks = (total + chunkByteCount - 1) / chunkByteCount

func say(_ text: String) {
  print(text)
  fflush(nil)
}

func text(_ digest: InlineArray<32, UInt8>) -> String {
  digest.indices.map { String(digest[$0] >> 4, radix: 16) + String(digest[$0] & 15, radix: 16) }.joined()
}

/// Bytes of one side and chunk, not to be confused with another's.
func fill(_ buffer: MessageBuffer, _ chunk: Int) {
  var state = UInt64(chunk) &* 2 &+ (isListening ? 1 : 2)
  unsafe buffer.withUnsafeMutableBytes { bytes in
    for offset in stride(from: 0, to: bytes.count - 7, by: 8) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      unsafe bytes.storeBytes(of: state ^ state >> 29, toByteOffset: offset, as: UInt64.self)
    }
  }
}

final class Progress: Sendable {
  let sent = Atomic<Int>(0)
  let received = Atomic<Int>(0)
}

let progress = Progress()

func bar(_ name: String, _ done: Int) -> StyledText {
  let full = 30 * done / chunks
  var line = StyledText(name)
  line.pad(to: 10)
  line.append(String(repeating: "█", count: full), .cyan)
  line.append(String(repeating: "░", count: 30 - full), .dim)
  line.append(" \(Quantity.bytes(UInt64(min(total, done * chunkByteCount))))")
  return line
}

let drawing = Task {
  var lines = LiveLines(descriptor: 2)
  guard !isListening, Terminal.of(2).isInteractive else { return }
  while !Task.isCancelled {
    _ = lines.show([bar("sent", progress.sent.load(ordering: .relaxed)), bar("received", progress.received.load(ordering: .relaxed))])
    try? await Task.sleep(for: .milliseconds(50))
  }
  _ = lines.show([bar("sent", progress.sent.load(ordering: .relaxed)), bar("received", progress.received.load(ordering: .relaxed))])
}

func sendAll(_ port: MessagePort) async throws(MessagingError) -> String {
  var digest = SHA256()
  let buffer = MessageBuffer(count: chunkByteCount)
  for chunk in 0..<chunks {
    let count = min(chunkByteCount, total - chunk * chunkByteCount)
    fill(buffer, chunk)
    digest.update(buffer.bytes.extracting(0..<count))
    try await port.send(buffer, count: count, tag: Tag(UInt64(chunk)))
    progress.sent.add(1, ordering: .relaxed)
  }
  return text(digest.finish())
}

func receiveAll(_ port: MessagePort) async throws(MessagingError) -> String {
  var digest = SHA256()
  let buffer = MessageBuffer(count: chunkByteCount)
  for chunk in 0..<chunks {
    let received = try await port.receive(into: buffer, tag: Tag(UInt64(chunk)))
    digest.update(buffer.bytes.extracting(0..<received.byteCount))
    progress.received.add(1, ordering: .relaxed)
  }
  return text(digest.finish())
}

do {
  let engine = try Engine()
  let port: MessagePort
  let server = try Server(on: engine)
  if isListening {
    say("\(try await server.listen(on: "127.0.0.1"))")
    var endpoints = server.endpoints.makeAsyncIterator()
    port = await endpoints.next()!
  } else {
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: UInt16(arguments.count > 3 ? arguments[3] : "") ?? 0)
    port = client
  }
  let start = ContinuousClock.now
  async let sending = sendAll(port)
  async let receiving = receiveAll(port)
  let (sent, received) = (try await sending, try await receiving)
  let time = ContinuousClock.now - start
  drawing.cancel()
  await drawing.value
  say("sent \(sent)")
  say("received \(received)")
  say("seconds \(Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18)")
  say("over \(Set(try port.transports().map(\.description)).sorted().joined(separator: " "))")
  // Each says that its own sends are over; then the connecting side leaves first, and whoever leaves is lost to nobody who waits.
  try await port.send([1], tag: Tag(.max))
  _ = try await port.receive(tag: Tag(.max), timeout: .seconds(30))
  if let client = port as? Client {
    try await client.close()
  } else {
    _ = try? await port.receive(tag: Tag(.max), timeout: .seconds(10))
  }
  engine.shutdown()
} catch {
  drawing.cancel()
  await drawing.value
  say("lost \(error)")
  exit(1)
}
