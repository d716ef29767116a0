package import CausewaySupport
internal import CausewayWire

/// `Path = HOST:PORT [via DEVICE|SOURCE-ADDRESS] [tcp] [name=NAME] [weight=N] [rate=UP[/DOWN]] [backup]`, options in any order.
package enum PathLine {
  package static let options = ["via", "tcp", "udp", "name=", "weight=", "rate=", "backup"]
  static let form = "HOST:PORT [via DEVICE|SOURCE-ADDRESS] [tcp] [name=NAME] [weight=N] [rate=UP[/DOWN]] [backup]"

  package static func parse(_ entry: INIEntry) throws(PlacedError) -> PathConfiguration {
    var words = entry.value.split(whereSeparator: \.isWhitespace)[...]
    guard let first = words.popFirst() else { throw entry.unexpected(form) }
    let remote = try endpoint(String(first), entry)
    var path = PathConfiguration(host: remote.host, port: remote.port)
    var seen: Set<String> = []
    while let word = words.popFirst() {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let option = parts[0].lowercased()
      let value = parts.count == 2 ? String(parts[1]) : nil
      guard seen.insert(option == "udp" ? "tcp" : option).inserted else { throw entry.error("the option '\(option)' is given twice") }
      switch (option, value) {
      case ("via", nil):
        guard let place = words.popFirst() else { throw entry.error("expected a device or a source address behind 'via'") }
        path.binding = try binding(String(place), remote, entry)
      case ("tcp", nil): path.transport = .tcp
      case ("udp", nil): path.transport = .udp
      case ("backup", nil): path.isBackup = true
      case ("name", let name?):
        guard isName(name) else {
          throw entry.unexpected("name=NAME with 1-\(PathConfiguration.maximumNameByteCount) letters, digits, '-', '_' or '.'", got: name)
        }
        path.name = name
      case ("weight", let text?):
        guard let weight = number(text), PathConfiguration.weights.contains(weight) else {
          throw entry.unexpected("weight=N with N 1-\(PathConfiguration.weights.upperBound)", got: text)
        }
        path.weight = weight
      case ("rate", let text?):
        let rates = text.split(separator: "/", omittingEmptySubsequences: false)
        guard rates.count <= 2, let up = Rate.parse(rates[0]) else {
          throw entry.unexpected("rate=UP[/DOWN], each \(Rate.expectation)", got: text)
        }
        path.rateUp = up
        if rates.count == 2 {
          guard let down = Rate.parse(rates[1]) else { throw entry.unexpected("rate=UP[/DOWN], each \(Rate.expectation)", got: text) }
          path.rateDown = down
        }
      default:
        let written = value == nil ? option : option + "="
        throw entry.error(PlacedError.unknownOption(String(written.prefix(32)), among: options))
      }
    }
    return path
  }

  /// `HOST:PORT`, port not 0.
  static func endpoint(_ text: String, _ entry: INIEntry) throws(PlacedError) -> HostPort {
    let remote: HostPort
    do throws(AddressError) { remote = try HostPort(parsing: text) } catch { throw entry.error(error.description) }
    if remote.port == 0 { throw entry.error("the port of a peer can't be 0") }
    return remote
  }

  private static func binding(_ text: String, _ remote: HostPort, _ entry: INIEntry) throws(PlacedError) -> PathConfiguration.Binding {
    let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
    if let address = IPAddress(bare) {
      if let other = remote.address, other.family != address.family {
        throw entry.error("the source address \(address) and the peer's \(other) are of different families")
      }
      return .source(address)
    }
    guard InterfaceName.isValid(text) else { throw entry.unexpected("a device or an address behind 'via'", got: text) }
    return .device(text)
  }

  static func isName(_ text: String) -> Bool {
    (1...PathConfiguration.maximumNameByteCount).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F, 0x2E, 0x2D: true
        default: false
        }
      }
  }

  private static func number(_ text: String) -> Int? {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) } && text.utf8.count <= 6 ? Int(text) : nil
  }

  /// Gives paths without a name one that is unique in `paths`: the device, source address or host, with a number where that is taken.
  static func name(_ paths: inout [PathConfiguration]) {
    var taken = Set(paths.map(\.name))
    for index in paths.indices where paths[index].name.isEmpty {
      let base =
        switch paths[index].binding {
        case .device(let device): device
        case .source(let address): address.description
        case .any: paths[index].host
        }
      var name = base
      var number = 2
      while !taken.insert(name).inserted {
        name = "\(base)-\(number)"
        number += 1
      }
      paths[index].name = name
    }
  }
}
