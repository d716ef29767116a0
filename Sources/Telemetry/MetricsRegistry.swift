public import CausewayBase
internal import Synchronization

/// All metrics of a process by name. Registering takes a lock, counting never does; `render` may run while everything counts.
///
/// Asking again for the same name and labels adds a *cell* to the series: each loop takes its own at start, and the scrape sums them. Don't
/// ask per connection; for labels that come and go use a family. Names, help and label names are the program's own: a wrong one traps.
public final class MetricsRegistry: Sendable {
  private let families = Mutex<[FamilyState]>([])

  public init() {}

  /// - Parameter name: Ends in `_total`, by convention.
  public func counter(_ name: String, _ help: String, labels: KeyValuePairs<String, String> = [:]) -> Counter {
    let family = family(name, help, .counter, labels.map(\.key), divisor: 1, limit: .max)
    let cell = Counter()
    family.add(.counter(cell), labels.map(\.value))
    return cell
  }

  public func gauge(_ name: String, _ help: String, labels: KeyValuePairs<String, String> = [:]) -> Gauge {
    let family = family(name, help, .gauge, labels.map(\.key), divisor: 1, limit: .max)
    let cell = Gauge()
    family.add(.gauge(cell), labels.map(\.value))
    return cell
  }

  /// A gauge whose value is asked for at each scrape, on the scraping thread.
  public func gauge(
    _ name: String, _ help: String, labels: KeyValuePairs<String, String> = [:], reading value: @escaping @Sendable () -> Double
  ) {
    family(name, help, .gauge, labels.map(\.key), divisor: 1, limit: .max).add(.reading(value), labels.map(\.value))
  }

  /// A counter whose total is asked for at each scrape, on the scraping thread.
  public func counter(_ name: String, _ help: String, reading value: @escaping @Sendable () -> Double) {
    family(name, help, .counter, [], divisor: 1, limit: .max).add(.reading(value), [])
  }

  /// - Parameters:
  ///   - bounds: Ascending, in the unit that `observe` takes.
  ///   - divisor: From that unit to the one shown: 1e9 shows nanoseconds as seconds, as Prometheus wants it; 1 leaves bytes alone.
  public func histogram(
    _ name: String, _ help: String, labels: KeyValuePairs<String, String> = [:], bounds: [UInt64] = HistogramBounds.latency,
    divisor: Double = 1e9
  ) -> Histogram {
    precondition(!bounds.isEmpty && zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "histogram \(name): bounds must ascend")
    precondition(!labels.contains { $0.key == "le" }, "histogram \(name): the label le is its own")
    let family = family(name, help, .histogram, labels.map(\.key), divisor: divisor, limit: .max)
    let cell = Histogram(bounds: bounds)
    family.add(.histogram(cell), labels.map(\.value))
    return cell
  }

  /// Counters by labels that are known only at run time.
  /// - Parameter maximumSeries: Beyond it values count under the label `other`: peers choose labels, so their number has a bound.
  public func counterFamily(_ name: String, _ help: String, labelNames: [String], maximumSeries: Int = 256) -> CounterFamily {
    CounterFamily(family: family(name, help, .counter, labelNames, divisor: 1, limit: maximumSeries))
  }

  public func gaugeFamily(_ name: String, _ help: String, labelNames: [String], maximumSeries: Int = 256) -> GaugeFamily {
    GaugeFamily(family: family(name, help, .gauge, labelNames, divisor: 1, limit: maximumSeries))
  }

  private func family(
    _ name: String, _ help: String, _ kind: MetricKind, _ labelNames: [String], divisor: Double, limit: Int
  ) -> FamilyState {
    precondition(PrometheusText.isMetricName(name), "'\(name)' is not a metric name")
    precondition(labelNames.allSatisfy(PrometheusText.isLabelName), "\(name): bad label name")
    precondition(Set(labelNames).count == labelNames.count, "\(name): a label is given twice")
    return families.withLock { families in
      if let present = families.first(where: { $0.name == name }) {
        precondition(present.kind == kind && present.labelNames == labelNames, "\(name) is registered with another type or other labels")
        return present
      }
      let fresh = FamilyState(name: name, help: help, kind: kind, labelNames: labelNames, divisor: divisor, limit: limit)
      families.append(fresh)
      return fresh
    }
  }

  /// For the Content-Type field.
  public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// Appends all metrics in Prometheus' text format 0.0.4, in the order of their registration.
  public func render(into buffer: ByteBuffer) {
    let families = self.families.withLock { $0 }
    for family in families { PrometheusText.append(family, to: buffer) }
  }
}

/// Counters of one name whose labels are known only at run time.
public struct CounterFamily: Sendable {
  let family: FamilyState

  /// The series with these label values, made at first use. Takes a lock: keep the result.
  public func series(_ labelValues: [String]) -> Counter {
    guard case .counter(let counter) = family.series(labelValues, make: { .counter(Counter()) }) else {
      preconditionFailure("not a counter")
    }
    return counter
  }

  /// Forgets a series, so that its place is free; whoever still holds its counter counts unseen.
  public func remove(_ labelValues: [String]) { family.remove(labelValues) }
}

/// Gauges of one name whose labels are known only at run time.
public struct GaugeFamily: Sendable {
  let family: FamilyState

  /// See `CounterFamily.series`.
  public func series(_ labelValues: [String]) -> Gauge {
    guard case .gauge(let gauge) = family.series(labelValues, make: { .gauge(Gauge()) }) else { preconditionFailure("not a gauge") }
    return gauge
  }

  public func remove(_ labelValues: [String]) { family.remove(labelValues) }
}
