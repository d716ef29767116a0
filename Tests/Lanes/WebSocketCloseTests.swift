import CausewayBase
import CausewayLinuxIO
import CausewayLoopTesting
import Testing

@testable import CausewayLanes

/// RFC 6455 §5.5.1 and §7.1 on lanes.
@Suite struct WebSocketCloseTests {
  private final class Owner: LaneOwner {
    var closed: [String] = []
    var output: [UInt8] = []
    func laneReceived(_ bytes: Span<UInt8>) -> Int { bytes.count }
    func laneWantsOutput(into out: ByteBuffer, target: Int) {
      out.append(output.span)
      output = []
    }
    func laneClosed(_ reason: String) { closed.append(reason) }
  }

  /// A masked frame of a client, the mask being zero.
  private static func frame(_ opcode: UInt8, _ payload: [UInt8]) -> [UInt8] {
    [0x80 | opcode, 0x80 | UInt8(payload.count), 0, 0, 0, 0] + payload
  }

  @Test(
    "a close frame is answered by one, with its status if that may be sent",
    arguments: [
      ([], [0x88, 0]), ([0x03, 0xE8], [0x88, 2, 0x03, 0xE8]), ([0x0F, 0xA0, 0x62], [0x88, 2, 0x0F, 0xA0]),
      ([0x03], [0x88, 2, 0x03, 0xEA]), ([0x03, 0xED], [0x88, 2, 0x03, 0xEA]),
    ] as [([UInt8], [UInt8])])
  func answered(_ payload: [UInt8], _ answer: [UInt8]) async throws {
    try await onLoop { loop in
      let (a, b) = try socketPair(on: loop)
      let nothing: [UInt8] = []
      let lane = Lane(a, received: nothing.span, framing: WebSocketFraming(isClient: false))
      let owner = Owner()
      lane.start(owner)
      let peer = PlainPeer(b)
      peer.send(Self.frame(8, payload))
      let isClosed = await loop.until { peer.sawEnd }
      #expect(isClosed && peer.received == answer && owner.closed == ["the other side closed the WebSocket"])
    }
  }

  @Test("an orderly end says close behind the last words, and ends with the peer's answer")
  func ownEnd() async throws {
    try await onLoop { loop in
      let (a, b) = try socketPair(on: loop)
      let nothing: [UInt8] = []
      let lane = Lane(a, received: nothing.span, framing: WebSocketFraming(isClient: false))
      let owner = Owner()
      lane.start(owner)
      let peer = PlainPeer(b)
      owner.output = [6, 0, 0, 1, 0, 0, 0, 0, 0x80]  // a control frame, which travels bare
      var isFlushed = false
      lane.closeAfterFlush { isFlushed = true }
      let isTold = await loop.until { peer.received.count >= 7 }
      #expect(isTold && isFlushed && peer.received == [0x82, 1, 0x80, 0x88, 2, 0x03, 0xE8])
      await loop.pause(.milliseconds(20))
      #expect(!peer.sawEnd && a.isOpen)
      peer.send(Self.frame(2, [1, 2, 3]) + Self.frame(8, [0x03, 0xE8]))
      let isClosed = await loop.until { peer.sawEnd }
      #expect(isClosed && peer.received.count == 7 && !a.isOpen && owner.closed.isEmpty)
    }
  }

  @Test("a broken frame is answered with 1002")
  func broken() async throws {
    try await onLoop { loop in
      let (a, b) = try socketPair(on: loop)
      let nothing: [UInt8] = []
      let lane = Lane(a, received: nothing.span, framing: WebSocketFraming(isClient: false))
      let owner = Owner()
      lane.start(owner)
      let peer = PlainPeer(b)
      peer.send([0x82, 0x01, 0x80])  // no mask
      let isClosed = await loop.until { peer.sawEnd }
      #expect(isClosed && peer.received == [0x88, 2, 0x03, 0xEA] && owner.closed.count == 1)
    }
  }
}
