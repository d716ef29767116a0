internal import CausewayBase
internal import CausewayMessagingCore
package import CausewayTelemetry
internal import Synchronization

/// An engine's figures in a registry of metrics: the sums of all its connections, and those of each. They are read when somebody asks, so
/// that a message pays nothing for them.
package final class EngineMetrics: Sendable {
  /// Connections with series of their own; what is beyond shares one, whose labels say "other".
  package static let endpointLimit = 1024

  private let driver: Driver
  private let registry: MetricsRegistry
  private let name: String
  private let endpointLimit: Int
  private let connections, inFlight, unreceivedMessages, unreceivedBytes, queued: Gauge
  private let messages, bytes: (sent: Counter, received: Counter)
  private let ofEach: PerEndpoint
  /// The labels of the connections that were there the last time.
  private let shown = Mutex<Set<[String]>>([])

  package init(
    _ engine: Engine, _ registry: MetricsRegistry = MetricsRegistry(), endpointLimit: Int = EngineMetrics.endpointLimit
  ) {
    driver = engine.driver
    self.registry = registry
    self.endpointLimit = endpointLimit
    let name = engine.options.name
    func gauge(_ what: String, _ help: String) -> Gauge { registry.gauge("causeway_messaging_\(what)", help, labels: ["engine": name]) }
    func both(_ what: String, _ help: String) -> (sent: Counter, received: Counter) {
      func one(_ direction: String) -> Counter {
        registry.counter("causeway_messaging_\(what)_total", help, labels: ["engine": name, "direction": direction])
      }
      return (one("sent"), one("received"))
    }
    connections = gauge("endpoints", "Connections that are there")
    inFlight = gauge("operations_in_flight", "Sends and receives under way, of all connections")
    queued = gauge("sends_queued", "Sends that wait for their peer to receive something")
    unreceivedMessages = gauge("unreceived_messages", "Messages that wait for a receive")
    unreceivedBytes = gauge("unreceived_bytes", "What they cost of the limit")
    messages = both("messages", "Messages of all connections, past ones too")
    bytes = both("bytes", "Payload of all connections, past ones too")
    ofEach = PerEndpoint(registry, endpointLimit)
    self.name = name
  }

  /// Reads the engine. From any thread; one at a time.
  package func update() {
    shown.withLock { shown in
      var each: [(labels: [String], figures: MessagingCounters)] = []
      let (sum, open) = driver.asGuest { () -> (MessagingCounters, Int) in
        unsafe driver.connections.visit { slot in
          guard let id = unsafe slot.pointee.id, let owner = unsafe slot.pointee.owner else { return }
          each.append(([name, String(id.rawValue), owner.subject], unsafe driver.core.pointee.counters(of: id)))
        }
        inFlight.set(unsafe driver.core.pointee.inFlight)
        return (unsafe driver.core.pointee.counters, each.count)
      }
      connections.set(open)
      queued.set(sum.sendsQueued)
      unreceivedMessages.set(sum.unreceivedMessages)
      unreceivedBytes.set(sum.unreceivedByteCount)
      messages.sent.mirror(sum.messagesSent)
      messages.received.mirror(sum.messagesReceived)
      bytes.sent.mirror(sum.bytesSent)
      bytes.received.mirror(sum.bytesReceived)
      let present = Set(each.prefix(endpointLimit).map(\.labels))
      for labels in shown.subtracting(present) { ofEach.remove(labels) }
      for (labels, figures) in each.prefix(endpointLimit) { ofEach.show(labels, figures) }
      let rest = each.dropFirst(endpointLimit)
      let others = [name, "other", "other"]
      if rest.isEmpty {
        ofEach.remove(others)
      } else {
        ofEach.show(others, rest.reduce(into: MessagingCounters()) { $0.add($1.figures) })
      }
      shown = present
    }
  }

  /// Reads the engine and renders the whole registry.
  func render() -> ByteBuffer {
    update()
    let buffer = ByteBuffer()
    registry.render(into: buffer)
    return buffer
  }

  func text() -> String {
    let page = render()
    let bytes = page.bytes
    return unsafe String(unsafeUninitializedCapacity: bytes.count) { room in
      // SAFETY: as much room as there are bytes.
      for index in bytes.indices { unsafe room[index] = bytes[index] }
      return bytes.count
    }
  }

  /// The families whose labels say which connection.
  private struct PerEndpoint: Sendable {
    private static let labelNames = ["engine", "endpoint", "peer"]
    private let messages, bytes: CounterFamily
    private let inFlight, queued, unreceivedMessages, unreceivedBytes: GaugeFamily

    init(_ registry: MetricsRegistry, _ endpointLimit: Int) {
      func gauges(_ what: String, _ help: String) -> GaugeFamily {
        registry.gaugeFamily("causeway_messaging_endpoint_\(what)", help, labelNames: Self.labelNames, maximumSeries: endpointLimit + 1)
      }
      func counters(_ what: String, _ help: String) -> CounterFamily {
        registry.counterFamily(
          "causeway_messaging_endpoint_\(what)_total", help, labelNames: Self.labelNames + ["direction"],
          maximumSeries: 2 * (endpointLimit + 1))
      }
      messages = counters("messages", "Messages of a connection")
      bytes = counters("bytes", "Payload of a connection")
      inFlight = gauges("sends_in_flight", "Sends of a connection whose end was not told yet")
      queued = gauges("sends_queued", "Sends that wait for the peer to receive something")
      unreceivedMessages = gauges("unreceived_messages", "Messages of the peer that wait for a receive")
      unreceivedBytes = gauges("unreceived_bytes", "What they cost of the limit")
    }

    private var counters: [CounterFamily] { [messages, bytes] }
    private var gauges: [GaugeFamily] { [inFlight, queued, unreceivedMessages, unreceivedBytes] }

    func show(_ labels: [String], _ figures: MessagingCounters) {
      messages.series(labels + ["sent"]).mirror(figures.messagesSent)
      messages.series(labels + ["received"]).mirror(figures.messagesReceived)
      bytes.series(labels + ["sent"]).mirror(figures.bytesSent)
      bytes.series(labels + ["received"]).mirror(figures.bytesReceived)
      inFlight.series(labels).set(figures.sendsInFlight)
      queued.series(labels).set(figures.sendsQueued)
      unreceivedMessages.series(labels).set(figures.unreceivedMessages)
      unreceivedBytes.series(labels).set(figures.unreceivedByteCount)
    }

    func remove(_ labels: [String]) {
      for family in counters { for direction in ["sent", "received"] { family.remove(labels + [direction]) } }
      for family in gauges { family.remove(labels) }
    }
  }
}
