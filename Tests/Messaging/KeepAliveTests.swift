import CausewayLinuxIO
import CausewayMessaging
import Glibc
import Testing

@Suite("The peer's host")
struct KeepAliveTests {
  @Test(
    "is watched by TCP keep-alive from both sides, for five seconds or as long as was said",
    arguments: [(nil, 5), (1, 2), (2, 2), (3, 3), (4, 4), (30, 30), (1 << 40, 32770)] as [(Int?, CInt)])
  func timeout(_ wanted: Int?, _ expected: CInt) async throws {
    let pair = try await Pair.connected { if let wanted { $0.hostTimeout = .seconds(wanted) } }
    let client = try #require(pair.client.localAddress)
    let server = try #require(pair.endpoint.localAddress)
    for (local, remote) in [(client, server), (server, client)] {
      let socket = try #require(Self.socket(local, remote))
      #expect(Self.option(socket, SOL_SOCKET, SO_KEEPALIVE) == 1)
      let (idle, interval, count) = (
        Self.option(socket, CInt(IPPROTO_TCP), TCP_KEEPIDLE), Self.option(socket, CInt(IPPROTO_TCP), TCP_KEEPINTVL),
        Self.option(socket, CInt(IPPROTO_TCP), TCP_KEEPCNT)
      )
      #expect(idle + interval * count == expected, "\(idle) + \(interval) * \(count)")
    }
    try await pair.close()
  }

  /// This process's descriptor between two addresses.
  private static func socket(_ local: String, _ remote: String) -> CInt? {
    (0..<4096).first { number in
      SocketAddress.local(of: number).map { "\($0)" } == local && SocketAddress.peer(of: number).map { "\($0)" } == remote
    }
  }

  private static func option(_ socket: CInt, _ level: CInt, _ name: CInt) -> CInt {
    var (value, size) = (CInt(-1), socklen_t(MemoryLayout<CInt>.size))
    return unsafe getsockopt(socket, level, name, &value, &size) == 0 ? value : -1
  }
}
