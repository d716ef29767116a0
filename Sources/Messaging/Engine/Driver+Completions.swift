internal import CausewayMessagingCore

/// How the end of an operation reaches whoever started it.
extension Driver {
  /// Runs what was completed to callbacks. Returns whether there were any.
  @inline(__always) func runCallbacks() -> Bool {
    if unsafe work.pointee.callbacks.isEmpty { return false }
    callBack()
    return true
  }

  @inline(never) private func callBack() {
    var rounds = 0
    while unsafe !work.pointee.callbacks.isEmpty && rounds < 16 {
      unsafe swap(&work.pointee.callbacks, &work.pointee.runningCallbacks)
      // A callback may start operations, which add to `callbacks` and never to the list that is walked.
      unsafe work.pointee.runningCallbacks.runAll()
      rounds += 1
      settle()
    }
  }

  /// Empties a slot's target without counting references.
  @inline(__always) func take(_ target: inout CompletionTarget) -> CompletionTarget {
    var taken = CompletionTarget.none
    swap(&taken, &target)
    return taken
  }

  /// Tells an end. Callbacks run later, on the engine's thread.
  @inline(__always) func tell(_ target: consuming CompletionTarget, _ outcome: Completion) {
    switch consume target {
    case .none: unsafe outcome.unownedBuffer?.release()
    case .continuation(let continuation): unsafe continuation.resume(returning: outcome)
    case .callback(let callback): unsafe work.pointee.callbacks.append(callback, outcome)
    case .queue(let queue, let user): queue.push(user, outcome)
    case .batch(let batch, let index): batch.set(index, outcome)
    case .share(let share, let index): share.end(index, outcome)
    case .blocking(let wait, let index): wait.set(index, outcome)
    case .lookOut: unsafe work.pointee.seen = outcome
    }
  }
}
