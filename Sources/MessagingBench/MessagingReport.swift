internal import CausewayBase
internal import CausewayMessaging
package import CausewaySupport

/// What `causeway messaging info` tells: the UCX of this machine, and what a connection would use, found by making one.
package struct MessagingReport: Sendable {
  private let info: EngineInfo
  private let eagerByteLimit: Int
  /// Between two engines of this process, which UCX treats like two processes of this host.
  private let lanes: [Transport]
  private let routes: [Route]
  private let estimates: [(byteCount: Int, time: Duration)]

  package static func make(tls: String?) throws(CommandFailure) -> MessagingReport {
    try blockingWait { () async -> Result<MessagingReport, CommandFailure> in
      do throws(MessagingError) { return .success(try await probe(tls)) } catch { return .failure(CommandFailure(messaging: error)) }
    }.get()
  }

  private static func probe(_ tls: String?) async throws(MessagingError) -> MessagingReport {
    let (one, other) = (try Engine(benchOptions(tls)), try Engine(benchOptions(tls)))
    let (server, client) = (try Server(on: one), try Client(on: other))
    try await client.connect(toAddress: try await server.listenAddress(tcp: false))
    // One message of each class: newer versions of UCX choose a way when it is first needed, and for more than a few bytes.
    for byteCount in [1024, 1 << 20] {
      let limit = Duration.seconds(10)
      async let received = server.receive(tag: 1, timeout: limit)
      try await client.send(MessageBuffer(count: byteCount), tag: 1, timeout: limit)
      _ = try? await received
    }
    var estimates: [(Int, Duration)] = []
    for byteCount in [1, 1 << 20] { estimates.append((byteCount, try client.evaluatePerformance(of: byteCount))) }
    let report = MessagingReport(
      info: try other.info(), eagerByteLimit: other.eagerByteLimit, lanes: try client.transports(), routes: try client.routes(),
      estimates: estimates)
    try await client.close()
    try await server.close()
    one.shutdown()
    other.shutdown()
    return report
  }

  /// Transports that go to other hosts: those of a network device that is not the loopback's.
  private var network: [Transport] {
    info.transports.filter { transport in
      !["self", "posix", "sysv", "cma", "xpmem", "knem", "cuda_copy", "cuda_ipc"].contains(transport.name) && transport.device != "lo"
    }
  }

  package var text: String {
    var lines = [
      "UCX          \(info.ucxVersion)", "loaded from  \(info.ucxPath)",
      "transports   \(info.transports.map(\.description).joined(separator: " "))", "", "a connection on this host would use",
      "  lanes        \(Self.list(lanes))",
    ]
    for route in routes {
      let sizes = route.upTo.map { "\(route.from)-\($0) B" } ?? "from \(route.from) B"
      lines.append("  " + Self.column(route.messageClass.rawValue, 13) + Self.column(sizes, 16) + "\(route.method) over \(route.lanes)")
    }
    lines.append("  messages     up to \(eagerByteLimit) B go unasked (eager), longer ones are fetched once matched (rendezvous)")
    lines.append("a connection to another host would choose among")
    lines.append("  lanes        " + (network.isEmpty ? "none: no network device but the loopback" : Self.list(network)))
    return lines.map { $0 + "\n" }.joined()
  }

  package var json: String {
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    json.object { json in
      json.key("ucx")
      json.object {
        $0.member("version", info.ucxVersion)
        $0.member("path", info.ucxPath)
      }
      json.key("transports")
      info.transports.write(&json)
      json.member("eager_limit", eagerByteLimit)
      json.key("this_host")
      json.object { json in
        json.key("transports")
        lanes.write(&json)
        json.key("routes")
        json.array { json in for route in routes { json.object { route.write(&$0) } } }
        json.key("estimates")
        json.array { json in
          for estimate in estimates {
            json.object {
              $0.member("bytes", estimate.byteCount)
              $0.member("seconds", Self.seconds(estimate.time))
            }
          }
        }
      }
      json.key("other_hosts")
      network.write(&json)
    }
    json.finishLine()
    return String(copying: buffer)
  }

  private static func list(_ transports: [Transport]) -> String { Set(transports.map(\.description)).sorted().joined(separator: " ") }
  private static func column(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }
  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
  }
}
