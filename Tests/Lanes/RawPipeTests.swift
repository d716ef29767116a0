import CausewayBase
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import Testing

@testable import CausewayLanes

private let mark: [UInt8] = [0x41]

/// Visitor, pipe, session, pipe, service.
private final class Tunnel {
  let pair: DriverPair
  let visitor: PlainPeer
  let service: PlainPeer
  let visitorSocket: TCPStream
  let serviceSocket: TCPStream
  let id: StreamID
  weak var near: RawPipe?
  weak var far: RawPipe?

  init(_ loop: EventLoop) async throws {
    pair = DriverPair(loop)
    try pair.join()
    let (a, b) = try await tcpPair(on: loop)
    let (c, d) = try await tcpPair(on: loop)
    (visitorSocket, serviceSocket) = (b, c)
    visitor = PlainPeer(a)
    service = PlainPeer(d)
    let (pair, first) = (self.pair, RecordingHandler())
    id = pair.relay.open(mark.span, RecordingHandler())!
    pair.clientOwner.makeHandler = { _ in first }
    let isOpened = await loop.until { first.received == mark }
    precondition(isOpened, "the stream did not open")
    let (nearPipe, farPipe) = (
      RawPipe(pair.relay, id, b, pool: pair.pool, brokenCode: .cancelled), RawPipe(pair.client, id, c, pool: pair.pool)
    )
    (near, far) = (nearPipe, farPipe)
  }

  /// Everything is over: sockets closed, no stream, no handler, no pipe.
  func isGone() -> Bool {
    !visitorSocket.isOpen && !serviceSocket.isOpen && pair.relay.session.streamCount == 0 && pair.client.session.streamCount == 0
      && pair.relay.handlerCount == 0 && pair.client.handlerCount == 0 && near == nil && far == nil
  }
}

@Suite struct RawPipeTests {
  @Test("bytes go both ways whole, and each direction ends by itself", arguments: [false, true])
  func halfClose(visitorFirst: Bool) async throws {
    try await onLoop { loop in
      let tunnel = try await Tunnel(loop)
      let (first, second) = visitorFirst ? (tunnel.visitor, tunnel.service) : (tunnel.service, tunnel.visitor)
      let (a, b) = (pattern(3_000_000, 1), pattern(2_000_000, 2))
      first.send(a)
      first.finish()
      #expect(await loop.until { second.sawEnd })
      #expect(second.received == a && !first.sawEnd)
      await loop.pause(.milliseconds(20))
      #expect(!first.sawEnd, "the other direction is open")
      second.send(b)
      second.finish()
      #expect(await loop.until { first.sawEnd })
      #expect(first.received == b)
      #expect(await loop.until { tunnel.isGone() })
      tunnel.pair.end()
    }
  }

  @Test(
    "a reset passes through, in both directions, also behind an end",
    arguments: [(true, false), (false, false), (true, true), (false, true)])
  func resets(byVisitor: Bool, behindEnd: Bool) async throws {
    try await onLoop { loop in
      let tunnel = try await Tunnel(loop)
      let (who, other) = byVisitor ? (tunnel.visitor, tunnel.service) : (tunnel.service, tunnel.visitor)
      who.send("last")
      if behindEnd { who.finish() }
      #expect(await loop.until { other.text == "last" && (!behindEnd || other.sawEnd) })
      who.stream.abort()
      if byVisitor || !behindEnd {
        #expect(await loop.until { other.sawReset || (behindEnd && tunnel.isGone()) })
      }
      #expect(await loop.until { tunnel.isGone() })
      tunnel.pair.end()
    }
  }

  @Test("who does not read holds a bounded amount, and loses nothing", arguments: [false, true])
  func backPressure(towardVisitor: Bool) async throws {
    try await onLoop { loop in
      let tunnel = try await Tunnel(loop)
      let (source, sink) = towardVisitor ? (tunnel.service, tunnel.visitor) : (tunnel.visitor, tunnel.service)
      sink.reads = false
      let sent = pattern(64_000_000)
      source.send(sent)
      var left = -1
      #expect(
        await loop.until {
          defer { left = source.unsentByteCount }
          return left == source.unsentByteCount && left < sent.count && sink.stream.isReadable
        })
      await loop.pause(.milliseconds(200))
      let window = tunnel.pair.relay.session.limits.maximumWindow
      #expect(source.unsentByteCount > 20_000_000)
      #expect(tunnel.pair.relay.session.unacknowledgedByteCount + tunnel.pair.client.session.unacknowledgedByteCount < window)
      sink.reads = true
      source.finish()
      #expect(await loop.until(.seconds(30)) { sink.sawEnd })
      #expect(sink.received == sent)
      sink.finish()
      #expect(await loop.until { tunnel.isGone() })
      tunnel.pair.end()
    }
  }

  @Test("the end of the session resets both sockets")
  func sessionEnd() async throws {
    try await onLoop { loop in
      let tunnel = try await Tunnel(loop)
      tunnel.visitor.send("x")
      #expect(await loop.until { tunnel.service.text == "x" })
      tunnel.pair.end()
      #expect(await loop.until { tunnel.visitor.sawReset && tunnel.service.sawReset })
      #expect(tunnel.isGone())
    }
  }
}
