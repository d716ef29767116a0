internal import CLinux
internal import CausewayBase
internal import Glibc

/// A connection being made by a `Connector`. Dropping it changes nothing; `cancel` ends it.
public final class PendingConnection: EventHandler {
  private let connector: Connector
  private let target: String
  private let deadline: Instant
  private var completion: Connector.Completion?
  private var lookup: Lookup?
  private var addresses: [SocketAddress] = []
  private var nextAddress = 0
  private var attempts: [ConnectAttempt] = []
  private var deadlineTimer: LoopTimer?
  private var delayTimer: LoopTimer?
  private var lastFailure: (code: CInt, address: SocketAddress)?
  /// The end came inside the call that started us, and is told in the next turn.
  private var isStarting = false
  private var outcome: Outcome?

  private enum Outcome {
    case connected(CInt)
    case failed(ConnectError)
  }

  private var loop: EventLoop { connector.loop }

  init(_ connector: Connector, _ target: String, _ deadline: Instant, _ completion: @escaping Connector.Completion) {
    connector.loop.preconditionOnLoop()
    self.connector = connector
    self.target = target
    self.deadline = deadline
    self.completion = completion
    // The timers keep this object alive until it ends; `close` cuts the circle.
    let timer = LoopTimer(connector.loop) { _ in self.expire() }
    timer.set(at: deadline)
    deadlineTimer = timer
  }

  /// Ends it; the completion will not run. On the loop's thread, at any time.
  public func cancel() {
    loop.preconditionOnLoop()
    completion = nil
    close()
  }

  func failAsCancelled() { end(.failed(ConnectError(.cancelled, target))) }

  private func close() {
    lookup?.cancel()
    lookup = nil
    for attempt in attempts { attempt.close() }
    attempts = []
    deadlineTimer = nil
    delayTimer = nil
    if case .connected(let descriptor) = outcome { _ = Glibc.close(descriptor) }
    outcome = nil
  }

  // MARK: Start

  func resolve(_ host: String, _ port: UInt16) {
    lookup = connector.resolver.resolve(host, port: port, on: loop) { answer in
      self.lookup = nil
      switch answer {
      case .success(let found): self.begin(found)
      case .failure(let error): self.end(.failed(ConnectError(.resolve, self.target, resolution: error)))
      }
    }
  }

  func start(_ addresses: [SocketAddress]) {
    isStarting = true
    begin(addresses)
    isStarting = false
  }

  private func begin(_ found: [SocketAddress]) {
    addresses = Self.interleaved(found)
    guard !addresses.isEmpty else { return end(.failed(ConnectError(.resolve, target, resolution: .noSuchHost))) }
    if addresses.count > 1 { delayTimer = LoopTimer(loop) { _ in self.attemptNext() } }
    attemptNext()
  }

  /// Families take turns, beginning with the first address's (RFC 8305 §4); inside a family the order stays.
  static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
    guard let preferred = addresses.first?.family else { return [] }
    let first = addresses.filter { $0.family == preferred }
    let other = addresses.filter { $0.family != preferred }
    var result: [SocketAddress] = []
    for index in 0..<max(first.count, other.count) {
      if index < first.count { result.append(first[index]) }
      if index < other.count { result.append(other[index]) }
    }
    return result
  }

  // MARK: Attempts

  /// Starts attempts until one is under way; each has `attemptDelay` before the next one joins it.
  private func attemptNext() {
    while completion != nil && nextAddress < addresses.count {
      let address = addresses[nextAddress]
      nextAddress += 1
      let attempt = ConnectAttempt(address, self)
      switch attempt.start(on: loop) {
      case .connected: return end(.connected(attempt.take()))
      case .failed(let code): lastFailure = (code, address)
      case .waiting:
        attempts.append(attempt)
        if nextAddress < addresses.count { delayTimer?.set(after: connector.attemptDelay) }
        return
      }
    }
    endIfNothingIsLeft()
  }

  func attemptConnected(_ attempt: ConnectAttempt) { end(.connected(attempt.take())) }

  func attemptFailed(_ attempt: ConnectAttempt, _ code: CInt) {
    lastFailure = (code, attempt.address)
    attempt.close()
    attempts.removeAll { $0 === attempt }
    if nextAddress < addresses.count { attemptNext() } else { endIfNothingIsLeft() }
  }

  private func endIfNothingIsLeft() {
    guard attempts.isEmpty, let lastFailure else { return }
    end(.failed(ConnectError(.connect, target, code: lastFailure.code, address: lastFailure.address)))
  }

  private func expire() {
    let code = lastFailure?.code ?? ETIMEDOUT
    let address = lastFailure?.address ?? attempts.last?.address
    end(.failed(ConnectError(.deadline, target, code: code, address: address, resolution: lookup == nil ? nil : .deadline)))
  }

  // MARK: End

  private func end(_ outcome: Outcome) {
    guard completion != nil, self.outcome == nil else {
      if case .connected(let descriptor) = outcome { _ = Glibc.close(descriptor) }
      return
    }
    close()
    self.outcome = outcome
    if isStarting { loop.runSoon(self) } else { tell() }
  }

  /// The turn after `start`.
  public func handle(_ readiness: Readiness) { tell() }

  private func tell() {
    guard let completion, let outcome else { return }
    self.completion = nil
    self.outcome = nil
    switch outcome {
    case .connected(let descriptor): completion(.success(FileDescriptor(adopting: descriptor)))
    case .failed(let error): completion(.failure(error))
    }
  }
}
