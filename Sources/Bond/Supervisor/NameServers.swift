internal import CausewaySupport
internal import CausewayWire
internal import Glibc

/// Name servers through resolvconf or systemd's resolvectl, as wg-quick does it.
enum NameServers {
  static let programFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

  /// - Throws: When neither is there.
  static func choose(exists: (String) -> Bool = { unsafe access($0, X_OK) == 0 }) throws(CommandFailure) -> DNSTool {
    for tool in [DNSTool.resolvconf, .resolvectl] where path(of: tool, exists) != nil { return tool }
    throw CommandFailure(
      .failure, "DNS needs resolvconf or resolvectl, and neither is installed: apt install openresolv, or remove the DNS line")
  }

  static func path(of tool: DNSTool, _ exists: (String) -> Bool = { unsafe access($0, X_OK) == 0 }) -> String? {
    programFolders.map { "\($0)/\(tool.rawValue)" }.first(where: exists)
  }

  static func set(_ dns: BondConfiguration.DNS, _ tool: DNSTool, interface: String) throws(CommandFailure) {
    guard let path = path(of: tool) else { throw CommandFailure(.failure, "\(tool.rawValue) has gone") }
    switch tool {
    case .resolvconf:
      var lines = dns.servers.map { "nameserver \($0)\n" }.joined()
      if !dns.searchDomains.isEmpty { lines += "search \(dns.searchDomains.joined(separator: " "))\n" }
      // The text is an argument of its own: a shell would read it otherwise.
      try ChildProgram.run(
        "/bin/sh", ["sh", "-c", "printf %s \"$1\" | \"$2\" -a \"$3\" -m 0 -x", "sh", lines, path, resolvconfName(interface)], "resolvconf")
    case .resolvectl:
      if !dns.servers.isEmpty { try ChildProgram.run(path, ["resolvectl", "dns", interface] + dns.servers.map(\.description), "resolvectl dns") }
      // "~.": every name goes to these servers.
      try ChildProgram.run(path, ["resolvectl", "domain", interface, "~."] + dns.searchDomains, "resolvectl domain")
    }
  }

  static func unset(_ tool: DNSTool, interface: String) throws(CommandFailure) {
    guard let path = path(of: tool) else { return }
    switch tool {
    case .resolvconf: try ChildProgram.run(path, ["resolvconf", "-d", resolvconfName(interface), "-f"], "resolvconf -d")
    case .resolvectl: try ChildProgram.run(path, ["resolvectl", "revert", interface], "resolvectl revert")
    }
  }

  /// Debian's resolvconf orders by prefix: the first wildcard of its list goes before the name.
  static func resolvconfName(_ interface: String) -> String {
    guard let text = try? PrivateFile.read("/etc/resolvconf/interface-order", isSecret: false) else { return interface }
    return resolvconfName(interface, order: String(decoding: text, as: UTF8.self))
  }

  static func resolvconfName(_ interface: String, order: String) -> String {
    for line in order.split(separator: "\n") where line.hasSuffix("*") {
      let prefix = line.dropLast()
      if !prefix.isEmpty, prefix.utf8.allSatisfy({ ASCII.isName($0) }) { return "\(prefix).\(interface)" }
    }
    return interface
  }

  private enum ASCII {
    static func isName(_ byte: UInt8) -> Bool {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D: true
      default: false
      }
    }
  }
}
