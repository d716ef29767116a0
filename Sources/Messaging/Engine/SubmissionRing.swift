internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore
internal import Synchronization

/// An operation that another thread hands to the driver.
@safe struct Operation {
  enum Kind {
    case send(ConnectionID, synchronous: Bool)
    case receive(MailboxID, from: ConnectionID?)
    case flush(MailboxID)
    case flushConnection(ConnectionID)
    /// Several at once, or whatever else the driver shall do.
    case run(@Sendable () -> Void)
    /// Of the operation with this number: its slot when that is known.
    case cancel(Cancellable, UInt32?)
  }
  enum Cancellable { case send, receive, flush }
  var kind: Kind
  /// What a cancellation calls it; 0 for none.
  var number: UInt64 = 0
  var tag: UInt64 = 0
  var mask: UInt64 = .max
  var base: UnsafeMutableRawPointer?
  /// Bytes to send, or room to receive.
  var count = 0
  /// Of a vectored send: pieces in the keeper's memory.
  var pieces: UnsafePointer<ucp_dt_iov_t>?
  var pieceCount = 0
  var allocates = false
  /// Of a receive: a message that is too long is thrown away.
  var drops = false
  var deadline = Instant.distantFuture
  var keeper: AnyObject?
  var target = CompletionTarget.none

  init(_ kind: Kind) { self.kind = kind }
}

/// Operations from any thread to the one that drives: a bounded ring without locks (each cell counts who may use it next).
// @unchecked Sendable: a cell belongs to the producer that won its position until it raises the cell's number, then to the consumer.
@safe final class SubmissionRing: @unchecked Sendable {
  private struct Cell: ~Copyable {
    let turn: Atomic<Int>
    var operation: Operation?
  }
  private let cells: UnsafeMutablePointer<Cell>
  private let mask: Int
  private let tail = Atomic<Int>(0)
  /// Written by the consumer only.
  private let head = Atomic<Int>(0)

  init(capacity: Int) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a power of two")
    mask = capacity - 1
    // SAFETY: all cells are initialised here, and destroyed in deinit.
    unsafe cells = .allocate(capacity: capacity)
    for index in 0..<capacity { unsafe (cells + index).initialize(to: Cell(turn: Atomic(index), operation: nil)) }
  }

  deinit {
    unsafe cells.deinitialize(count: mask + 1)
    unsafe cells.deallocate()
  }

  /// For the consumer: nothing to take now.
  @inline(__always) var isEmpty: Bool {
    let position = head.load(ordering: .relaxed)
    // Mostly nobody has even taken a cell: two loads that wait for nothing.
    if tail.load(ordering: .acquiring) == position { return true }
    return unsafe (cells + (position & mask)).pointee.turn.load(ordering: .acquiring) != position &+ 1
  }

  func push(_ operation: consuming Operation) -> Bool {
    var position = tail.load(ordering: .relaxed)
    while true {
      let cell = unsafe cells + (position & mask)
      let turn = unsafe cell.pointee.turn.load(ordering: .acquiring)
      if turn == position {
        let (won, current) = tail.weakCompareExchange(
          expected: position, desired: position &+ 1, successOrdering: .relaxed, failureOrdering: .relaxed)
        if won {
          unsafe cell.pointee.operation = consume operation
          unsafe cell.pointee.turn.store(position &+ 1, ordering: .releasing)
          return true
        }
        position = current
      } else if turn < position {
        return false
      } else {
        position = tail.load(ordering: .relaxed)
      }
    }
  }

  /// The consumer: takes what is there, at most one lap.
  func drain(_ body: (consuming Operation) -> Void) {
    var left = mask + 1
    while left > 0 {
      let position = head.load(ordering: .relaxed)
      let cell = unsafe cells + (position & mask)
      guard unsafe cell.pointee.turn.load(ordering: .acquiring) == position &+ 1 else { return }
      let operation = unsafe cell.pointee.operation.take()
      head.store(position &+ 1, ordering: .relaxed)
      unsafe cell.pointee.turn.store(position &+ mask &+ 1, ordering: .releasing)
      if let operation { body(operation) }
      left -= 1
    }
  }
}
