internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Synchronization

/// One connection of a server: what it sends goes to one client, what it receives comes from it.
public final class Endpoint: MessagePort, @unchecked Sendable {
  /// Where the peer connected from.
  public let remoteAddress: String
  private let link: Link

  init(_ link: Link, _ connection: ConnectionID, engine: Engine, mailbox: MailboxID, remoteAddress: String) {
    self.link = link
    self.remoteAddress = remoteAddress
    super.init(engine, mailbox, from: connection, subject: remoteAddress)
    setConnection(connection)
  }

  public var id: EndpointID { EndpointID(rawValue: connection.rawValue) }

  /// Flushes for at most `timeout`, then ends the connection. Again does nothing.
  /// - Throws: Why the flush failed; the connection is closed all the same.
  public func close(timeout: Duration? = .seconds(5)) async throws(MessagingError) { try await closePort(timeout) }

  override func closeLink(_ completion: @escaping @Sendable () -> Void) {
    let link = link
    engine.onThread {
      link.close()
      completion()
    }
  }
}

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
  /// The lanes of this connection.
  public func transports() throws(MessagingError) -> [Transport] {
    try engine.checkFork("transports of \(subject)")
    let driver = driver
    let connection = connection
    let found: [Transport]? = driver.asGuest {
      guard !driver.isShutDown, let endpoint = unsafe driver.connections.pointer(connection.slot).pointee.endpoint else { return nil }
      return unsafe withUnsafeTemporaryAllocation(of: cucx_transport.self, capacity: 32) { lanes in
        let count = unsafe cucx_endpoint_transports(driver.table, endpoint, lanes.baseAddress, 32)
        return (0..<Int(max(0, count))).map { index in
          unsafe Transport(name: Self.text(lanes[index].transport), device: Self.text(lanes[index].device))
        }
      }
    }
    guard let found else { throw Completion(.closed).error("transports of \(subject)") }
    return found
  }

  private static func text<T>(_ field: T) -> String {
    unsafe withUnsafeBytes(of: field) { bytes in unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// How long UCX thinks that a message of so many bytes takes.
  public func evaluatePerformance(of byteCount: Int) throws(MessagingError) -> Duration {
    try engine.checkFork("evaluatePerformance of \(subject)")
    let driver = driver
    let connection = connection
    let seconds: Double? = driver.asGuest {
      guard !driver.isShutDown, let endpoint = unsafe driver.connections.pointer(connection.slot).pointee.endpoint else { return nil }
      return unsafe cucx_endpoint_estimate(driver.table, endpoint, max(0, byteCount))
    }
    guard let seconds else { throw Completion(.closed).error("evaluatePerformance of \(subject)") }
    if seconds < 0 { throw MessagingError(.ucxFailed, "evaluatePerformance of \(subject)") }
    return .seconds(seconds)
  }

  public func counters() throws(MessagingError) -> EndpointCounters {
    try engine.checkFork("counters of \(subject)")
    let driver = driver
    let connection = connection
    if connection == Self.nothing { throw Completion(.closed).error("counters of \(subject)") }
    return EndpointCounters(driver.asGuest { unsafe driver.core.pointee.counters(of: connection) })
  }
}
