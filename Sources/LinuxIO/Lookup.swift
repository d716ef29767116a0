internal import CausewayBase
internal import Synchronization

/// One question to a `Resolver`.
// @unchecked Sendable: resolver threads use `host`, `isAbandoned` and `deliver`; everything else belongs to the loop's thread.
public final class Lookup: EventHandler, @unchecked Sendable {
  let host: String
  private let port: UInt16
  private let loop: EventLoop
  private let abandoned = Atomic<Bool>(false)
  private var completion: ((Result<[SocketAddress], ResolveError>) -> Void)?
  private var timer: LoopTimer?
  private var answer: Result<[SocketAddress], ResolveError>?

  init(_ host: String, _ port: UInt16, _ loop: EventLoop, _ completion: @escaping (Result<[SocketAddress], ResolveError>) -> Void) {
    loop.preconditionOnLoop()
    self.host = host
    self.port = port
    self.loop = loop
    self.completion = completion
  }

  /// Forgets it: the completion will not run. On the loop's thread.
  public func cancel() {
    loop.preconditionOnLoop()
    abandoned.store(true, ordering: .relaxed)
    completion = nil
    timer = nil
    answer = nil
  }

  /// Whether nobody waits for the answer any more.
  var isAbandoned: Bool { abandoned.load(ordering: .relaxed) }

  /// Called by a resolver thread; an answer after deadline or cancellation is dropped on the loop.
  func deliver(_ answer: Result<[SocketAddress], ResolveError>) { loop.post { self.finish(answer) } }

  func watch(_ deadline: Instant) {
    guard deadline != .distantFuture else { return }
    let timer = LoopTimer(loop) { [unowned self] _ in finish(.failure(.deadline)) }
    timer.set(at: deadline)
    self.timer = timer
  }

  func finishSoon(_ answer: Result<[SocketAddress], ResolveError>) {
    self.answer = answer
    loop.runSoon(self)
  }

  public func handle(_ readiness: Readiness) {
    if let answer { finish(answer) }
  }

  private func finish(_ answer: Result<[SocketAddress], ResolveError>) {
    guard let completion else { return }
    cancel()
    completion(
      answer.map { addresses in
        addresses.map { address in
          var address = address
          address.port = port
          return address
        }
      })
  }
}
