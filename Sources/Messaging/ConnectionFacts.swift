internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Synchronization

/// What is known of a connection beside its messages, after its end too.
final class ConnectionFacts: Sendable {
  /// The bootstrap socket's two ends; nil when the system doesn't say.
  let local: SocketAddress?
  let remote: SocketAddress?
  private let last = Mutex<MessagingCounters?>(nil)

  init(local: SocketAddress?, remote: SocketAddress?) {
    self.local = local
    self.remote = remote
  }

  /// The figures at the end: what was under way then is not any more.
  var final: MessagingCounters? {
    get { last.withLock { $0 } }
    set { last.withLock { $0 = newValue } }
  }
}
