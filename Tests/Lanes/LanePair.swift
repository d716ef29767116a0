import CausewayBase
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore

@testable import CausewayLanes

/// What a session's streams and control messages bring, kept.
final class RecordingOwner: SessionDriverOwner {
  var opened: [StreamID] = []
  var controls: [[UInt8]] = []
  var lost: [String] = []
  var synchronizations = 0
  var makeHandler: (StreamID) -> any StreamHandler = { _ in RecordingHandler() }

  func sessionOpened(_ stream: StreamID) -> any StreamHandler {
    opened.append(stream)
    return makeHandler(stream)
  }
  func sessionReceivedControl(_ message: Span<UInt8>) { controls.append(message.indices.map { message[$0] }) }
  func sessionLostLane(_ reason: String) { lost.append(reason) }
  func sessionSynchronized() { synchronizations += 1 }
}

final class RecordingHandler: StreamHandler {
  var received: [UInt8] = []
  var ended = false
  var reset: ResetCode?
  var writable = 0
  var onData: (() -> Void)?
  var onWritable: (() -> Void)?

  func streamReceived(_ bytes: Span<UInt8>) {
    received += unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    onData?()
  }
  func streamEnded() { ended = true }
  func streamReset(_ code: ResetCode) { reset = code }
  func streamWritable() {
    writable += 1
    onWritable?()
  }
}

/// A relay's and a client's driver, joined by lanes over socket pairs.
final class DriverPair {
  let loop: EventLoop
  let pool = ChunkPool()
  let relay: SessionDriver
  let client: SessionDriver
  let relayOwner = RecordingOwner()
  let clientOwner = RecordingOwner()

  init(_ loop: EventLoop, limits: SessionLimits = SessionLimits()) {
    self.loop = loop
    relay = SessionDriver(role: .relay, limits: limits, pool: pool, loop: loop)
    client = SessionDriver(role: .client, limits: limits, pool: pool, loop: loop)
    relay.owner = relayOwner
    client.owner = clientOwner
  }

  /// - Returns: both ends' sockets.
  @discardableResult
  func join(resumed: Bool = false, webSocket: Bool = false) throws -> (relay: TCPStream, client: TCPStream) {
    let (a, b) = try socketPair(on: loop)
    let empty: [UInt8] = []
    relay.attach(Lane(a, received: empty.span, framing: webSocket ? WebSocketFraming(isClient: false) : nil), resumed: resumed)
    client.attach(Lane(b, received: empty.span, framing: webSocket ? WebSocketFraming(isClient: true) : nil), resumed: resumed)
    if webSocket {
      // A lane's first message is a control message; logins see to that.
      let message: [UInt8] = [0x80]
      relay.sendControl(message.span)
      client.sendControl(message.span)
    }
    return (a, b)
  }

  func end() {
    relay.detach()
    client.detach()
    relay.endAllStreams(.sessionEnded)
    client.endAllStreams(.sessionEnded)
  }
}

/// Bytes that betray loss, doubling and reordering.
func pattern(_ count: Int, _ seed: UInt64 = 1) -> [UInt8] {
  var random = SeededRandom(seed: seed)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  for _ in 0..<min(count, 65_521) { bytes.append(UInt8(truncatingIfNeeded: random.next() >> 32)) }
  while bytes.count < count { bytes += bytes.prefix(count - bytes.count) }
  return bytes
}
