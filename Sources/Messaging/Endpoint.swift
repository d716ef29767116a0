internal import CausewayMessagingCore

/// One connection of a server: what it sends goes to one client, what it receives comes from it.
public final class Endpoint: MessagePort, @unchecked Sendable {
  /// Where the peer connected from.
  public let remoteAddress: String
  public let id: EndpointID
  private let link: Link

  init(_ link: Link, _ connection: ConnectionID, engine: Engine, mailbox: MailboxID, remoteAddress: String) {
    self.link = link
    self.remoteAddress = remoteAddress
    id = EndpointID(rawValue: connection.rawValue)
    super.init(engine, mailbox, from: connection, subject: remoteAddress)
    facts = link.facts
    setConnection(connection)
  }

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
