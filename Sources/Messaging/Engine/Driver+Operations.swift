internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore

extension Driver {
  // MARK: Operations of other threads

  /// Starts what another thread handed over.
  func perform(_ operation: consuming Operation) {
    let number = operation.number
    let target = operation.target
    if isShutDown { return tell(target, Completion(.closed)) }
    if case .batch(let batch, let index) = target, batch.isRefused { return batch.set(index, Completion(.wouldBlock)) }
    switch operation.kind {
    case .send(let connection, let isSynchronous):
      if connection == MessagePort.nothing { return tell(target, Completion(.closed)) }
      let bytes: SendBytes =
        unsafe operation.pieces.map { unsafe .pieces($0, operation.pieceCount) } ?? .contiguous(operation.base, operation.count)
      let started = send(
        on: connection, bytes, count: operation.count, tag: operation.tag, synchronous: isSynchronous, keeper: operation.keeper,
        deadline: operation.deadline)
      settle(started, target, number)
    case .receive(let mailbox, let connection):
      let started = unsafe receive(
        in: mailbox, from: connection, tag: operation.tag, mask: operation.mask, base: operation.base, capacity: operation.count,
        allocates: operation.allocates, keeper: operation.keeper, drops: operation.drops, deadline: operation.deadline)
      wait(started, target, number)
    case .flush(let mailbox): waitFlush(unsafe core.pointee.flush(mailbox, deadline: operation.deadline), target, number)
    case .flushConnection(let connection):
      if connection == MessagePort.nothing { return tell(target, Completion(.closed)) }
      waitFlush(unsafe core.pointee.flush(connection, deadline: operation.deadline), target, number)
    case .run(let body): body()
    case .cancel(let kind, let slot): cancel(kind, slot, number)
    }
  }

  /// A send's target waits in its slot, or is told.
  @inline(__always) func settle(_ started: Started, _ target: consuming CompletionTarget, _ number: UInt64) {
    switch started {
    case .done(let completion): tell(target, completion)
    case .pending(let index):
      let slot = unsafe sends.pointer(index)
      unsafe slot.pointee.target = target
      unsafe slot.pointee.operation = number
    }
  }

  /// A receive's target waits in its slot, or is told.
  @inline(__always) func wait(_ started: Started, _ target: consuming CompletionTarget, _ number: UInt64) {
    switch started {
    case .done(let completion): tell(target, completion)
    case .pending(let index):
      let slot = unsafe receives.pointer(index)
      unsafe slot.pointee.target = target
      unsafe slot.pointee.operation = number
    }
  }

  func waitFlush(_ outcome: FlushOutcome, _ target: consuming CompletionTarget, _ number: UInt64) {
    switch outcome {
    case .done: tell(target, Completion())
    case .refused(let refusal): tell(target, Completion(Self.code(refusal)))
    case .waiting(let id):
      let slot = unsafe flushes.pointer(id.slot)
      unsafe slot.pointee.id = id
      unsafe slot.pointee.target = target
      unsafe slot.pointee.operation = number
    }
  }

  // MARK: Cancellation

  /// Cancels the operation with this number: in its slot when that is known, else wherever it is. Over already, or in its last step: false.
  @discardableResult func cancel(_ kind: Operation.Cancellable, _ index: UInt32?, _ number: UInt64) -> Bool {
    var isCancelled = false
    switch kind {
    case .send:
      unsafe find(sends, index, number, \.operation) { slot in
        guard let id = unsafe slot.pointee.id else { return }
        switch unsafe core.pointee.cancel(id) {
        case .cancelled: unsafe end(slot, Completion(.cancelled))
        case .underWay: unsafe pin(slot, Completion(.cancelled))
        case .unknown: return
        }
        isCancelled = true
      }
    case .receive:
      unsafe find(receives, index, number, \.operation) { slot in
        guard let id = unsafe slot.pointee.id else { return }
        switch unsafe core.pointee.cancel(id) {
        case .cancelled: abandon(id.slot, Completion(.cancelled))
        case .underWay: report(id.slot, .cancelled)
        case .unknown: return
        }
        isCancelled = true
      }
    case .flush:
      unsafe find(flushes, index, number, \.operation) { slot in
        guard let id = unsafe slot.pointee.id else { return }
        _ = unsafe core.pointee.cancel(id)
        let target = unsafe take(&slot.pointee.target)
        unsafe slot.pointee = FlushSlot()
        tell(target, Completion(.cancelled))
        isCancelled = true
      }
    }
    return isCancelled
  }

  private func find<Slot>(
    _ table: borrowing SlotTable<Slot>, _ index: UInt32?, _ number: UInt64, _ operation: KeyPath<Slot, UInt64>,
    _ body: (UnsafeMutablePointer<Slot>) -> Void
  ) {
    if let index {
      let slot = unsafe table.pointer(index)
      if unsafe slot.pointee[keyPath: operation] == number { unsafe body(slot) }
      return
    }
    // Only of a cancelled operation that came from another thread: rare, so it is looked for.
    var found: UnsafeMutablePointer<Slot>?
    unsafe table.visit { slot in if unsafe slot.pointee[keyPath: operation] == number { unsafe found = slot } }
    if let found = unsafe found { unsafe body(found) }
  }

  /// A number for an operation started by the owner of the lock; those of other threads are even.
  func nextNumber() -> UInt64 {
    unsafe work.pointee.operationCount &+= 2
    return unsafe work.pointee.operationCount | 1
  }
}
