internal import CUCX
internal import CausewayLinuxIO
internal import CausewayMessagingCore

/// A lane that UCX uses for a connection.
public struct Transport: Equatable, Sendable, CustomStringConvertible {
  public var name: String
  public var device: String
  public var description: String { "\(name)/\(device)" }
}

/// What passed through one connection.
public struct EndpointCounters: Equatable, Sendable {
  public var messagesSent: UInt64
  public var bytesSent: UInt64
  public var messagesReceived: UInt64
  public var bytesReceived: UInt64
  public var sendsInFlight: Int
  /// Sends that wait for the peer to receive something.
  public var sendsQueued: Int
  public var unreceivedMessages: Int
  public var unreceivedByteCount: Int

  init(_ counters: MessagingCounters) {
    messagesSent = counters.messagesSent
    bytesSent = counters.bytesSent
    messagesReceived = counters.messagesReceived
    bytesReceived = counters.bytesReceived
    sendsInFlight = counters.sendsInFlight
    sendsQueued = counters.sendsQueued
    unreceivedMessages = counters.unreceivedMessages
    unreceivedByteCount = counters.unreceivedByteCount
  }
}

extension MessagePort {
  /// The lanes of this connection: UCX's, and "cma" when one side reads the other's memory.
  public func transports() throws(MessagingError) -> [Transport] {
    let connection = connection
    var lanes = try unsafe ofEndpoint("transports") { driver, endpoint in
      unsafe withUnsafeTemporaryAllocation(of: cucx_transport.self, capacity: 32) { lanes in
        let count = unsafe cucx_endpoint_transports(driver.table, endpoint, lanes.baseAddress, 32)
        return (0..<Int(max(0, count))).map { index in
          unsafe Transport(name: Self.text(lanes[index].transport), device: Self.text(lanes[index].device))
        }
      }
    }
    let reads = driver.asGuest {
      let slot = unsafe driver.connections.pointer(connection.slot)
      return unsafe slot.pointee.id == connection && (slot.pointee.takesOffers || slot.pointee.memory != nil)
    }
    if reads && !lanes.contains(where: { $0.name == "cma" }) { lanes.append(Transport(name: "cma", device: "memory")) }
    return lanes
  }

  /// Asks UCX about this connection's endpoint, under the driver's lock. A place in the table that another connection has by now answers
  /// for that one only.
  func ofEndpoint<R>(_ what: String, _ body: (Driver, ucp_ep_h) -> R) throws(MessagingError) -> R {
    try engine.checkFork("\(what) of \(subject)")
    let (driver, connection) = (driver, connection)
    let answer: R? = driver.asGuest {
      guard let endpoint = unsafe driver.endpoint(of: connection) else { return nil }
      return unsafe body(driver, endpoint)
    }
    guard let answer else { throw Completion(.closed).error("\(what) of \(subject)") }
    return answer
  }

  /// Whether the peer is there, as far as is known.
  package var isLiving: Bool {
    let (driver, connection) = (driver, connection)
    return driver.asGuest { unsafe driver.endpoint(of: connection) != nil }
  }

  /// This side's end of the connection's bootstrap socket; nil before the connection, and for clients of the same host.
  public var localAddress: String? { Self.ofTCP(facts?.local).map { "\($0)" } }

  /// The same of both ends, in parts.
  package var addresses: (local: (host: String, port: UInt16)?, remote: (host: String, port: UInt16)?) {
    let facts = facts
    return (Self.ofTCP(facts?.local).map { ($0.host, $0.port) }, Self.ofTCP(facts?.remote).map { ($0.host, $0.port) })
  }

  private static func ofTCP(_ address: SocketAddress?) -> SocketAddress? { address?.family == .unix ? nil : address }

  private static func text<T>(_ field: T) -> String {
    unsafe withUnsafeBytes(of: field) { bytes in unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// How long UCX thinks that a message of so many bytes takes.
  public func evaluatePerformance(of byteCount: Int) throws(MessagingError) -> Duration {
    let seconds = try unsafe ofEndpoint("evaluatePerformance") { driver, endpoint in
      unsafe cucx_endpoint_estimate(driver.table, endpoint, max(0, byteCount))
    }
    if seconds < 0 { throw MessagingError(.ucxFailed, "evaluatePerformance of \(subject)") }
    return .seconds(seconds)
  }

  /// After the connection's end they are those of its end. A client has none before it is connected.
  public func counters() throws(MessagingError) -> EndpointCounters {
    try engine.checkFork("counters of \(subject)")
    let (driver, connection, facts) = (driver, connection, facts)
    guard let facts else { throw Completion(.notConnected).error("counters of \(subject)") }
    return EndpointCounters(
      driver.asGuest { unsafe driver.core.pointee.knownCounters(of: connection) ?? facts.final ?? MessagingCounters() })
  }
}
