import CausewayBase
import Testing

@testable import CausewayTelemetry

@Suite struct MetricsTests {
  static func render(_ registry: MetricsRegistry) -> String {
    let buffer = ByteBuffer()
    registry.render(into: buffer)
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }

  @Test func rendersEachKind() throws {
    let registry = MetricsRegistry()
    let requests = registry.counter("requests_total", "Requests\nby \\ \"status\".", labels: ["status": "200", "side": "relay"])
    requests.add()
    requests.add(41)
    registry.counter("requests_total", "", labels: ["status": "502", "side": "relay"]).add()
    let open = registry.gauge("open", "Open connections.")
    open.add(5)
    open.subtract(8)
    registry.gauge("uptime_seconds", "Up.") { 1.5 }
    let latency = registry.histogram("latency_seconds", "Latency.", bounds: [1_000_000, 250_000_000])
    latency.observe(1_000_000)
    latency.observe(1_000_001)
    latency.observe(Duration.seconds(2))
    latency.observe(Duration.seconds(-2))
    let text = Self.render(registry)
    #expect(
      text == #"""
        # HELP requests_total Requests\nby \\ "status".
        # TYPE requests_total counter
        requests_total{status="200",side="relay"} 42
        requests_total{status="502",side="relay"} 1
        # HELP open Open connections.
        # TYPE open gauge
        open -3
        # HELP uptime_seconds Up.
        # TYPE uptime_seconds gauge
        uptime_seconds 1.5
        # HELP latency_seconds Latency.
        # TYPE latency_seconds histogram
        latency_seconds_bucket{le="0.001"} 2
        latency_seconds_bucket{le="0.25"} 3
        latency_seconds_bucket{le="+Inf"} 4
        latency_seconds_sum 2.002000001
        latency_seconds_count 4

        """#)
    let parsed = try PrometheusParser(text)
    #expect(parsed.order == ["requests_total", "open", "uptime_seconds", "latency_seconds"])
    #expect(parsed.families["requests_total"]?.help == "Requests\nby \\ \"status\".")
  }

  @Test("label values survive", arguments: ["", "a", "\"", "\\", "\n", "\\n", "a,b=\"c\"} 1", "ü€😀", "\\\\\"\n"])
  func labelValues(_ value: String) throws {
    let registry = MetricsRegistry()
    registry.counterFamily("x_total", "x", labelNames: ["name"]).series([value]).add(7)
    #expect(try PrometheusParser(Self.render(registry)).value("x_total", ["name": value]) == 7)
  }

  @Test func anEmptyRegistryIsAnEmptyText() { #expect(Self.render(MetricsRegistry()) == "") }

  @Test func cellsOfOneSeriesAreSummed() throws {
    let registry = MetricsRegistry()
    for loop in 1...4 {
      registry.counter("c_total", "c", labels: ["a": "b"]).add(loop)
      registry.gauge("g", "g").add(-loop)
      registry.histogram("h", "h", bounds: [10, 20], divisor: 1).observe(UInt64(loop * 10))
    }
    let parsed = try PrometheusParser(Self.render(registry))
    #expect(parsed.value("c_total", ["a": "b"]) == 10)
    #expect(parsed.value("g") == -10)
    #expect(parsed.value("h_bucket", ["le": "10"]) == 1)
    #expect(parsed.value("h_bucket", ["le": "20"]) == 2)
    #expect(parsed.value("h_count") == 4)
    #expect(parsed.value("h_sum") == 100)
  }

  @Test func labelsOfPeersAreBounded() throws {
    let registry = MetricsRegistry()
    let family = registry.counterFamily("t_total", "t", labelNames: ["tunnel", "kind"], maximumSeries: 3)
    for tunnel in 0..<10 { family.series(["t\(tunnel)", "http"]).add() }
    family.series(["t0", "http"]).add()
    var parsed = try PrometheusParser(Self.render(registry))
    #expect(parsed.families["t_total"]?.samples.count == 4)
    #expect(parsed.value("t_total", ["tunnel": "t0", "kind": "http"]) == 2)
    #expect(parsed.value("t_total", ["tunnel": "other", "kind": "other"]) == 7)
    family.remove(["t0", "http"])
    family.remove(["never", "there"])
    parsed = try PrometheusParser(Self.render(registry))
    #expect(parsed.value("t_total", ["tunnel": "t0", "kind": "http"]) == nil)
    #expect(parsed.value("t_total", ["tunnel": "t2", "kind": "http"]) == 1)
    #expect(parsed.families["t_total"]?.samples.count == 3)
  }

  @Test func gaugesOfFamiliesComeAndGo() throws {
    let registry = MetricsRegistry()
    let family = registry.gaugeFamily("open", "open", labelNames: ["tunnel"])
    family.series(["a"]).set(3)
    family.series(["a"]).subtract()
    #expect(try PrometheusParser(Self.render(registry)).value("open", ["tunnel": "a"]) == 2)
    family.remove(["a"])
    #expect(Self.render(registry) == "")
  }

  @Test(
    "numbers are as Prometheus writes them",
    arguments: [
      (0.0, "0"), (-1, "-1"), (0.5, "0.5"), (1e16, "1e+16"), (123_456_789_012, "123456789012"), (0.00025, "0.00025"), (.nan, "NaN"),
      (.infinity, "+Inf"), (-.infinity, "-Inf"),
    ])
  func numbers(_ value: Double, _ text: String) { #expect(PrometheusText.number(value) == text) }

  @Test("a wrong name traps at start, not at the scrape", arguments: ["", "1a", "a-b", "a b", "ä"])
  func names(_ name: String) { #expect(!PrometheusText.isMetricName(name)) }

  @Test func labelNamesAreStricter() {
    #expect(PrometheusText.isMetricName("a:b_1"))
    #expect(!PrometheusText.isLabelName("a:b"))
    #expect(!PrometheusText.isLabelName("__a"))
    #expect(PrometheusText.isLabelName("_a"))
  }

  @Test func anotherTypeForANameTraps() async {
    await #expect(processExitsWith: .failure) {
      let registry = MetricsRegistry()
      _ = registry.counter("x", "x")
      _ = registry.gauge("x", "x")
    }
  }

  /// Under the thread sanitizer this is also the proof that nothing races.
  @Test func scrapesAgreeWhileEverythingCounts() async throws {
    let registry = MetricsRegistry()
    let rounds = 2000
    let family = registry.counterFamily("f_total", "f", labelNames: ["n"], maximumSeries: 4)
    let shared = registry.counter("shared_total", "shared")
    let finished = Counter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          let own = registry.counter("own_total", "own")
          let open = registry.gauge("open", "open")
          let sizes = registry.histogram("sizes", "sizes", bounds: [4, 16, 64], divisor: 1)
          for round in 0..<rounds {
            own.add()
            shared.add()
            open.add()
            sizes.observe(UInt64(round % 100))
            if round % 100 == 0 { family.series(["\(round % 700)"]).add() }
            open.subtract()
          }
          finished.add()
        }
      }
      group.addTask {
        var last = 0.0
        while finished.value < 4 {
          let parsed = try PrometheusParser(Self.render(registry))
          let now = parsed.value("shared_total") ?? 0
          #expect(now >= last)
          last = now
          await Task.yield()
        }
      }
      try await group.waitForAll()
    }
    let parsed = try PrometheusParser(Self.render(registry))
    #expect(parsed.value("shared_total") == Double(4 * rounds))
    #expect(parsed.value("own_total") == Double(4 * rounds))
    #expect(parsed.value("sizes_count") == Double(4 * rounds))
    #expect(parsed.value("open") == 0)
    #expect(parsed.families["f_total"]?.samples.reduce(0) { $0 + $1.value } == Double(4 * rounds / 100))
  }

  @Test(
    "the strict parser is strict",
    arguments: [
      "x 1", "x 1\n", "# HELP x x\n# TYPE x counter\n", "# HELP x x\n# TYPE x sort\nx 1\n", "# HELP x x\n# TYPE x counter\ny 1\n",
      "# HELP x x\n# TYPE x counter\nx 1\nx 1\n", "# HELP x x\n# TYPE x counter\nx{a=\"1\",} 1\n",
      "# HELP x x\n# TYPE x counter\nx{a=\"\\q\"} 1\n",
      "# HELP x x\n# TYPE x counter\nx  1\n", "# HELP x x\n# TYPE x counter\nx nan\n", "# HELP x x\n# HELP x x\n# TYPE x counter\nx 1\n",
      "# HELP x x\n# TYPE x histogram\nx_bucket{le=\"1\"} 2\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 1\n",
      "# HELP x x\n# TYPE x histogram\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 2\n",
    ])
  func parserIsStrict(_ text: String) { #expect(throws: PrometheusParser.Failure.self) { try PrometheusParser(text) } }
}
