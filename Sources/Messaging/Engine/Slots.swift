internal import CUCX
internal import CausewayLinuxIO
internal import CausewayMessagingCore

/// A receive between its post and its end.
@safe struct ReceiveSlot {
  var driver: Unmanaged<Driver>?
  var id: ReceiveID?
  var base: UnsafeMutableRawPointer?
  /// Keeps the memory alive; the message's own buffer when the library allocates.
  var keeper: AnyObject?
  var allocates = false
  var target = CompletionTarget.none
  /// What a canceller of another thread calls it; 0 for none.
  var operation: UInt64 = 0
  var outcome = Completion()
  /// UCX writes into the memory.
  var isUnderWay = false
  /// The caller has its result already.
  var isReported = false
}

/// A send from its start until its buffer is free and its result told.
@safe struct SendSlot {
  static let inlineLimit = 40

  /// Stays at its address while UCX has it: versions before 1.14 do not copy it.
  var header: (UInt64, UInt64, UInt64) = (0, 0, 0)
  /// Behind the header: the bytes of a very short message. Both in one piece are UCX's fastest way.
  var inline: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
  var driver: Unmanaged<Driver>?
  var id: SendID?
  /// Of an offer, as long as the peer may read the memory; else 0. The peer reads it too.
  var ticket: UInt64 = 0
  static let ticketOffset = MemoryLayout<SendSlot>.offset(of: \.ticket)!
  var bytes: SendBytes = unsafe .contiguous(nil, 0)
  var keeper: AnyObject?
  var target = CompletionTarget.none
  var operation: UInt64 = 0
  var connection: UInt32 = 0
  /// UCX has header and memory.
  var isUnderWay = false
  /// A result that waits for the memory, because nobody keeps that alive but the caller.
  var withheld: Completion?
}

/// What a send sends.
@safe enum SendBytes {
  case contiguous(UnsafeRawPointer?, Int)
  /// Pieces one behind the other, in memory of the keeper.
  case pieces(UnsafePointer<ucp_dt_iov_t>, Int)
}

/// The data of a message that waits for its receive.
@safe struct MessageSlot {
  @safe enum Data {
    case none
    /// In a block of the pool, or beyond its limit in memory of its own.
    case copied(UnsafeMutableRawPointer)
    /// UCX's memory, given back by a release.
    case held(UnsafeMutableRawPointer)
    case rendezvous(UnsafeMutableRawPointer)
    /// A `StoredOffer` in a block of the pool.
    case offered(UnsafeMutableRawPointer)
  }
  var data = Data.none
  var length = 0
  var connection: UInt32 = 0
}

struct FlushSlot {
  var id: FlushID?
  var target = CompletionTarget.none
  var operation: UInt64 = 0
}

/// A header without data on its way, or with an offer instead.
@safe struct ControlSlot {
  var header: (UInt64, UInt64, UInt64) = (0, 0, 0)
  /// Behind the header.
  var offer: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  var driver: Unmanaged<Driver>?
  var connection: UInt32 = 0
  var index: UInt32 = 0
}

/// A connection's UCX endpoint.
@safe struct ConnectionSlot {
  var driver: Unmanaged<Driver>?
  var id: ConnectionID?
  var endpoint: ucp_ep_h?
  /// Who is told of its end, on the loop's thread.
  var owner: (any ConnectionOwner)?
  /// The peer's, when we may and can read it.
  var memory: ProcessMemory?
  /// The peer can read ours.
  var takesOffers = false
  /// Of the messages that may go either way: the last one was read by the peer.
  var wasReadLast = true
  /// Requests that UCX has not given back, and reads of its memory.
  var requests = 0
  var isClosing = false
  /// UCX's, while it closes the endpoint.
  var closeRequest: UnsafeMutableRawPointer?
  var isClosed = false
  var hasFailed = false
}

/// The shell's object of a connection.
protocol ConnectionOwner: AnyObject, Sendable {
  /// What people call the peer.
  var subject: String { get }
  /// The peer is gone, as UCX says. On the loop's thread.
  func connectionWasLost()
}
