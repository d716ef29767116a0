/// Scalars with a meaning. Each throws one line that says what was expected and what is there.
extension YAMLNode {
  private func text(_ expectation: String, isSecret: Bool = false) throws(YAMLError) -> String {
    guard case .scalar(let text, _) = content, !isNull else { throw unexpected(expectation, isSecret: isSecret) }
    return text
  }

  /// Not empty. Numbers and booleans without quotes count as their text.
  package func string(_ expectation: String = "a text") throws(YAMLError) -> String {
    let text = try text(expectation)
    if text.isEmpty { throw error("expected \(expectation), got ''") }
    return text
  }

  /// Like `string`, for values that no message may show.
  package func secret(_ expectation: String = "a text") throws(YAMLError) -> String {
    let text = try text(expectation, isSecret: true)
    if text.isEmpty { throw error("expected \(expectation), got ''") }
    return text
  }

  /// One text or a list of texts.
  package func strings(_ expectation: String = "a text") throws(YAMLError) -> [String] {
    guard case .sequence = content else { return [try string(expectation)] }
    var result: [String] = []
    for item in try sequence() { result.append(try item.string(expectation)) }
    return result
  }

  package func boolean() throws(YAMLError) -> Bool {
    switch try text("true or false") {
    case "true", "True", "TRUE": true
    case "false", "False", "FALSE": false
    default: throw unexpected("true or false")
    }
  }

  package func integer(in range: ClosedRange<Int>, _ expectation: String? = nil) throws(YAMLError) -> Int {
    let expectation = expectation ?? "a whole number \(range.lowerBound)-\(range.upperBound)"
    let text = try text(expectation)
    let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
    guard digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let value = Int(text), range.contains(value) else {
      throw unexpected(expectation)
    }
    return value
  }

  package func port() throws(YAMLError) -> Int { try integer(in: 1...65535, "a port 1-65535") }

  /// `30s`, `250ms`, `5m`, `12h`, `7d`; not negative.
  package func duration() throws(YAMLError) -> Duration {
    let expectation = "a duration like 30s, 250ms, 5m, 12h or 7d"
    let text = try text(expectation)
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    // A million days is more than enough, and can't overflow.
    guard let count = Int64(digits), count <= 86_400_000_000 else { throw unexpected(expectation) }
    let seconds: Int64
    switch text.dropFirst(digits.count) {
    case "ms": return .milliseconds(count)
    case "s": seconds = 1
    case "m": seconds = 60
    case "h": seconds = 3600
    case "d": seconds = 86400
    default: throw unexpected(expectation)
    }
    return .seconds(count * seconds)
  }

  /// `512`, `64KiB`, `16 MiB`, `1GiB`.
  package func byteCount() throws(YAMLError) -> Int {
    let expectation = "a size like 512, 64KiB, 16MiB or 1GiB"
    let text = try text(expectation)
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let units: [String: Int] = ["": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40]
    guard let count = Int(digits), let shift = units[String(text.dropFirst(digits.count).drop { $0 == " " })], count <= Int.max >> shift
    else { throw unexpected(expectation) }
    return count << shift
  }

  package func oneOf(_ choices: [String]) throws(YAMLError) -> String {
    let list = choices.count == 1 ? "'\(choices[0])'" : choices.dropLast().joined(separator: ", ") + " or " + choices[choices.count - 1]
    let text = try text(list)
    if choices.contains(text) { return text }
    let closest = ClosestWord.of(text, among: choices)
    var error = unexpected(list)
    if let closest { error.reason += ", did you mean '\(closest)'?" }
    throw error
  }
}
