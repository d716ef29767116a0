internal import CausewayLanes
internal import CausewayTelemetry
internal import CausewayTunnelCore

/// Figures that others keep, read when somebody looks. Nothing here is on the way of a byte.
struct ScrapedMetrics {
  private let connections: Counter
  private let refusedConnections: Counter
  private let webSockets: Counter
  private let refusedRequests: Counter
  private let truncated: Counter
  private let timeouts: Counter
  private let toVisitors: Counter
  private let fromVisitors: Counter
  private let lanes: Gauge
  private let lanesAsked: Counter
  private let detached: Gauge
  private let logins: Gauge
  private let tunnels: Gauge
  private let streams: Gauge
  private let windowGrowth: Gauge
  private let sent: Counter
  private let received: Counter
  private let replayed: Counter
  private let storeQueue: Gauge
  private let roundTrips: [(share: Double, figure: Figure)]
  private let process: ProcessFigures

  init(_ registry: MetricsRegistry) {
    func counter(_ name: String, _ help: String) -> Counter { registry.counter("causeway_relay_" + name, help) }
    func gauge(_ name: String, _ help: String) -> Gauge { registry.gauge("causeway_relay_" + name, help) }
    connections = counter("visitor_connections_total", "Accepted connections of visitors, TCP tunnels included")
    refusedConnections = counter("visitor_connections_refused_total", "Connections refused for want of room, in all or for their address")
    webSockets = counter("websockets_total", "WebSockets of visitors that were opened")
    refusedRequests = counter("refused_requests_total", "Requests answered by the relay itself with an error")
    truncated = counter("truncated_answers_total", "Answers that were cut in the middle")
    timeouts = counter("visitor_timeouts_total", "Visitors that were too slow for a limit")
    let help = "Bytes of visitors' connections inside TLS"
    toVisitors = registry.counter("causeway_relay_visitor_bytes_total", help, labels: ["direction": "out"])
    fromVisitors = registry.counter("causeway_relay_visitor_bytes_total", help, labels: ["direction": "in"])
    lanes = gauge("lanes", "Connections of clients that carry a session")
    lanesAsked = counter("lanes_total", "Upgrades that asked for a lane")
    detached = gauge("sessions_detached", "Sessions that wait for a resume")
    logins = gauge("logins_under_way", "Lanes that have no session yet")
    tunnels = gauge("tunnels", "Names that are served")
    streams = gauge("streams", "Open streams of all sessions")
    windowGrowth = gauge("window_growth_bytes", "Growth of all windows beyond their first size")
    let laneHelp = "Bytes of frames on lanes; replayed ones are among the sent"
    sent = registry.counter("causeway_relay_lane_bytes_total", laneHelp, labels: ["direction": "sent"])
    received = registry.counter("causeway_relay_lane_bytes_total", laneHelp, labels: ["direction": "received"])
    replayed = registry.counter("causeway_relay_lane_bytes_total", laneHelp, labels: ["direction": "replayed"])
    storeQueue = gauge("store_queue", "Pieces of work that wait for the database or run there")
    roundTrips = [0.5, 0.9, 1].map { share in
      let figure = Figure()
      registry.gauge(
        "causeway_relay_round_trip_seconds", "Last round trip of sessions with a lane: half, nine tenths and all are no slower",
        labels: ["quantile": share == 1 ? "1" : "\(share)"], reading: { figure.value })
      return (share, figure)
    }
    process = ProcessFigures(registry)
  }

  func refresh(_ ingress: Ingress, _ sessions: SessionRegistry, _ store: StoreThread) {
    let visitors = ingress.countersNow
    connections.mirror(visitors.connectionsAccepted)
    refusedConnections.mirror(visitors.refusedConnections)
    webSockets.mirror(visitors.webSockets)
    refusedRequests.mirror(visitors.refusedRequests)
    truncated.mirror(visitors.truncatedAnswers)
    timeouts.mirror(visitors.timeouts)
    toVisitors.mirror(visitors.bytesToVisitors)
    fromVisitors.mirror(visitors.bytesFromVisitors)
    lanesAsked.mirror(visitors.lanes)
    var totals = sessions.endedTotals
    var openStreams = 0
    var times: [UInt64] = []
    var attached = 0
    for session in sessions.sessions.values {
      let core = session.driver.session
      totals += core.statistics
      openStreams += core.streamCount
      guard session.isAttached else { continue }
      attached += 1
      if core.roundTripNanoseconds > 0 { times.append(core.roundTripNanoseconds) }
    }
    lanes.set(attached)
    detached.set(sessions.sessions.count - attached)
    logins.set(sessions.loginCount)
    tunnels.set(sessions.holders.count)
    streams.set(openStreams)
    windowGrowth.set(sessions.budget.growth)
    sent.mirror(totals.bytesSent)
    received.mirror(totals.bytesReceived)
    replayed.mirror(totals.bytesReplayed)
    storeQueue.set(store.queuedCount)
    times.sort()
    for (share, figure) in roundTrips {
      let index = min(times.count - 1, Int(Double(times.count) * share))
      figure.value = times.isEmpty ? 0 : Double(times[index]) / 1e9
    }
    process.refresh()
  }
}
