internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTelemetry
internal import CausewayTunnelCore

/// A lane until it belongs to a session: token, then a new session or the proof for an old one. Nothing is allocated for a peer beyond its
/// lane before it has proven who it is.
final class LaneLogin: ControlExchangeOwner {
  /// From the 101 to a session.
  static let limit = Duration.seconds(10)

  private enum State {
    case authentication, authenticating
    case start(Account, TokenHash)
    case over
  }

  private let lane: Lane
  private unowned let sessions: SessionRegistry
  private var exchange: ControlExchange?
  private var state = State.authentication
  private let nonce = Secrets.random(byteCount: SessionSecret.nonceByteCount)
  private var timer: LoopTimer?

  /// The peer's address, for the log.
  private let peer: String

  init(_ lane: Lane, from peer: String, _ sessions: SessionRegistry) {
    self.lane = lane
    self.peer = peer
    self.sessions = sessions
    let timer = LoopTimer(sessions.loop) { [weak self] _ in self?.timedOut() }
    timer.set(after: Self.limit)
    self.timer = timer
    exchange = ControlExchange(lane, self)
  }

  var acceptsMessages: Bool {
    switch state {
    case .authentication, .start: true
    case .authenticating, .over: false
    }
  }

  func exchangeReceived(_ message: ControlMessage) {
    switch (state, message) {
    case (.authentication, .authenticate(let token, let version)):
      guard version >= ControlMessage.version else {
        sessions.logRefusal("client too old", peer)
        return refuse(ControlError(.versionUnsupported, "this relay speaks version \(ControlMessage.version): update the client"))
      }
      state = .authenticating
      sessions.authenticate(token) { [weak self] in self?.authenticated($0) }
    case (.start(let account, let token), .start):
      if sessions.isFull {
        return refuse(ControlError(.busy, "the relay has all the sessions it can hold: try again later", retryAfter: 30))
      }
      leave()
      sessions.startSession(on: lane, account, token)
    case (.start(let account, let token), .resume(let id, let generation, let clientNonce, let proof)):
      guard
        let session = sessions.sessionToResume(
          id, generation: generation, account: account, relayNonce: nonce, clientNonce: clientNonce, proof: proof)
      else {
        sessions.log.debug("resume refused", ["peer": .string(peer), "account": .string(account.email)])
        // Unknown, ended, another account's, a stale generation or a wrong proof: one answer for all. The lane may start anew.
        exchange?.send(.error(ControlError(.resumeRefused, "the session cannot be resumed: start a new one")))
        return
      }
      leave()
      session.resume(on: lane, token, from: generation)
    default: refuse(ControlError(.protocolError, "unexpected message during login"))
    }
  }

  func exchangeFailed(_ reason: String) { leave() }

  private func authenticated(_ result: AuthenticationOutcome) {
    guard case .authenticating = state else { return }
    switch result {
    case .accepted(let account, let token):
      sessions.metrics.logins.add()
      sessions.log.debug("login accepted", ["peer": .string(peer), "account": .string(account.email)])
      state = .start(account, token)
      exchange?.send(.accepted(version: ControlMessage.version, nonce: nonce))
      exchange?.proceed()
    case .refused:
      sessions.metrics.refusedLogins.add()
      sessions.logRefusal("token refused", peer)
      refuse(ControlError(.unauthorized, "the relay does not accept this token: check it, or ask the relay's owner for a new one"))
    case .busy: refuse(ControlError(.busy, "the relay is busy: try again soon", retryAfter: 2))
    }
  }

  func refuse(_ error: ControlError) {
    exchange?.send(.error(error))
    lane.closeAfterFlush()
    lane.flushNow()
    leave()
  }

  private func timedOut() {
    lane.close()
    leave()
  }

  /// Who it is, once its token is accepted.
  var account: AccountID? { if case .start(let account, _) = state { account.id } else { nil } }
  var token: TokenHash? { if case .start(_, let token) = state { token } else { nil } }

  private func leave() {
    state = .over
    timer?.cancel()
    exchange?.end()
    sessions.loginEnded(self)
  }
}
