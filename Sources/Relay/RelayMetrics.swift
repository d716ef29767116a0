internal import CausewayTelemetry

/// What the relay counts. Names end as Prometheus wants them.
final class RelayMetrics {
  let registry: MetricsRegistry
  let sessions: Gauge
  let resumes: Counter
  let logins: Counter
  let refusedLogins: Counter
  let turnedAway: Counter
  let visitors: Gauge
  let requests: Counter
  let streams: Counter
  /// What is read when somebody looks.
  let scraped: ScrapedMetrics

  init(_ registry: MetricsRegistry = MetricsRegistry()) {
    self.registry = registry
    sessions = registry.gauge("causeway_relay_sessions", "Client sessions, attached or waiting for a resume")
    resumes = registry.counter("causeway_relay_resumes_total", "Sessions that went on over a new connection")
    logins = registry.counter("causeway_relay_logins_total", "Accepted tokens")
    refusedLogins = registry.counter("causeway_relay_logins_refused_total", "Refused tokens")
    turnedAway = registry.counter(
      "causeway_relay_lanes_turned_away_total", "Lanes answered with 503: too many logins, or the relay is stopping")
    visitors = registry.gauge("causeway_relay_visitors", "Open visitor connections")
    requests = registry.counter("causeway_relay_requests_total", "HTTP requests and WebSocket upgrades of visitors")
    streams = registry.counter("causeway_relay_tcp_streams_total", "Connections to TCP tunnels")
    scraped = ScrapedMetrics(registry)
  }
}
