/// What is known of a message before its data are looked at.
public struct MessageInfo: Equatable, Sendable, BitwiseCopyable {
  public var tag: UInt64
  /// Bytes of the whole message.
  public var length: Int
  public var connection: ConnectionID
  /// The data are still with the sender.
  public var isRendezvous: Bool
}

/// Why a call was not taken on. Nothing has changed.
public enum Refusal: Equatable, Sendable, BitwiseCopyable {
  /// The mailbox or the connection was closed here.
  case closed
  /// The peer is gone and nothing of it that fits is left.
  case peerLost
  /// The limit of operations in flight is reached.
  case wouldBlock
}

/// What became of a call to `receive`.
public enum ReceiveOutcome: Equatable, Sendable {
  /// It waits; an arrival or an effect will name it.
  case posted(ReceiveID)
  /// A stored message fits: the shell takes its data now (the message's slot may be given out by the next `arrive`), then calls
  /// `finishReceive`.
  case matched(ReceiveID, MessageID, MessageInfo)
  /// The oldest message that fits is too long. It stays at its place, unless the receive drops such messages; there is no receive to name.
  case truncated(MessageInfo)
  case refused(Refusal)
}

/// Why a posted receive ended without a message.
public enum ReceiveFailure: Equatable, Sendable, BitwiseCopyable {
  /// The message was too long, and is offered to the next receive unless this one drops such messages.
  case truncated(MessageInfo)
  case deadline
  case peerLost
  case closed
}

/// What became of a call to `cancel`.
public enum CancelOutcome: Equatable, Sendable, BitwiseCopyable {
  /// Gone, its slot is free and nothing more will name it.
  case cancelled
  /// The transport has the buffer. A send has its result now and keeps its slot until `sendFinished`; a receive goes on.
  case underWay
  /// It was over before; its result has been given or waits in `nextEffect`.
  case unknown
}

/// What became of a call to `send`.
public enum SendOutcome: Equatable, Sendable {
  /// Hand header and data to the transport in one piece, then call `sendFinished`.
  case eager(SendID, MessageHeader)
  /// The same, by rendezvous.
  case rendezvous(SendID, MessageHeader)
  /// Waits for credit or behind one that does; `Effect.start` follows.
  case queued(SendID)
  case refused(Refusal)
}

/// How a send ended.
public enum SendResult: Equatable, Sendable, BitwiseCopyable {
  /// The buffer is free, and a synchronous one has been matched.
  case ok
  /// The transport failed it while the peer was alive.
  case failed
  case peerLost
  case closed
  case deadline
  /// The peer gave the message up unread.
  case rejected
}

/// What `sendFinished` says of a send whose buffer came back.
public enum SendFinish: Equatable, Sendable, BitwiseCopyable {
  /// This is its result; the slot is free.
  case done(SendResult)
  /// A synchronous send that waits for its match; `Effect.sendDone` follows.
  case awaitsMatch
  /// Its result was given before (cancelled, deadline, closed); the slot is free.
  case reported
}

/// What became of a call to `flush`.
public enum FlushOutcome: Equatable, Sendable, BitwiseCopyable {
  /// Nothing to wait for.
  case done
  /// `Effect.flushDone` follows.
  case waiting(FlushID)
  case refused(Refusal)
}

/// How a flush ended.
public enum FlushResult: Equatable, Sendable, BitwiseCopyable {
  case ok, deadline, peerLost, closed
}

/// What became of an arrival.
public enum Arrival: Equatable, Sendable {
  /// Copy the data to the receive's buffer or start the rendezvous into it, then call `finishReceive`.
  case matched(ReceiveID, MessageInfo)
  /// Keep the data under this id, until a match or `Effect.release`.
  case stored(MessageID)
  /// Nothing to keep.
  case control
  /// Let go of the data; nobody waits for them.
  case dropped(DropReason)
}

/// Why an arrival was dropped.
public enum DropReason: UInt8, Equatable, Sendable, BitwiseCopyable, CaseIterable {
  /// No such connection, or its random bits don't match.
  case unknownConnection
  /// Closed here; who sent it is told.
  case closed
  /// Of a peer that was declared lost.
  case peerLost
  /// Its sequence number has been seen.
  case duplicate
  /// Further ahead than the reorder limit.
  case tooFarAhead
  /// More unreceived than was ever granted.
  case creditExceeded
  /// A negative length, or a control message with data.
  case badLength
  /// Longer than the buffer of its receive, which drops such messages.
  case truncated

  /// Whether no correct peer does this on a living connection: the shell should fail it.
  public var isViolation: Bool {
    switch self {
    case .tooFarAhead, .creditExceeded, .badLength, .duplicate: true
    case .unknownConnection, .closed, .peerLost, .truncated: false
    }
  }
}

/// One thing for the shell to do, in order. Ids in it are valid until the next call of the core; then the slots that end with the effect
/// may be given out again.
public enum Effect: Equatable, Sendable, BitwiseCopyable {
  /// A receive ended without a message.
  case receiveFailed(ReceiveID, ReceiveFailure)
  /// The deadline of a matched rendezvous passed while its data are on their way. Give the result; the buffer stays in the transport's
  /// hands, and the slot with it, until `finishReceive`.
  case receiveOverdue(ReceiveID)
  /// A stored message found its receive: take its data, then call `finishReceive`.
  case deliver(MessageID, to: ReceiveID, MessageInfo)
  /// Let go of a stored message's data.
  case release(MessageID)
  /// Hand a queued send to the transport, then call `sendFinished`.
  case start(SendID, rendezvous: Bool, MessageHeader)
  /// The result of a send. With `pinned` the transport still has the buffer: the slot stays until `sendFinished`.
  case sendDone(SendID, SendResult, pinned: Bool)
  case flushDone(FlushID, FlushResult)
  /// An offered send's memory is not read any more: take the offer back, then call `sendFinished`, failed when its connection has ended.
  case returned(SendID, failed: Bool)
  /// Transmit a header without data.
  case control(ConnectionID, MessageHeader)
}
