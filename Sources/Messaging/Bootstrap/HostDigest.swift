internal import CausewayCrypto
internal import CausewayLinuxIO
internal import Glibc

/// Names of hosts, or of parts of one, that peers compare and that say nothing else.
enum HostDigest {
  static let byteCount = 16
  private static let boot = (try? Files.read("/proc/sys/kernel/random/boot_id", atMost: 64)) ?? []

  /// Who can attach what this process shares, and the other way round: processes of the same user in the same namespaces of one host.
  /// - Parameter owner: The user who made the engine, whose shared memory it is. The present one attaches that of others.
  static func sharing(owner: uid_t) -> [UInt8] { make("messaging sharing", ["pid", "user", "ipc"], " \(owner) \(geteuid())") }

  /// Differs between boots, machines, and the namespaces with these names (namespaces(7)).
  static func make(_ purpose: String, _ namespaces: [String], _ more: String = "") -> [UInt8] {
    var text = boot
    for space in namespaces {
      var status = stat()
      // SAFETY: a local that outlives the call.
      if unsafe stat("/proc/self/ns/\(space)", &status) == 0 { text += Array(" \(status.st_ino)".utf8) }
    }
    text += Array(more.utf8)
    let digest = HMACSHA256.authenticate(text.span, key: Array(purpose.utf8).span)
    return (0..<byteCount).map { digest[$0] }
  }
}
