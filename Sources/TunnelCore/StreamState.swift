import CausewayBase

/// One stream's both directions inside a `Session`. Offsets count from 0; an end takes one more unit (see `AckEntry`).
final class StreamState {
  let id: StreamID

  // Sending: acknowledged <= sent <= queue.endOffset (+1 with the end), sent <= credit.
  var queue: ChunkQueue
  var sent: UInt64 = 0
  var acknowledged: UInt64 = 0
  var credit: UInt64
  var isFinished = false
  /// A frame of it has left on some connection, and the peer may know it.
  var isAnnounced = false
  /// In one of the scheduler's queues.
  var isQueued = false
  /// The producer was refused and waits for `.writable`.
  var wantsWritable = false
  var deficit = 0
  var burstByteCount = 0
  var lastSent = Instant.zero

  // Receiving.
  var received: UInt64 = 0
  var endReceived = false
  /// What `received` and credit were in the last acknowledgement sent.
  var reportedReceived: UInt64 = 0
  var window: WindowTuner
  var isDirty = false
  /// The session has dropped it; queues and a half-received frame may still name it.
  var isForgotten = false

  init(id: StreamID, pool: ChunkPool, limits: SessionLimits) {
    self.id = id
    queue = ChunkQueue(pool: pool)
    credit = UInt64(limits.initialWindow)
    window = WindowTuner(initial: limits.initialWindow)
  }

  /// Behind the last byte, and behind the end if there is one.
  var sendTotal: UInt64 { queue.endOffset + (isFinished ? 1 : 0) }
  var unsentByteCount: Int { Int(queue.endOffset - min(sent, queue.endOffset)) }
  /// Bytes that may be sent now.
  var sendableByteCount: Int { Int(min(queue.endOffset, credit) - min(sent, min(queue.endOffset, credit))) }
  /// The end may be sent now (it needs no credit).
  var mustSendEnd: Bool { isFinished && sent == queue.endOffset }
  var isSendDone: Bool { isFinished && acknowledged == sendTotal }
}
