internal import CausewayBase
package import CausewaySupport

/// Events of a client as JSON lines; docs/json-events.md is their schema.
package enum EventLines {
  /// A visitor may send 16 KiB of target: nobody wants that in a line, and a line must fit a pipe's atomic write.
  package static let maximumTargetByteCount = 2048

  /// A tunnel as `ready` lists it.
  package struct Tunnel: Equatable, Sendable {
    package var name: String
    package var url: String
    package var local: String
    package init(name: String, url: String, local: String) {
      self.name = name
      self.url = url
      self.local = local
    }
  }

  package enum Event: Equatable, Sendable {
    case ready([Tunnel])
    case reconnecting(reason: String, delay: Duration)
    case resumed(outage: Duration, isNewSession: Bool)
    case urlChanged(name: String, url: String)
    case tunnelLost(name: String, url: String, reason: String)
    /// `dropped`: requests before it that had no line, since nobody read.
    case request(tunnel: String, method: String, target: String, status: Int?, duration: Duration, dropped: Int)
    case localDown(tunnel: String, local: String, reason: String)
    case localUp(tunnel: String, local: String)
    case error(message: String, exitCode: Int32)
    case closed(reason: String, exitCode: Int32)
  }

  /// One line with its end. `time` is RFC 3339.
  package static func line(_ event: Event, time: String) -> String {
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    json.object { json in
      switch event {
      case .ready(let tunnels):
        json.member("event", "ready")
        json.member("url", tunnels.first?.url ?? "")
        json.member("time", time)
        json.key("tunnels")
        json.array { json in
          for tunnel in tunnels {
            json.object { json in
              json.member("name", tunnel.name)
              json.member("url", tunnel.url)
              json.member("local", tunnel.local)
            }
          }
        }
      case .reconnecting(let reason, let delay):
        json.member("event", "reconnecting")
        json.member("reason", reason)
        json.member("retry_in", rounded(delay))
      case .resumed(let outage, let isNewSession):
        json.member("event", "resumed")
        json.member("outage", rounded(outage))
        json.member("new_session", isNewSession)
      case .urlChanged(let name, let url):
        json.member("event", "url_changed")
        json.member("url", url)
        json.member("tunnel", name)
      case .tunnelLost(let name, let url, let reason):
        json.member("event", "tunnel_lost")
        json.member("tunnel", name)
        json.member("url", url)
        json.member("reason", reason)
      case .request(let tunnel, let method, let target, let status, let duration, let dropped):
        json.member("event", "request")
        json.member("tunnel", tunnel)
        json.member("method", method)
        json.member("target", shortened(target))
        if let status {
          json.member("status", status)
        } else {
          json.key("status")
          json.null()
        }
        json.member("duration", rounded(duration))
        if dropped > 0 { json.member("dropped", dropped) }
      case .localDown(let tunnel, let local, let reason):
        json.member("event", "local_down")
        json.member("tunnel", tunnel)
        json.member("local", local)
        json.member("reason", reason)
      case .localUp(let tunnel, let local):
        json.member("event", "local_up")
        json.member("tunnel", tunnel)
        json.member("local", local)
      case .error(let message, let exitCode):
        json.member("event", "error")
        json.member("message", message)
        json.member("exit_code", exitCode)
      case .closed(let reason, let exitCode):
        json.member("event", "closed")
        json.member("reason", reason)
        json.member("exit_code", exitCode)
      }
      if case .ready = event { return }
      json.member("time", time)
    }
    json.finishLine()
    // SAFETY: the bytes live for the closure.
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }

  /// Seconds with microseconds.
  private static func rounded(_ duration: Duration) -> Double { (duration.inSeconds * 1e6).rounded() / 1e6 }

  private static func shortened(_ target: String) -> String {
    target.utf8.count <= maximumTargetByteCount ? target : String(decoding: target.utf8.prefix(maximumTargetByteCount), as: UTF8.self) + "…"
  }
}

extension TunnelEvent.Failure {
  /// The verdict that it becomes.
  package var exitCode: ExitCode {
    switch kind {
    case .refused: .refused
    case .temporary: .temporary
    case .other: .failure
    case .usage: .usage
    }
  }
}
