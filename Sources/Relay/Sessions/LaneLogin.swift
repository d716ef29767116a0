internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayTunnelCore

/// A lane until it belongs to a session: token, then a new session or the proof for an old one. Nothing is allocated for a peer beyond its
/// lane before it has proven who it is.
final class LaneLogin: LaneOwner {
  /// From the 101 to a session.
  static let limit = Duration.seconds(10)
  /// A control message before login.
  static let messageByteLimit = 4096

  private enum State { case authentication, authenticating, start(Account, TokenHash), over }

  private let lane: Lane
  private unowned let sessions: SessionRegistry
  private var state = State.authentication
  private let nonce = Secrets.random(byteCount: SessionSecret.nonceByteCount)
  private let output = ByteBuffer()
  private var timer: LoopTimer?

  init(_ lane: Lane, _ sessions: SessionRegistry) {
    self.lane = lane
    self.sessions = sessions
    let timer = LoopTimer(sessions.loop) { [weak self] _ in self?.end() }
    timer.set(after: Self.limit)
    self.timer = timer
    lane.start(self)
  }

  // MARK: LaneOwner

  func laneReceived(_ bytes: Span<UInt8>) -> Int {
    switch state {
    case .authenticating, .over: return 0
    case .authentication, .start: break
    }
    guard bytes.count >= FrameHeader.byteCount else { return 0 }
    guard let count = FrameHeader.controlFrameByteCount(bytes) else {
      if bytes[0] != FrameHeader.Kind.control.rawValue || bytes.count > Self.messageByteLimit { end() }
      return 0
    }
    guard count <= Self.messageByteLimit else {
      end()
      return 0
    }
    do throws(ControlError) {
      receive(try ControlMessage(bytes.extracting(FrameHeader.byteCount..<count)))
    } catch {
      refuse(error)
    }
    return count
  }

  func laneWantsOutput(into out: ByteBuffer, target: Int) {
    out.append(output)
    output.removeAll()
  }

  func laneClosed(_ reason: String) { leave() }

  // MARK: Steps

  private func receive(_ message: ControlMessage) {
    switch (state, message) {
    case (.authentication, .authenticate(let token, let version)):
      guard version >= ControlMessage.version else {
        return refuse(ControlError(.versionUnsupported, "this relay speaks version \(ControlMessage.version): update the client"))
      }
      state = .authenticating
      sessions.authenticate(token) { [weak self] in self?.authenticated($0) }
    case (.start(let account, let token), .start):
      leave()
      sessions.startSession(on: lane, account, token)
    case (.start(let account, let token), .resume(let id, let generation, let clientNonce, let proof)):
      guard
        let session = sessions.sessionToResume(
          id, generation: generation, account: account, relayNonce: nonce, clientNonce: clientNonce, proof: proof)
      else {
        // Unknown, ended, another account's, a stale generation or a wrong proof: one answer for all. The lane may start anew.
        return send(.error(ControlError(.resumeRefused, "the session cannot be resumed: start a new one")))
      }
      leave()
      session.resume(on: lane, token)
    default: refuse(ControlError(.protocolError, "unexpected message during login"))
    }
  }

  private func authenticated(_ result: AuthenticationOutcome) {
    guard case .authenticating = state else { return }
    switch result {
    case .accepted(let account, let token):
      state = .start(account, token)
      send(.accepted(version: ControlMessage.version, nonce: nonce))
      lane.stream.continueSoon()
    case .refused:
      refuse(ControlError(.unauthorized, "the relay does not accept this token: check it, or ask the relay's owner for a new one"))
    case .busy: refuse(ControlError(.busy, "the relay is busy: try again soon", retryAfter: 2))
    }
  }

  private func send(_ message: ControlMessage) {
    let scratch = ByteBuffer()
    message.encode(to: scratch)
    FrameHeader.appendControl(scratch.bytes, to: output)
    lane.scheduleFlush()
  }

  private func refuse(_ error: ControlError) {
    send(.error(error))
    state = .over
    lane.closeAfterFlush()
  }

  private func leave() {
    state = .over
    timer?.cancel()
    sessions.loginEnded(self)
  }

  private func end() {
    lane.close()
    leave()
  }
}
