import CausewayBase
import CausewayBondCore
import CausewayPaths

/// What the packet threads tell of one uplink, as one path. Bytes and packets add up, times and losses are weighed by what arrived lately,
/// the state is the worst.
struct PathGroup {
  let line: Line?
  private(set) var uplink: Int?
  private(set) var route: Route?
  private var reports: [(report: PathReport, up: Double, down: Double)] = []

  init(_ report: PathReport, _ rates: (up: Double, down: Double)) {
    line = report.line
    add(report, rates)
  }

  mutating func add(_ report: PathReport, _ rates: (up: Double, down: Double)) {
    uplink = uplink ?? report.uplink
    route = route ?? report.route
    reports.append((report, rates.up, rates.down))
  }

  /// - Parameter described: Where the path goes.
  func status(_ described: PathStatus) -> PathStatus {
    var status = described
    status.id = reports.map(\.report.sender.id.rawValue).min() ?? 0
    status.state = "\(reports.map(\.report.sender.state).max { Self.rank($0) < Self.rank($1) } ?? .initializing)"
    status.isBackup = reports.contains { $0.report.preference > 0 }
    status.isFragmenting = reports.contains { $0.report.isFragmenting }
    status.pathMTU = reports.map(\.report.mtu).min() ?? 0
    status.rateUp = reports.reduce(0) { $0 + $1.up }
    status.rateDown = reports.reduce(0) { $0 + $1.down }
    for (report, _, _) in reports {
      status.inFlightByteCount &+= UInt64(max(0, report.sender.inFlightByteCount))
      status.sentByteCount &+= report.statistics.sentBytes
      status.receivedByteCount &+= report.statistics.receivedBytes
      status.lostPacketCount &+= report.sender.lostPacketCount
      status.transitionCount &+= report.statistics.transitions
    }
    let measured = reports.map(\.report.sender).filter { $0.smoothedRoundTrip > 0 }
    if !measured.isEmpty {
      status.rttMilliseconds = Self.mean(measured) { Double($0.smoothedRoundTrip) } / 1e6
      status.jitterMilliseconds = Self.mean(measured) { Double($0.jitter) } / 1e6
    }
    status.loss = Self.mean(reports.map(\.report.sender)) { $0.loss }
    status.capacityUp = Self.capacity(reports.map { (Double($0.report.knownCapacity) * 8, $0.up) })
    status.capacityDown = Self.capacity(reports.map { (Double($0.report.remoteCapacity), $0.down) })
    return status
  }

  /// Weighed by what arrived lately.
  private static func mean(_ senders: [PathSnapshot], _ value: (PathSnapshot) -> Double) -> Double {
    let weights = senders.map { Double($0.deliveredRate) + 1 }
    return zip(senders, weights).reduce(0) { $0 + value($1.0) * $1.1 } / weights.reduce(0, +)
  }

  /// Of one link that several threads estimate, each by what it sends. One that fills its estimate has found its part of the link, and parts
  /// add up; the estimate of one that sends less is of the whole link, or old. A fixed rate is the whole link's on each thread.
  /// - Returns: nil when nobody knows one.
  static func capacity(_ parts: [(estimate: Double, rate: Double)]) -> Double? {
    let known = parts.filter { $0.estimate > 0 }
    guard let greatest = known.map(\.estimate).max() else { return nil }
    return max(greatest, known.filter { $0.rate >= 0.7 * $0.estimate }.reduce(0) { $0 + $1.estimate })
  }

  private static func rank(_ state: PathState) -> Int {
    switch state {
    case .normal: 0
    case .initializing: 1
    case .unstable: 2
    case .lost: 3
    }
  }
}
