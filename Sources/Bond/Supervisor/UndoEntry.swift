package import CausewaySupport
internal import CausewayWire

/// What takes one step back, as a line of the undo journal.
package struct UndoEntry: JSONRecord, Equatable, Sendable {
  package enum Kind: String, Sendable {
    /// Commands in order; a failing one doesn't stop the rest.
    case commands
    case link
    case rule
    case nameServers = "name_servers"
    /// Put `value` back into the file `path` under /proc/sys/net/.
    case control
  }

  package var kind = Kind.commands
  package var commands: [String] = []
  package var rule = DefaultRouteRule.Kind.unmarked
  package var isIPv6 = false
  package var table: UInt32 = 0
  package var tool = DNSTool.resolvconf
  package var path = ""
  package var value = ""

  package init() {}
  package init(commands: [String]) { self.commands = commands }
  package init(_ kind: Kind) { self.kind = kind }

  package init(_ rule: DefaultRouteRule) {
    kind = .rule
    self.rule = rule.kind
    isIPv6 = rule.family == .v6
    table = rule.table
  }

  package init(_ tool: DNSTool) {
    kind = .nameServers
    self.tool = tool
  }

  package init(control path: String, value: String) {
    kind = .control
    self.path = path
    self.value = value
  }

  package var defaultRouteRule: DefaultRouteRule { DefaultRouteRule(rule, isIPv6 ? .v6 : .v4, table: table) }

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("undo", &kind)
    switch kind {
    case .commands: try json.field("commands", &commands)
    case .link: break
    case .rule:
      try json.field("rule", &rule)
      try json.field("ipv6", &isIPv6)
      try json.field("table", &table)
    case .nameServers: try json.field("tool", &tool)
    case .control:
      try json.field("path", &path)
      try json.field("value", &value)
    }
  }
}
