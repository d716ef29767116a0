internal import CausewayBase
internal import CausewaySimulation

/// The outcome of a simulation as a table for people or JSON for machines.
package struct SimulationReport {
  package let scenario: Scenario
  package let seedCount: Int
  package let rows: [Simulation.Row]

  package init(scenario: Scenario, seedCount: Int, rows: [Simulation.Row]) {
    self.scenario = scenario
    self.seedCount = seedCount
    self.rows = rows
  }

  /// Least, median and most.
  struct Spread {
    var least: Double
    var median: Double
    var most: Double

    init?(_ values: [Double]) {
      let sorted = values.sorted()
      guard let first = sorted.first, let last = sorted.last else { return nil }
      (least, median, most) = (first, sorted[sorted.count / 2], last)
    }
  }

  private struct Column {
    var title: String
    var member: String
    var digits: Int
    var value: (RunResult) -> Double?
  }

  private var columns: [Column] {
    var columns = [
      Column(title: "Mbit/s", member: "goodput_mbit", digits: 1) { $0.goodput / 1e6 },
      Column(title: "steady", member: "steady_goodput_mbit", digits: 1) { $0.steadyGoodput / 1e6 },
      Column(title: "ping p50", member: "ping_p50_ms", digits: 1) { $0.roundTrip(0.5).map { $0.inSeconds * 1000 } },
      Column(title: "p99 ms", member: "ping_p99_ms", digits: 1) { $0.roundTrip(0.99).map { $0.inSeconds * 1000 } },
      Column(title: "lost %", member: "lost_percent", digits: 2) { $0.loss.map { $0 * 100 } },
      Column(title: "hold ms", member: "mean_hold_ms", digits: 1) {
        $0.counters.map { $0.meanHold.inSeconds * 1000 }.max().flatMap { $0 > 0 ? $0 : nil }
      },
      Column(title: "repaired", member: "repaired", digits: 0) { Double($0.counters.reduce(0) { $0 + $1.repaired }) },
      Column(title: "given up", member: "unrepaired", digits: 0) { Double($0.counters.reduce(0) { $0 + $1.unrepaired }) },
    ]
    for (number, link) in scenario.links.enumerated() {
      columns.append(Column(title: "% \(link.name)", member: "share_\(link.name)", digits: 0) { $0.shares[number] * 100 })
    }
    return columns
  }

  /// One line for each scheduler; with several seeds each cell is the median, and goodput gets its least and most.
  package func table() -> String {
    let columns = columns
    var lines: [[String]] = [[""] + columns.map(\.title) + (seedCount > 1 ? ["least", "most"] : [])]
    for row in rows {
      var line = [row.name]
      for column in columns {
        line.append(Spread(row.results.compactMap(column.value)).map { Self.text($0.median, column.digits) } ?? "-")
      }
      if seedCount > 1, let goodput = Spread(row.results.map { $0.goodput / 1e6 }) {
        line += [Self.text(goodput.least, 1), Self.text(goodput.most, 1)]
      }
      lines.append(line)
    }
    let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    let body = lines.map { line in
      line.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return column == 0 ? cell + space : space + cell
      }.joined(separator: "  ") + "\n"
    }.joined()
    return "\(heading)\n\n" + body + problems
  }

  private var heading: String {
    let links = scenario.links.map { link in
      let rates = [link.upward, link.downward].map { $0.bytesPerSecond.map { Self.text(Double($0) / 125_000, 1) } ?? "any" }
      let rate = rates[0] == rates[1] ? rates[0] : rates.joined(separator: "/")
      return "\(link.name) \(rate) Mbit/s \(Self.text(link.upward.delay.inSeconds * 1000, 1)) ms"
    }
    let seeds = seedCount == 1 ? "seed \(scenario.seed)" : "seeds \(scenario.seed)-\(scenario.seed &+ UInt64(seedCount) &- 1)"
    return "\(Self.text(scenario.duration.inSeconds, 0)) s over " + links.joined(separator: ", ") + "; \(seeds)"
  }

  private var problems: String {
    var text = ""
    for row in rows {
      if row.results.contains(where: { $0.isHung }) { text += "\(row.name): a run hung\n" }
      if row.results.contains(where: { $0.flows.contains { $0.isAborted } }) { text += "\(row.name): a TCP connection gave up\n" }
    }
    return text.isEmpty ? "" : "\n" + text
  }

  /// Without locale and Foundation.
  static func text(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return "-" }
    let scale = [1, 10, 100, 1000][digits]
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if digits == 0 { return sign + String(scaled) }
    let fraction = String(scaled % scale)
    return sign + String(scaled / scale) + "." + String(repeating: "0", count: digits - fraction.count) + fraction
  }

  /// One line: scenario facts, then a member for each scheduler with least, median and most of each figure.
  package func json() -> String {
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    let columns = columns
    json.object { json in
      json.member("seconds", Int(scenario.duration.inSeconds))
      json.member("seed", scenario.seed)
      json.member("seeds", seedCount)
      json.key("rows")
      json.array { json in
        for row in rows { write(row, columns, &json) }
      }
    }
    json.finishLine()
    let bytes = buffer.bytes
    return String(decoding: (0..<bytes.count).map { bytes[$0] }, as: UTF8.self)
  }

  private func write(_ row: Simulation.Row, _ columns: [Column], _ json: inout JSONWriter) {
    json.object { json in
      json.member("name", row.name)
      json.member("hung", row.results.contains { $0.isHung })
      for column in columns {
        guard let spread = Spread(row.results.compactMap(column.value)) else { continue }
        json.key(column.member)
        json.object { json in
          json.member("min", spread.least)
          json.member("median", spread.median)
          json.member("max", spread.most)
        }
      }
    }
  }
}
