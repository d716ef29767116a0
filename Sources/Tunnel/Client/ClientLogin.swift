internal import CausewayCrypto
internal import CausewayLanes
internal import CausewayTunnelCore

/// What a login brought.
enum LoginOutcome {
  /// A new session stands on the lane.
  case started(SessionSecret)
  /// The old one goes on.
  case resumed(generation: UInt32)
  case refused(ControlError)
  case broken(String)
}

/// A client's words on a fresh lane: token, then the proof for the session it had, or the wish for a new one.
final class ClientLogin: ControlExchangeOwner {
  private let lane: Lane
  private let previous: (secret: SessionSecret, generation: UInt32)?
  private let completion: (LoginOutcome) -> Void
  private var exchange: ControlExchange?
  private var isOver = false

  init(_ lane: Lane, token: SecretKey, resuming previous: (SessionSecret, UInt32)?, _ completion: @escaping (LoginOutcome) -> Void) {
    self.lane = lane
    self.previous = previous
    self.completion = completion
    let exchange = ControlExchange(lane, self)
    self.exchange = exchange
    exchange.send(.authenticate(token: token.text, version: ControlMessage.version))
  }

  var acceptsMessages: Bool { !isOver }

  func exchangeReceived(_ message: ControlMessage) {
    switch message {
    case .accepted(let version, let nonce):
      guard version == ControlMessage.version, nonce.count == SessionSecret.nonceByteCount else {
        return finish(
          .refused(
            ControlError(
              .versionUnsupported, "the relay speaks version \(version), this client \(ControlMessage.version): update the relay")))
      }
      guard let previous else {
        exchange?.send(.start)
        return
      }
      let own = SecureRandom.bytes(InlineArray<32, UInt8>.self)
      let clientNonce = own.indices.map { own[$0] }
      let proof = previous.secret.proof(relayNonce: nonce, clientNonce: clientNonce, generation: previous.generation)
      exchange?.send(.resume(id: previous.secret.id, generation: previous.generation, nonce: clientNonce, proof: proof))
    case .started(let id, let key):
      guard let secret = SessionSecret(id: id, key: SecretKey(copying: key.span)) else {
        return finish(.broken("the relay's session is malformed"))
      }
      finish(.started(secret))
    case .resumed(let generation): finish(.resumed(generation: generation))
    case .error(let error) where error.code == .resumeRefused: exchange?.send(.start)
    case .error(let error): finish(.refused(error))
    default: break
    }
  }

  func exchangeFailed(_ reason: String) { finish(.broken(reason)) }

  func cancel() {
    guard !isOver else { return }
    isOver = true
    exchange?.end()
    lane.close()
  }

  private func finish(_ outcome: LoginOutcome) {
    guard !isOver else { return }
    isOver = true
    exchange?.end()
    completion(outcome)
  }
}

extension SecretKey {
  /// For the one message that carries it.
  var text: String {
    var text = ""
    let bytes = self.bytes
    for index in bytes.indices { text.unicodeScalars.append(Unicode.Scalar(bytes[index])) }
    return text
  }
}
