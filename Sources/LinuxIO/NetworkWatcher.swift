internal import CLinux
internal import CausewayBase
internal import Glibc

/// Tells when this machine's links, addresses or routes changed (rtnetlink(7)): a moment to try again, or to doubt a connection.
///
/// Changes come in bursts; one call follows `settling` after the first of a burst. Calls without a change that matters are normal
/// (router advertisements refresh what is already there).
public final class NetworkWatcher: EventHandler {
  private let loop: EventLoop
  private let settling: Duration
  private let changed: () -> Void
  private var descriptor: CInt
  private var registration: EventLoop.Registration?
  private var timer: LoopTimer?

  public init(on loop: EventLoop, settling: Duration = .milliseconds(200), _ changed: @escaping () -> Void) throws(SystemError) {
    descriptor = CInt(try SystemError.check(Int(shim_network_monitor()), "netlink socket"))
    self.loop = loop
    self.settling = settling
    self.changed = changed
    registration = try loop.register(descriptor, self, levelTriggered: true)
    timer = LoopTimer(loop) { [unowned self] _ in self.changed() }
  }

  deinit {
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
  }

  public func handle(_ readiness: Readiness) {
    guard descriptor >= 0, shim_network_monitor_drain(descriptor) != 0, let timer, !timer.isArmed else { return }
    timer.set(after: settling)
  }

  public func close() {
    guard descriptor >= 0 else { return }
    if let registration { loop.deregister(registration) }
    registration = nil
    timer = nil
    _ = Glibc.close(descriptor)
    descriptor = -1
  }
}
