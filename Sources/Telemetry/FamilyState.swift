internal import Synchronization

enum MetricKind: String, Sendable { case counter, gauge, histogram }

/// A part of a series' value.
enum MetricCell: Sendable {
  case counter(Counter)
  case gauge(Gauge)
  case reading(@Sendable () -> Double)
  case histogram(Histogram)
}

/// One combination of label values.
struct Series: Sendable {
  var labelValues: [String]
  var cells: [MetricCell]
}

/// One metric name with its series.
final class FamilyState: Sendable {
  let name: String
  let help: String
  let kind: MetricKind
  let labelNames: [String]
  /// From a histogram's unit to the one shown. A divisor, since 250 / 1e9 has a short form and 250 * 1e-9 may not.
  let divisor: Double
  /// Series made by `series`; one more holds what is beyond.
  let limit: Int
  private let state = Mutex(State())

  private struct State {
    var series: [Series] = []
    var index: [[String]: Int] = [:]
  }

  /// The label value of series beyond the limit.
  static let overflow = "other"

  init(name: String, help: String, kind: MetricKind, labelNames: [String], divisor: Double, limit: Int) {
    self.name = name
    self.help = help
    self.kind = kind
    self.labelNames = labelNames
    self.divisor = divisor
    self.limit = limit
  }

  var series: [Series] { state.withLock { $0.series } }

  func add(_ cell: MetricCell, _ labelValues: [String]) {
    state.withLock { state in
      if let index = state.index[labelValues] {
        if case .histogram(let histogram) = cell, case .histogram(let first)? = state.series[index].cells.first {
          precondition(histogram.bounds == first.bounds, "\(name) is registered with other bounds")
        }
        state.series[index].cells.append(cell)
      } else {
        state.index[labelValues] = state.series.count
        state.series.append(Series(labelValues: labelValues, cells: [cell]))
      }
    }
  }

  /// The first cell of a series, made if missing; the overflow series when there are `limit` others.
  func series(_ labelValues: [String], make: () -> MetricCell) -> MetricCell {
    precondition(labelValues.count == labelNames.count, "\(name) has the labels \(labelNames)")
    return state.withLock { state in
      var labelValues = labelValues
      if let index = state.index[labelValues] { return state.series[index].cells[0] }
      if state.series.count >= limit {
        labelValues = labelNames.map { _ in Self.overflow }
        if let index = state.index[labelValues] { return state.series[index].cells[0] }
      }
      let cell = make()
      state.index[labelValues] = state.series.count
      state.series.append(Series(labelValues: labelValues, cells: [cell]))
      return cell
    }
  }

  func remove(_ labelValues: [String]) {
    state.withLock { state in
      guard let index = state.index.removeValue(forKey: labelValues) else { return }
      // The last takes its place: order among series means nothing.
      let last = state.series.removeLast()
      if index < state.series.count {
        state.series[index] = last
        state.index[last.labelValues] = index
      }
    }
  }
}
