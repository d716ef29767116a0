internal import CLinux
package import CausewaySupport

/// Tells systemd how a service of Type=notify is (sd_notify(3)); silent without NOTIFY_SOCKET.
package struct ServiceManager: Sendable {
  private let path: String?

  package init(_ environment: Environment = .process) {
    path = environment["NOTIFY_SOCKET"].flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
  }

  package func ready(_ status: String) { notify("READY=1\nSTATUS=\(status)\n") }
  package func reloading() { notify("RELOADING=1\nMONOTONIC_USEC=\(shim_monotonic_ns() / 1000)\n") }
  package func stopping() { notify("STOPPING=1\n") }

  private func notify(_ text: String) {
    guard let path else { return }
    // SAFETY: both texts outlive the call. Nobody can be told that the manager doesn't listen.
    unsafe _ = shim_notify(path, text, text.utf8.count)
  }
}
