/// Why a name or a port was not given. `message` is one line for the one who asked; what he typed appears in it shortened and
/// without control bytes.
package enum NameError: Error, Equatable, Sendable {
  package enum Fault: Equatable, Sendable { case empty, tooLong, character, hyphenAtEnd, notPunycode }

  case invalid(String, Fault)
  case reserved(String)
  case taken(TunnelName)
  /// Released by another account so lately that its visitors may still come: free again after so many seconds.
  case coolingDown(TunnelName, secondsLeft: Int64)
  case nameLimit(Int)
  case portLimit(Int)
  case portOutOfRange(UInt16, ClosedRange<UInt16>)
  case portTaken(UInt16)
  case noPortFree(ClosedRange<UInt16>)
  case noNameFree

  package var message: String {
    switch self {
    case .invalid(let text, let fault): "invalid name '\(Self.printable(text))': \(Self.explain(fault))"
    case .reserved(let text): "name '\(Self.printable(text))' is reserved by the relay: choose another"
    case .taken(let name): "name '\(name)' belongs to another account: choose another"
    case .coolingDown(let name, let seconds):
      "name '\(name)' was released by another account and cools down for \(Self.span(seconds)): choose another or wait"
    case .nameLimit(let limit):
      "this account already holds \(limit) names, the relay's limit: release one with 'causeway relay name release NAME'"
    case .portLimit(let limit):
      "this account already holds \(limit) TCP ports, the relay's limit: release a name with 'causeway relay name release NAME'"
    case .portOutOfRange(let port, let range):
      "port \(port) is out of range: the relay gives TCP ports \(range.lowerBound)-\(range.upperBound)"
    case .portTaken(let port): "TCP port \(port) belongs to another tunnel: choose another or ask for none"
    case .noPortFree(let range): "none of the relay's TCP ports \(range.lowerBound)-\(range.upperBound) is free: try again later"
    case .noNameFree: "no random name is free: ask for one with --subdomain"
    }
  }

  /// Whether asking again later, unchanged, may succeed.
  package var isTemporary: Bool {
    switch self {
    case .noPortFree, .noNameFree, .nameLimit, .portLimit: true
    case .invalid, .reserved, .taken, .coolingDown, .portOutOfRange, .portTaken: false
    }
  }

  private static func explain(_ fault: Fault) -> String {
    switch fault {
    case .empty: "a name has at least one character"
    case .tooLong: "a name has at most \(TunnelName.maximumByteCount) characters"
    case .character: "use letters a-z, digits and hyphens only"
    case .hyphenAtEnd: "a name begins and ends with a letter or a digit"
    case .notPunycode: "'--' as third and fourth character is for internationalised names in the form 'xn--…' (RFC 3492)"
    }
  }

  /// At most 63 bytes of printable ASCII; anything else becomes '?'.
  package static func printable(_ text: String) -> String {
    var result = ""
    for byte in text.utf8.prefix(TunnelName.maximumByteCount) {
      result.unicodeScalars.append((0x20...0x7E).contains(byte) ? Unicode.Scalar(byte) : "?")
    }
    return text.utf8.count > TunnelName.maximumByteCount ? result + "..." : result
  }

  static func span(_ seconds: Int64) -> String {
    func count(_ value: Int64, _ unit: String) -> String { "\(value) more \(unit)\(value == 1 ? "" : "s")" }
    // Rounded up: "0 days" would be a lie.
    if seconds > 2 * 86_400 { return count((seconds + 86_399) / 86_400, "day") }
    if seconds > 2 * 3600 { return count((seconds + 3599) / 3600, "hour") }
    return count(max(1, (seconds + 59) / 60), "minute")
  }
}
