// CausewayLinuxIO: descriptors, the event loop, TCP and TLS streams, names; for packet threads UDP runs, TUN queues, polls and mailboxes;
// netlink. What a man page explains lives here; no protocol decision does. Start with EventLoop, then TCPStream; or with PacketPoll,
// then UDPSocket and TUNDevice.
internal import CLinux
internal import Glibc

/// An errno, with the call that returned it and what it was about.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  public let code: CInt
  public let call: String

  public init(_ code: CInt, _ call: String) {
    self.code = code
    self.call = call
  }

  /// `ECONNREFUSED` as "Connection refused".
  public var message: String { unsafe String(cString: strerror(code)) }
  public var description: String { "\(call): \(message)" }

  /// Turns a shim's `-errno` into a throw.
  @discardableResult
  static func check(_ result: Int, _ call: @autoclosure () -> String) throws(SystemError) -> Int {
    if result < 0 { throw SystemError(CInt(-result), call()) }
    return result
  }
}
