internal import CausewayBase

/// Prometheus' text exposition format 0.0.4.
enum PrometheusText {
  static func isMetricName(_ name: String) -> Bool { isName(name, colon: true) }
  /// Names that begin with two underscores belong to Prometheus.
  static func isLabelName(_ name: String) -> Bool { isName(name, colon: false) && !name.hasPrefix("__") }

  private static func isName(_ name: String, colon: Bool) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F: true
      case 0x3A: colon
      default: false
      }
    }
  }

  static func append(_ family: FamilyState, to buffer: ByteBuffer) {
    let series = family.series
    if series.isEmpty { return }
    buffer.append("# HELP \(family.name) ")
    appendEscaped(family.help, quotes: false, to: buffer)
    buffer.append("\n# TYPE \(family.name) \(family.kind.rawValue)\n")
    for one in series {
      switch family.kind {
      case .counter, .gauge:
        appendHead(family, "", one, bound: nil, to: buffer)
        buffer.append(value(one) + "\n")
      case .histogram: appendHistogram(family, one, to: buffer)
      }
    }
  }

  private static func value(_ series: Series) -> String {
    var unsigned: UInt64 = 0
    var signed: Int64 = 0
    var reading: Double?
    for cell in series.cells {
      switch cell {
      case .counter(let counter): unsigned &+= counter.value
      case .gauge(let gauge): signed &+= gauge.value
      case .reading(let read): reading = (reading ?? 0) + read()
      case .histogram: break
      }
    }
    if let reading { return number(reading + Double(signed)) }
    return signed == 0 ? String(unsigned) : String(signed)
  }

  /// The count is the sum of the buckets just read, so that it agrees with them whatever other threads add meanwhile.
  private static func appendHistogram(_ family: FamilyState, _ series: Series, to buffer: ByteBuffer) {
    let cells = series.cells.compactMap { cell -> Histogram? in
      guard case .histogram(let histogram) = cell else { return nil }
      return histogram
    }
    guard let first = cells.first else { return }
    var cumulative: UInt64 = 0
    for index in 0...first.bounds.count {
      for cell in cells { cumulative &+= cell.buckets.load(at: index) }
      let bound = index < first.bounds.count ? number(Double(first.bounds[index]) / family.divisor) : "+Inf"
      appendHead(family, "_bucket", series, bound: bound, to: buffer)
      buffer.append("\(cumulative)\n")
    }
    let sum = cells.reduce(0) { $0 &+ $1.sum }
    appendHead(family, "_sum", series, bound: nil, to: buffer)
    buffer.append(number(Double(sum) / family.divisor) + "\n")
    appendHead(family, "_count", series, bound: nil, to: buffer)
    buffer.append("\(cumulative)\n")
  }

  /// `name_suffix{label="value",le="0.5"} `
  private static func appendHead(_ family: FamilyState, _ suffix: String, _ series: Series, bound: String?, to buffer: ByteBuffer) {
    buffer.append(family.name + suffix)
    if !family.labelNames.isEmpty || bound != nil {
      var separator: UInt8 = 0x7B
      for (name, value) in zip(family.labelNames, series.labelValues) {
        buffer.append(separator)
        separator = 0x2C
        buffer.append(name + "=\"")
        appendEscaped(value, quotes: true, to: buffer)
        buffer.append(0x22)
      }
      if let bound {
        buffer.append(separator)
        buffer.append("le=\"\(bound)\"")
      }
      buffer.append(0x7D)
    }
    buffer.append(0x20)
  }

  private static func appendEscaped(_ text: String, quotes: Bool, to buffer: ByteBuffer) {
    for byte in text.utf8 {
      switch byte {
      case 0x5C: buffer.append("\\\\" as StaticString)
      case 0x0A: buffer.append("\\n" as StaticString)
      case 0x22 where quotes: buffer.append("\\\"" as StaticString)
      default: buffer.append(byte)
      }
    }
  }

  /// As short as it can be read back; `NaN`, `+Inf`, `-Inf` as Prometheus spells them.
  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded() && value.magnitude < 1e15 { return String(Int64(value)) }
    return value.description
  }
}
