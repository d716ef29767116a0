import CLinux
import Foundation

/// Certificates made by the openssl program in a folder of its own, once for all TLS tests; removed when the process ends.
struct TLSFixture: Sendable {
  static let shared = TLSFixture()

  let folder: String
  /// An authority, and what it issued: for localhost and 127.0.0.1, for another name, and one that has expired.
  let authority, server, other, expired: Pair
  /// Nobody's but its own.
  let selfSigned: Pair

  struct Pair: Sendable {
    let certificate: String
    let key: String
  }

  private init() {
    let folder = FileManager.default.temporaryDirectory.path + "/causeway-tls-\(getpid())"
    try! FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    atexit { try? FileManager.default.removeItem(atPath: TLSFixture.shared.folder) }
    self.folder = folder
    func pair(_ name: String) -> Pair { Pair(certificate: "\(folder)/\(name).pem", key: "\(folder)/\(name).key") }
    let names = "subjectAltName=DNS:localhost,DNS:tunnel.example,IP:127.0.0.1"
    func issueSelf(_ name: String, _ extra: [String]) -> Pair {
      let made = pair(name)
      Self.openssl(
        [
          "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj",
          "/CN=\(name) of a test",
        ]
          + ["-keyout", made.key, "-out", made.certificate] + extra)
      return made
    }
    let authority = issueSelf("authority", [])
    func issue(_ name: String, _ names: String, days: Int) -> Pair {
      let made = pair(name)
      Self.openssl(
        ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(name)", "-keyout", made.key]
          + ["-out", "\(folder)/\(name).req"])
      try! "\(names)\n".write(toFile: "\(folder)/\(name).ext", atomically: false, encoding: .utf8)
      Self.openssl(
        ["x509", "-req", "-in", "\(folder)/\(name).req", "-CA", authority.certificate, "-CAkey", authority.key, "-days", "\(days)"]
          + ["-extfile", "\(folder)/\(name).ext", "-out", made.certificate])
      return made
    }
    self.authority = authority
    server = issue("server", names, days: 3)
    other = issue("other", "subjectAltName=DNS:other.example,DNS:*.other.example", days: 3)
    expired = issue("expired", names, days: -1)
    selfSigned = issueSelf("lonely", ["-addext", names])
  }

  /// Runs the openssl program to its end; a failure there is a broken machine, not a failed test.
  static func openssl(_ arguments: [String]) {
    let process = make(arguments)
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try! process.run()
    process.waitUntilExit()
    precondition(process.terminationStatus == 0, "openssl \(arguments.joined(separator: " ")) failed")
  }

  static func make(_ arguments: [String]) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    return process
  }
}
