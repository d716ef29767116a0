import CausewayBase
import CausewayCrypto
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import CausewayWire
import Testing

@testable import CausewayTunnel

@Suite("an upgrade that is refused")
struct LaneDialerTests {
  static func dial(_ answer: String, useWebSocket: Bool = false) async throws -> (kind: String, retryAfter: Duration?) {
    try await onLoop { loop in
      let server = try PlainServer(on: loop) { peer in
        peer.onData = { if $0.text.hasSuffix("\r\n\r\n") { $0.send(answer) } }
      }
      defer { server.close() }
      let token: [UInt8] = Array("t".utf8)
      let configuration = TunnelClientConfiguration(
        server: try ServerURL(parsing: "http://127.0.0.1:\(server.port)"), token: SecretKey(copying: token.span), tunnels: [], seed: 1)
      var outcome: (String, Duration?)?
      let dialer = LaneDialer(configuration, tls: nil, useWebSocket: useWebSocket, on: loop, began: { _ in }) { result in
        switch result {
        case .success(let lane):
          lane.close()
          outcome = ("lane", nil)
        case .failure(let failure): outcome = ("\(failure.kind)", failure.retryAfter)
        }
      }
      dialer.start()
      _ = await loop.until { outcome != nil }
      return outcome ?? ("silence", nil)
    }
  }

  @Test(
    "a Retry-After is the relay's own word and is waited for; without one somebody between may be at fault",
    arguments: [
      ("503 Busy\r\nRetry-After: 2", "passing", 2), ("429 Slowly\r\nRetry-After: 7", "passing", 7), ("503 Busy", "rawRefused", nil),
      ("502 Bad Gateway", "rawRefused", nil), ("404 Not Found\r\nRetry-After: 2", "rawRefused", 2), ("426 Upgrade", "rawRefused", nil),
    ] as [(String, String, Int?)])
  func raw(_ answer: String, _ kind: String, _ seconds: Int?) async throws {
    let outcome = try await Self.dial("HTTP/1.1 \(answer)\r\nContent-Length: 0\r\n\r\n")
    #expect(outcome.kind == kind && outcome.retryAfter == seconds.map { .seconds($0) })
  }

  @Test("the WebSocket fallback waits for it as well")
  func webSocket() async throws {
    let outcome = try await Self.dial("HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n", useWebSocket: true)
    #expect(outcome.kind == "passing" && outcome.retryAfter == .seconds(2))
  }
}
