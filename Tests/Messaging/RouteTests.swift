import Testing

@testable import CausewayMessaging

/// What UCX prints about an endpoint, recorded.
@Suite struct RouteTests {
  static let old = """
    #
    # UCP endpoint\u{20}
    #
    #               peer: <no debug data>
    #                 lane[0]:  3:sysv/memory.0 md[2]           -> md[2]/sysv/sysdev[255] am am_bw#0 keepalive
    #                 lane[1]:  5:tcp/eth0.1 md[0]              -> md[0]/tcp/sysdev[255] wireup
    #
    #                 am_send: 0..<egr/short>..93..<egr/bcopy>..8256..<rndv>..(inf)
    #
    #                  rma_bw: mds rndv_rkey_size 9
    """

  static let new = """
    #                 lane[0]:  3:sysv/memory.0 md[2]           -> md[2]/sysv/sysdev[255] seg 4294967295 am keepalive
    # | t intra-node cfg#0                                                      |
    # | active message by ucp_am_send* from host memory                         |
    # |    Range     |                Description                 |   Config    |
    # |  579764..inf | (?) rendezvous fragmented copy-in copy-out | sysv/memory |
    # | t intra-node cfg#0                                   |
    # | active message by ucp_am_send*(egr) from host memory |
    # +-----------+--------------------+---------------------+
    # |   Range   |    Description     |       Config        |
    # +-----------+--------------------+---------------------+
    # |     0..92 | short              | sysv/memory         |
    # |  93..8248 | copy-in            | sysv/memory         |
    # | 8249..inf | multi-frag copy-in | sysv/memory         |
    # | t intra-node cfg#0                                                |
    # | active message by ucp_am_send*(rndv) from host memory             |
    # | Range  |                Description                 |   Config    |
    # |      0 | (?) rendezvous no data fetch               |             |
    # | 1..inf | (?) rendezvous fragmented copy-in copy-out | sysv/memory |
    """

  @Test("until 1.15: lanes by their purpose, sizes by thresholds, clipped to what the engine sends eagerly")
  func thresholds() {
    #expect(
      Route.parse(Self.old, eagerByteLimit: 8168) == [
        Route(.eager, "egr/short", lanes: "sysv/memory", from: 0, upTo: 92),
        Route(.eager, "egr/bcopy", lanes: "sysv/memory", from: 93, upTo: 8168),
        Route(.rendezvous, "rndv", lanes: "sysv/memory", from: 8169),
      ])
  }

  @Test("from 1.16 on: the tables of the two calls that the engine makes, no others")
  func tables() {
    #expect(
      Route.parse(Self.new, eagerByteLimit: 8168) == [
        Route(.eager, "short", lanes: "sysv/memory", from: 0, upTo: 92),
        Route(.eager, "copy-in", lanes: "sysv/memory", from: 93, upTo: 8168),
        Route(.rendezvous, "rendezvous fragmented copy-in copy-out", lanes: "sysv/memory", from: 8169),
      ])
  }

  @Test("text that is something else gives nothing", arguments: ["", "# | |", "# | a | b | c |", "lane[0]:", "am_send: 0..", "am_send:"])
  func nothing(_ text: String) { #expect(Route.parse(text, eagerByteLimit: 8168).isEmpty) }

  @Test("a connection tells how its messages went", arguments: [("posix", "posix"), ("tcp", "tcp")])
  func live(_ tls: String, _ lane: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    for size in [1024, 1 << 20] {
      async let received = pair.server.receive(tag: 1)
      try await pair.client.send(MessageBuffer(count: size), tag: 1)
      _ = try await received
      let routes = try pair.client.routes()
      let route = try #require(try pair.client.route(of: size), "\(size) bytes: \(routes)")
      #expect(route.messageClass == (size == 1024 ? .eager : .rendezvous))
      #expect(route.lanes.hasPrefix(lane))
    }
    try await pair.close()
  }
}
