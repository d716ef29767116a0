import CausewayBase
import CausewayTunnelCore
import CausewayWire
import Testing

@testable import CausewayLanes

@Suite struct WebSocketFramingTests {
  /// A control frame around `message`, as the rooms above see it.
  static func control(_ message: [UInt8]) -> [UInt8] {
    let out = ByteBuffer()
    FrameHeader.appendControl(message.span, to: out)
    return bytes(out)
  }

  static func bytes(_ buffer: ByteBuffer) -> [UInt8] {
    let span = buffer.bytes
    return span.indices.map { span[$0] }
  }

  static func frame(_ opcode: UInt8, _ payload: [UInt8], final: Bool = true, mask: [UInt8]? = [1, 2, 3, 4]) -> [UInt8] {
    var out = [(final ? 0x80 : 0) | opcode]
    let bit: UInt8 = mask == nil ? 0 : 0x80
    if payload.count < 126 {
      out.append(bit | UInt8(payload.count))
    } else if payload.count < 65536 {
      out += [bit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
    } else {
      out += [bit | 127, 0, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: payload.count >> (24 - 8 * $0)) }
    }
    guard let mask else { return out + payload }
    return out + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
  }

  /// Feeds `pieces` to a relay's framing; what it delivered, or its failure.
  static func deliver(_ pieces: [[UInt8]], isClient: Bool = false) -> (delivered: [UInt8], failure: String?, framing: WebSocketFraming) {
    let framing = WebSocketFraming(isClient: isClient)
    let input = ByteBuffer()
    var delivered: [UInt8] = []
    do throws(WebSocketFraming.Failure) {
      for piece in pieces {
        input.append(piece.span)
        try framing.receive(input) { bytes in
          delivered += bytes.indices.map { bytes[$0] }
          return bytes.count
        }
      }
    } catch {
      return (delivered, error.reason, framing)
    }
    return (delivered, nil, framing)
  }

  @Test("the first message is bare and becomes a control frame; what follows is the lane's bytes")
  func firstMessage() {
    let result = Self.deliver([Self.frame(2, [0x80]) + Self.frame(2, [9, 9]) + Self.frame(2, [8])])
    #expect(result.delivered == Self.control([0x80]) + [9, 9, 8] && result.failure == nil)
  }

  @Test("a fragmented first message is one message; pings and pongs may stand between")
  func fragments() {
    let wire =
      Self.frame(2, [1], final: false) + Self.frame(9, [7]) + Self.frame(0, [2], final: false) + Self.frame(10, []) + Self.frame(0, [3])
    let result = Self.deliver([wire + Self.frame(2, [4], final: false) + Self.frame(0, [5])])
    #expect(result.delivered == Self.control([1, 2, 3]) + [4, 5] && result.failure == nil)
    #expect(result.framing.hasControlOutput)
    let out = ByteBuffer()
    result.framing.produce(into: out) { _ in }
    #expect(Self.bytes(out) == Self.frame(10, [7], mask: nil))
  }

  @Test("bytes split anywhere give the same")
  func splits() {
    let long = pattern(70_000)
    let wire =
      Self.frame(2, Array("first".utf8)) + Self.frame(2, pattern(200)) + Self.frame(9, [1, 2]) + Self.frame(2, [], final: false)
      + Self.frame(0, [5])
    let expected = Self.deliver([wire]).delivered
    #expect(expected == Self.control(Array("first".utf8)) + pattern(200) + [5])
    for cut in 0...wire.count { #expect(Self.deliver([Array(wire[..<cut]), Array(wire[cut...])]).delivered == expected, "cut at \(cut)") }
    #expect(Self.deliver(wire.map { [$0] }).delivered == expected)
    let large = Self.frame(2, [0x80]) + Self.frame(2, long)
    #expect(
      Self.deliver(stride(from: 0, to: large.count, by: 999).map { Array(large[$0..<min($0 + 999, large.count)]) }).delivered
        == Self.control([0x80]) + long)
  }

  @Test(
    "hostile frames end the lane",
    arguments: [
      frame(1, [0x41]), frame(3, []), frame(0xB, []), frame(2, [1], mask: nil), frame(9, [UInt8](repeating: 0, count: 126)),
      frame(9, [], final: false),
      [0xC2, 0x80, 0, 0, 0, 0], frame(0, [1]), frame(2, [1], final: false) + frame(2, [2]),
      [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
      frame(2, [UInt8](repeating: 1, count: 4097)), [0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4],
      frame(2, [UInt8](repeating: 1, count: 4000), final: false) + frame(0, [UInt8](repeating: 1, count: 97), final: false),
    ])
  func hostile(_ wire: [UInt8]) {
    let result = Self.deliver([wire])
    #expect(result.failure != nil && result.delivered.isEmpty)
  }

  @Test("a client refuses masked frames, and takes bare ones")
  func clientSide() {
    #expect(Self.deliver([Self.frame(2, [1])], isClient: true).failure != nil)
    #expect(Self.deliver([Self.frame(2, [1], mask: nil)], isClient: true).delivered == Self.control([1]))
  }

  @Test("a close ends the lane; nothing behind it is read")
  func close() {
    let result = Self.deliver([Self.frame(2, [0x80]) + Self.frame(8, [0x03, 0xE8]) + Self.frame(2, [1])])
    #expect(result.framing.isClosing && result.delivered == Self.control([0x80]))
  }

  @Test("a flood of pings is answered by a bounded few")
  func pingFlood() {
    let ping = Self.frame(9, [UInt8](repeating: 1, count: 125))
    let result = Self.deliver([Self.frame(2, [0x80])] + (0..<10_000).map { _ in ping })
    let out = ByteBuffer()
    result.framing.produce(into: out) { _ in }
    #expect(out.count > 0 && out.count < 5000)
  }

  @Test("what the owner does not take is bounded, and delivered when it does")
  func refusedPayload() throws {
    let framing = WebSocketFraming(isClient: false)
    let input = ByteBuffer()
    input.append(Self.frame(2, [0x80]).span)
    try framing.receive(input) { $0.count }
    var taken = 0
    let chunk = Self.frame(2, [UInt8](repeating: 7, count: 60_000))
    for _ in 0..<20 {
      input.append(chunk.span)
      try framing.receive(input) { _ in 0 }
    }
    #expect(input.count > 800_000, "the lane sees what waits, and stops reading")
    #expect(framing.hasPayload)
    while true {
      let before = taken
      try framing.receive(input) { bytes in
        taken += bytes.count
        return bytes.count
      }
      if taken == before { break }
    }
    #expect(taken == 1_200_000)
  }

  @Test("both sides understand each other", arguments: [true, false])
  func roundTrip(fromClient: Bool) throws {
    let sender = WebSocketFraming(isClient: fromClient)
    let receiver = WebSocketFraming(isClient: !fromClient)
    let wire = ByteBuffer()
    let frames = [Self.control([0x80]) + pattern(10), pattern(100_000), [1]]
    for frame in frames { sender.produce(into: wire) { $0.append(frame.span) } }
    sender.produce(into: wire) { _ in }
    var delivered: [UInt8] = []
    try receiver.receive(wire) { bytes in
      delivered += bytes.indices.map { bytes[$0] }
      return bytes.count
    }
    #expect(delivered == frames.flatMap { $0 })
    #expect(wire.isEmpty && !receiver.hasPayload)
  }
}
