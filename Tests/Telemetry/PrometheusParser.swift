/// A strict reader of the text format 0.0.4, written from its description only: it shares nothing with the writer.
struct PrometheusParser {
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  struct Sample: Equatable {
    var name: String
    var labels: [String: String]
    var value: Double
  }

  struct Family {
    var help: String
    var type: String?
    var samples: [Sample] = []
  }

  private(set) var families: [String: Family] = [:]
  private(set) var order: [String] = []

  init(_ text: String) throws {
    guard text.isEmpty || text.hasSuffix("\n") else { throw Failure(description: "no line end at the end") }
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() { try take(Array(line.unicodeScalars)) }
    for (name, family) in families {
      guard family.type != nil, !family.samples.isEmpty else { throw Failure(description: "\(name): no type or no samples") }
      if family.type == "histogram" { try Self.check(histogram: family, name) }
    }
  }

  func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
    families.values.flatMap(\.samples).first { $0.name == name && $0.labels == labels }?.value
  }

  private mutating func take(_ line: [Unicode.Scalar]) throws {
    let text = String(String.UnicodeScalarView(line))
    if text.hasPrefix("# HELP ") {
      let words = text.dropFirst(7).split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard words.count == 2, families[words[0]] == nil else { throw Failure(description: "bad or second HELP: \(text)") }
      families[words[0]] = Family(help: try Self.unescaped(words[1], quotes: false))
      order.append(words[0])
    } else if text.hasPrefix("# TYPE ") {
      let words = text.dropFirst(7).split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      guard words.count == 2, ["counter", "gauge", "histogram"].contains(words[1]), words[0] == order.last,
        families[words[0]]?.type == nil
      else { throw Failure(description: "bad or second TYPE: \(text)") }
      families[words[0]]?.type = words[1]
    } else {
      try take(sample: line, text)
    }
  }

  private mutating func take(sample line: [Unicode.Scalar], _ text: String) throws {
    var position = 0
    func isNameScalar(_ scalar: Unicode.Scalar, _ first: Bool) -> Bool {
      ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_" || scalar == ":"
        || (!first && ("0"..."9").contains(scalar))
    }
    func name() throws -> String {
      var name = ""
      while position < line.count, isNameScalar(line[position], name.isEmpty) {
        name.unicodeScalars.append(line[position])
        position += 1
      }
      if name.isEmpty { throw Failure(description: "no name: \(text)") }
      return name
    }
    func expect(_ scalar: Unicode.Scalar) throws {
      guard position < line.count, line[position] == scalar else {
        throw Failure(description: "expected \(scalar) at \(position): \(text)")
      }
      position += 1
    }
    let metric = try name()
    var labels: [String: String] = [:]
    if position < line.count, line[position] == "{" {
      position += 1
      while true {
        let label = try name()
        guard !label.contains(":") else { throw Failure(description: "colon in a label name: \(text)") }
        try expect("=")
        try expect("\"")
        var value = ""
        while position < line.count, line[position] != "\"" {
          if line[position] == "\\" {
            value.unicodeScalars.append("\\")
            position += 1
          }
          guard position < line.count else { throw Failure(description: "open label: \(text)") }
          value.unicodeScalars.append(line[position])
          position += 1
        }
        try expect("\"")
        guard labels.updateValue(try Self.unescaped(value, quotes: true), forKey: label) == nil else {
          throw Failure(description: "a label twice: \(text)")
        }
        if position < line.count, line[position] == "," {
          position += 1
          continue
        }
        try expect("}")
        break
      }
    }
    try expect(" ")
    let number = String(String.UnicodeScalarView(line[position...]))
    let special = ["NaN": Double.nan, "+Inf": .infinity, "-Inf": -.infinity]
    guard let value = special[number] ?? (number.contains("n") || number.contains(" ") ? nil : Double(number)) else {
      throw Failure(description: "bad value: \(text)")
    }
    // Samples follow their own family.
    guard let family = order.last, let type = families[family]?.type,
      type == "histogram"
        ? ["_bucket", "_sum", "_count"].contains(String(metric.dropFirst(family.count))) && metric.hasPrefix(family) : metric == family
    else { throw Failure(description: "a sample outside its family: \(text)") }
    let sample = Sample(name: metric, labels: labels, value: value)
    if families[family]!.samples.contains(where: { $0.name == metric && $0.labels == labels }) {
      throw Failure(description: "twice: \(text)")
    }
    families[family]!.samples.append(sample)
  }

  private static func unescaped(_ text: String, quotes: Bool) throws -> String {
    var result = ""
    var escaped = false
    for scalar in text.unicodeScalars {
      if escaped {
        switch scalar {
        case "\\": result.unicodeScalars.append("\\")
        case "n": result.unicodeScalars.append("\n")
        case "\"" where quotes: result.unicodeScalars.append("\"")
        default: throw Failure(description: "unknown escape in: \(text)")
        }
        escaped = false
      } else if scalar == "\\" {
        escaped = true
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    if escaped { throw Failure(description: "open escape in: \(text)") }
    return result
  }

  /// Buckets ascend in bound and count, end with +Inf, which is _count; _sum is there.
  private static func check(histogram family: Family, _ name: String) throws {
    let groups = Dictionary(grouping: family.samples) { $0.labels.filter { $0.key != "le" } }
    for (labels, samples) in groups {
      let buckets = samples.filter { $0.name == name + "_bucket" }
      var lastBound = -Double.infinity
      var lastCount = 0.0
      for bucket in buckets {
        guard let bound = bucket.labels["le"].flatMap({ $0 == "+Inf" ? .infinity : Double($0) }), bound > lastBound,
          bucket.value >= lastCount
        else { throw Failure(description: "\(name)\(labels): buckets don't ascend") }
        (lastBound, lastCount) = (bound, bucket.value)
      }
      guard lastBound == .infinity, samples.first(where: { $0.name == name + "_count" })?.value == lastCount,
        samples.contains(where: { $0.name == name + "_sum" })
      else { throw Failure(description: "\(name)\(labels): no +Inf, _count or _sum, or they disagree") }
    }
  }
}
