/// Figures of one connection, or of all together.
public struct MessagingCounters: Equatable, Sendable, BitwiseCopyable {
  /// Messages and payload bytes handed to the transport.
  public var messagesSent: UInt64 = 0
  public var bytesSent: UInt64 = 0
  /// Messages and payload bytes that arrived, matched or not.
  public var messagesReceived: UInt64 = 0
  public var bytesReceived: UInt64 = 0
  /// Sends whose result is open, queued ones included.
  public var sendsInFlight = 0
  /// Those that wait for credit.
  public var sendsQueued = 0
  /// Messages that wait for a receive, and what they cost by the credit rule.
  public var unreceivedMessages = 0
  public var unreceivedByteCount = 0
  /// What may still be sent before the peer must free something; 0 when a shrunk grant is overdrawn.
  public var creditByteCount = 0

  public init() {}

  public mutating func add(_ other: MessagingCounters) {
    messagesSent &+= other.messagesSent
    bytesSent &+= other.bytesSent
    messagesReceived &+= other.messagesReceived
    bytesReceived &+= other.bytesReceived
    sendsInFlight += other.sendsInFlight
    sendsQueued += other.sendsQueued
    unreceivedMessages += other.unreceivedMessages
    unreceivedByteCount += other.unreceivedByteCount
    creditByteCount += other.creditByteCount
  }
}
