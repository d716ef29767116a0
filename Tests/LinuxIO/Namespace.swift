import CLinux
import Glibc
import Testing

@testable import CausewayLinuxIO

/// Runs `body` on a thread of its own in a new, empty network namespace (root), and gives what it returns.
func inNewNamespace<R: Sendable>(_ body: @escaping @Sendable () throws -> R) throws -> R {
  let result = Shared<Result<R, any Error>?>(nil)
  let thread = try Thread(name: "namespace") {
    guard shim_enter_new_network_namespace() == 0 else { return }
    result.value = Result { try body() }
  }
  thread.join()
  return try #require(result.value, "no namespace").get()
}

let isRoot = geteuid() == 0

/// Waits until the descriptor is readable; false after five seconds.
func isReadable(_ descriptor: CInt) -> Bool {
  var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
  return unsafe poll(&entry, 1, 5000) == 1
}
