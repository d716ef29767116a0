/// What the live panel shows; a value, so that drawing is a function.
package struct PanelModel: Equatable, Sendable {
  package enum State: String, Sendable { case connecting, online, reconnecting, closed }

  package struct Tunnel: Equatable, Sendable {
    package var name: String
    package var url: String
    /// What visitors reach: `http://127.0.0.1:3000`.
    package var service: String
    package var isServiceDown: Bool
    package init(name: String, url: String, service: String, isServiceDown: Bool = false) {
      self.name = name
      self.url = url
      self.service = service
      self.isServiceDown = isServiceDown
    }
  }

  package struct Request: Equatable, Sendable {
    /// Grows by one for each request: tells new ones from those shown before.
    package var serial: UInt64
    /// `12:03:04`
    package var time: String
    package var method: String
    package var target: String
    /// nil: cut before an answer.
    package var status: Int?
    package var duration: Duration
    package init(serial: UInt64, time: String, method: String, target: String, status: Int?, duration: Duration) {
      self.serial = serial
      self.time = time
      self.method = method
      self.target = target
      self.status = status
      self.duration = duration
    }
  }

  /// Requests kept for drawing; older ones leave.
  package static let maximumRequestCount = 8

  package var state = State.connecting
  /// Why it is so, and what happens next: `connection refused, again in 2 s`.
  package var detail = ""
  package var server = ""
  package var tunnels: [Tunnel] = []
  /// Round trip to the relay.
  package var latency: Duration?
  /// Toward the service.
  package var bytesPerSecondIn: UInt64 = 0
  /// Toward visitors.
  package var bytesPerSecondOut: UInt64 = 0
  package var totalBytesIn: UInt64 = 0
  package var totalBytesOut: UInt64 = 0
  package var openConnections = 0
  package var totalConnections: UInt64 = 0
  /// Oldest first.
  package private(set) var requests: [Request] = []

  package init() {}

  package mutating func add(_ request: Request) {
    requests.append(request)
    if requests.count > Self.maximumRequestCount { requests.removeFirst() }
  }
}
