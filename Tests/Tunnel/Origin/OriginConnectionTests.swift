import CausewayBase
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import Testing

@testable import CausewayTunnel

@Suite struct OriginConnectionTests {
  static let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

  @Test("a WebSocket is raw both ways behind its 101, half-closes included")
  func webSocket() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port)
      let visitor = bench.request(kind: .webSocket, fields: [("Sec-WebSocket-Key", "k")])
      #expect(await loop.until { server.peers.first?.text.contains("Upgrade: websocket\r\n\r\n") == true })
      server.peers[0].clear()
      server.peers[0].send(Self.upgrade + "behind the head")
      #expect(await loop.until { visitor.rawText == "behind the head" })
      #expect(visitor.status == 101)
      bench.send(visitor, raw: "from the visitor")
      #expect(await loop.until { server.peers[0].text == "from the visitor" })
      bench.relay.finish(visitor.id)
      #expect(await loop.until { server.peers[0].sawEnd })
      server.peers[0].send(" and more")
      server.peers[0].finish()
      #expect(await loop.until { visitor.ended && visitor.rawText == "behind the head and more" })
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("a refused upgrade is an ordinary answer")
  func refusedUpgrade() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop) { peer in
        peer.onData = { $0.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno") }
      }
      let bench = try OriginBench(loop, port: server.port)
      let visitor = bench.request(kind: .webSocket)
      #expect(await loop.until { visitor.ended })
      #expect(visitor.status == 403 && visitor.text == "no")
      bench.relay.finish(visitor.id)
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("TCP: bytes from before the connection stands arrive, and each direction ends by itself", arguments: [false, true])
  func tcp(visitorFirst: Bool) async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port, isHTTP: false)
      let visitor = bench.tcp()
      bench.send(visitor, raw: "early")
      if visitorFirst { bench.relay.finish(visitor.id) }
      #expect(await loop.until { server.peers.first?.text == "early" })
      if visitorFirst { #expect(await loop.until { server.peers[0].sawEnd }) }
      server.peers[0].send("answer")
      server.peers[0].finish()
      #expect(await loop.until { visitor.ended && visitor.rawText == "answer" })
      if !visitorFirst {
        bench.send(visitor, raw: " late")
        bench.relay.finish(visitor.id)
        #expect(await loop.until { server.peers[0].sawEnd })
        #expect(server.peers[0].text == "early late")
      }
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("a visitor's reset reaches a TCP service, and the service's the visitor")
  func tcpResets() async throws {
    try await onLoop { loop in
      let server = try PlainServer(on: loop)
      let bench = try OriginBench(loop, port: server.port, isHTTP: false)
      let (first, second, third) = (bench.tcp(), bench.tcp(), bench.tcp())
      bench.relay.reset(third.id, .cancelled)
      bench.send(first, raw: "1")
      bench.send(second, raw: "2")
      #expect(await loop.until { server.peers.contains { $0.text == "1" } && server.peers.contains { $0.text == "2" } })
      bench.relay.reset(first.id, .cancelled)
      #expect(await loop.until { server.peers.first { $0.text == "1" }!.sawReset })
      server.peers.first { $0.text == "2" }!.stream.abort()
      #expect(await loop.until { second.reset == .originAborted })
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("a refused port is told by its code and as an event, and heals by itself")
  func refused() async throws {
    try await onLoop { loop in
      let free = try PlainServer(on: loop)
      let address = free.address
      free.close()
      let bench = try OriginBench(loop, port: address.port)
      for _ in 0..<2 {
        let visitor = bench.request()
        #expect(await loop.until { visitor.reset == .originRefused })
      }
      #expect(bench.changes == [false], "told once")
      let server = try PlainServer(address, on: loop) { $0.onData = { $0.send("HTTP/1.1 204 No Content\r\n\r\n") } }
      let visitor = bench.request()
      #expect(await loop.until { visitor.ended })
      #expect(bench.changes == [false, true])
      #expect(await loop.until { bench.isClean() })
      bench.close()
      server.close()
    }
  }

  @Test("unix sockets, and ::1 alone behind a bare port")
  func otherAddresses() async throws {
    try await onLoop { loop in
      let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
      let path = temporaryFolder() + "/s"
      let unix = try PlainServer(SocketAddress.unix(path)!, on: loop) { $0.onData = { $0.send(answer) } }
      let six = try PlainServer(.loopback6(port: 0), on: loop) { $0.onData = { $0.send(answer) } }
      for target in [OriginTarget(address: .unixSocket(path)), OriginTarget(address: .loopbackPort(six.port))] {
        let bench = try OriginBench(loop, target)
        let visitor = bench.request()
        #expect(await loop.until { visitor.ended })
        #expect(visitor.text == "ok")
        bench.close()
      }
      unix.close()
      six.close()
    }
  }

  @Test("a stream for an unknown tunnel, or of the wrong kind, is reset")
  func wrongTunnel() async throws {
    try await onLoop { loop in
      let bench = try OriginBench(loop, port: 1)
      let wrongKind = bench.tcp()
      #expect(await loop.until { wrongKind.reset == .tunnelGone })
      bench.context.setTunnels([:])
      let unknown = bench.request()
      #expect(await loop.until { unknown.reset == .tunnelGone && bench.isClean() })
      bench.close()
    }
  }
}
