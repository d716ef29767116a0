import CausewayBase
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import Testing

@testable import CausewayRelay

@Suite("names that the relay knows")
struct RouteTableTests {
  private static func standing(_ table: RouteTable, _ name: String) -> String {
    switch table.lookUp(name) {
    case .ready: "ready"
    case .waiting: "waiting"
    case .offline: "offline"
    case .unknown: "unknown"
    }
  }

  @Test("an expired reservation is forgotten; one that is served or reserved is not")
  func forgetsExpired() async throws {
    try await onLoop { loop in
      let table = RouteTable(loop: loop, knownNames: ["kept", "expired", "served"])
      let driver = SessionDriver(role: .relay, pool: ChunkPool(), loop: loop)
      table.install(Route(name: "served", tunnel: 1, driver: driver, basicAuth: nil))
      #expect(Self.standing(table, "expired") == "waiting")
      table.keepKnown(["kept"])
      #expect(["kept", "expired", "served"].map { Self.standing(table, $0) } == ["waiting", "unknown", "waiting"])
    }
  }
}
