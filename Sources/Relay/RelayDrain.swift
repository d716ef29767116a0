internal import CausewayBase
internal import CausewayLinuxIO

/// An orderly end: nobody new comes in, what runs may finish, clients are told, then it is over.
final class RelayDrain {
  /// What visitors' running requests, WebSockets and TCP connections have to finish.
  static let requestLimit = Duration.seconds(5)
  /// What clients have to take their last word.
  static let farewellLimit = Duration.seconds(1)
  static let step = Duration.milliseconds(20)

  private let ingress: Ingress
  private let sessions: SessionRegistry
  private let completion: () -> Void
  private let end: Instant
  private var timer: LoopTimer?
  private var isDismissing = false
  private var isOver = false

  /// The listeners are closed already.
  init(
    _ ingress: Ingress, _ sessions: SessionRegistry, requestLimit: Duration = RelayDrain.requestLimit, _ completion: @escaping () -> Void
  ) {
    self.ingress = ingress
    self.sessions = sessions
    self.completion = completion
    end = ingress.loop.now + requestLimit
    ingress.beginDraining()
    sessions.beginDraining()
    timer = LoopTimer(ingress.loop) { [unowned self] now in advance(now) }
    timer?.set(after: .zero)
  }

  private func advance(_ now: Instant) {
    if isDismissing { return finish() }
    guard !ingress.isBusy || now >= end else {
      timer?.set(after: Self.step)
      return
    }
    isDismissing = true
    timer?.set(after: Self.farewellLimit)
    ingress.closeAll()
    sessions.dismissAll { [weak self] in self?.finish() }
  }

  private func finish() {
    guard !isOver else { return }
    isOver = true
    timer?.cancel()
    completion()
  }
}
