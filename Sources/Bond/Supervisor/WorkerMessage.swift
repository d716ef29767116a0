internal import CausewayBase
package import CausewaySupport

/// What parent and packet child say to each other over their private socket, one JSON object a line. The parent believes the child only as
/// far as this: texts are shown escaped, numbers are bounded, and nothing in a message names a file or a command.
package enum WorkerMessage: Sendable {
  // Parent to child.

  /// The first message. `timestamp`: the greatest TAI64N ever sent, 12 bytes; empty when none is known.
  case configure(WorkerConfiguration, timestamp: [UInt8])
  /// Peers, paths, scheduler and switches anew; what can't change at run time is as it was.
  case reload(WorkerConfiguration)
  case statusRequest(id: UInt32)
  /// Say goodbye to the peers where there is a way, then end.
  case stop

  // Child to parent.

  /// Sockets are bound, packets may come.
  case ready(WorkerReadiness)
  /// It can't go on; the text says why and what to do. Nothing follows.
  case failed(String)
  /// A reload is in force; the text is empty, or says what could not be done.
  case reloaded(String)
  case status(id: UInt32, BondStatus)
  /// A greater TAI64N was sent: keep it.
  case timestamp([UInt8])
  case log(WorkerLogLine)
  case pathEvent(PathEvent)
}

/// Where the child listens.
package struct WorkerReadiness: JSONRecord, Equatable, Sendable {
  package var udpPort: UInt16 = 0
  package var tcpPort: UInt16?
  package var metricsPort: UInt16?

  package init() {}

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("udp_port", &udpPort)
    try json.field("tcp_port", &tcpPort)
    try json.field("metrics_port", &metricsPort)
  }
}

package struct WorkerLogLine: JSONRecord, Equatable, Sendable {
  package struct Field: JSONRecord, Equatable, Sendable {
    package var name = ""
    package var value = ""
    package init() {}
    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
    package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
      try json.field("name", &name)
      try json.field("value", &value)
    }
  }

  /// As `LogLevel` names it.
  package var level = "info"
  package var text = ""
  package var fields: [Field] = []

  package init() {}
  package init(level: String, text: String, fields: [Field] = []) {
    self.level = level
    self.text = text
    self.fields = fields
  }

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("level", &level)
    try json.field("text", &text)
    try json.field("fields", &fields)
  }
}

/// A path changed its state.
package struct PathEvent: JSONRecord, Equatable, Sendable {
  /// `PeerKey.short`.
  package var peer = ""
  package var pathID: UInt8 = 0
  package var name = ""
  /// `PathState`'s words.
  package var from = ""
  package var to = ""
  package var reason = ""

  package init() {}

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("peer", &peer)
    try json.field("path", &pathID)
    try json.field("name", &name)
    try json.field("from", &from)
    try json.field("to", &to)
    try json.field("reason", &reason)
  }
}
