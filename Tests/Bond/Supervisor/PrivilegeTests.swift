import CausewayLinuxIO
import Glibc
import Testing

@testable import CausewayBond

@Suite struct PrivilegeTests {
  @Test("a process that gave up its privileges is nobody with the kept capabilities, for good")
  func dropped() async {
    await #expect(processExitsWith: .success) {
      let wasRoot = geteuid() == 0
      try dropPrivileges(keeping: [.networkAdministration])
      // Capabilities belong to the thread that gave them up.
      let status = String(decoding: try Files.read("/proc/thread-self/status"), as: UTF8.self)
      func value(_ field: String) -> [Substring] {
        status.split(separator: "\n").first { $0.hasPrefix(field + ":") }?.split(whereSeparator: \.isWhitespace).dropFirst().map { $0 }
          ?? []
      }
      let kept = WorkerPrivileges.networkAdministration.rawValue
      for field in ["CapPrm", "CapEff", "CapInh"] {
        let bits = UInt64(value(field).first ?? "", radix: 16) ?? .max
        precondition(bits & ~kept == 0, "\(field) holds more than was kept: \(bits)")
        precondition(field == "CapInh" || !wasRoot || bits == kept, "\(field) lost what was kept")
      }
      precondition(value("NoNewPrivs") == ["1"], "a program could regain privileges")
      if wasRoot {
        precondition(value("Uid") == ["65534", "65534", "65534", "65534"], "still root: \(value("Uid"))")
        precondition(value("Gid") == ["65534", "65534", "65534", "65534"], "still root's group: \(value("Gid"))")
        precondition(value("Groups").isEmpty, "still in groups: \(value("Groups"))")
        precondition(setuid(0) != 0, "came back as root")
        precondition(value("CapBnd").first.flatMap { UInt64($0, radix: 16) } == kept, "the bounding set holds more")
      }
      exit(0)
    }
  }
}
