import CausewayBase
import CausewayWire
import Testing

@testable import CausewayBondCore

@Suite("AllowedIPs")
struct AllowedIPsTests {
  private func table(_ rows: [(String, UInt32)]) -> AllowedIPs {
    var table = AllowedIPs()
    for (network, peer) in rows {
      let parts = network.split(separator: "/")
      table.insert(IPAddress(String(parts[0]))!, prefixLength: Int(parts[1])!, for: PeerID(peer))
    }
    return table
  }

  @Test(
    "the longest prefix decides",
    arguments: [
      ("10.0.0.1", 1), ("10.1.0.1", 2), ("10.1.2.3", 3), ("10.1.2.4", 2), ("192.0.2.1", 4), ("fd00::1", 5), ("fd00:0:0:1::", 6),
      ("2001:db8::1", nil), ("::ffff:10.0.0.1", nil),
    ] as [(String, UInt32?)])
  func longestPrefix(_ address: String, _ peer: UInt32?) throws {
    let table = table([
      ("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.2.3/32", 3), ("0.0.0.0/0", 4), ("fd00::/8", 5), ("fd00:0:0:1::/64", 6),
    ])
    let found = table.peer(for: try #require(IPAddress(address)))
    #expect(found == peer.map { PeerID($0) })
  }

  @Test("a prefix given to a second peer moves, and host bits are cleared")
  func moves() {
    var table = table([("10.9.8.7/8", 1), ("fd00::1/64", 1)])
    #expect(table.networks(of: PeerID(1)).map(\.description) == ["10.0.0.0/8", "fd00::/64"])
    #expect(table.insert(IPAddress("10.1.1.1")!, prefixLength: 8, for: PeerID(2)) == PeerID(1))
    #expect(table.networks(of: PeerID(1)).map(\.description) == ["fd00::/64"])
    #expect(table.peer(for: IPAddress("10.255.0.1")!) == PeerID(2))
    table.removeAll(of: PeerID(2))
    #expect(table.peer(for: IPAddress("10.255.0.1")!) == nil)
    #expect(table.networks(of: PeerID(1)).count == 1)
  }

  @Test("packets are looked up by their own addresses")
  func packets() {
    let table = table([("10.0.0.0/24", 1), ("10.0.1.0/24", 2), ("fd01::/16", 3), ("fd02::/16", 4)])
    var v4 = [UInt8](repeating: 0, count: 20)
    v4[0] = 0x45
    v4.replaceSubrange(12..<20, with: [10, 0, 0, 5, 10, 0, 1, 6])
    var v6 = [UInt8](repeating: 0, count: 40)
    v6[0] = 0x60
    (v6[8], v6[9], v6[24], v6[25]) = (0xFD, 1, 0xFD, 2)
    for (packet, source, destination) in [(v4, 1, 2), (v6, 3, 4)] as [([UInt8], UInt32, UInt32)] {
      let from = table.peer(forSourceOf: packet.span)
      let to = table.peer(forDestinationOf: packet.span)
      #expect(from == PeerID(source) && to == PeerID(destination))
      for count in 0..<packet.count {
        let short = Array(packet.prefix(count))
        let found = table.peer(forSourceOf: short.span) ?? table.peer(forDestinationOf: short.span)
        #expect(found == nil, "\(count) bytes")
      }
    }
    v4[0] = 0x55
    let none = table.peer(forSourceOf: v4.span)
    #expect(none == nil)
  }
}
