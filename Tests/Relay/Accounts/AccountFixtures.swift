import CausewayRelayCore
import Glibc

@testable import CausewayRelay

let day: Int64 = 86_400
let start = WallTime(seconds: 1_800_000_000)

/// A folder that goes with its last user.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    var template = [CChar]("/tmp/causeway-test-XXXXXX".utf8CString)
    let made = unsafe mkdtemp(&template) != nil
    precondition(made, "cannot make a folder in /tmp")
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(path) }

  private static func remove(_ path: String) {
    if let stream = unsafe opendir(path) {
      var names: [String] = []
      while let entry = unsafe readdir(stream) {
        names.append(unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
      }
      unsafe closedir(stream)
      for name in names where name != "." && name != ".." { remove(path + "/" + name) }
    }
    unsafe _ = Glibc.remove(path)
  }

  var data: DataDirectory { DataDirectory(path: path + "/relay") }
}

func mode(_ path: String) -> UInt32? {
  var status = stat()
  return unsafe stat(path, &status) == 0 ? status.st_mode & 0o777 : nil
}

func name(_ text: String) throws -> TunnelName { try TunnelName(label: text) }

func email(_ text: String) -> EmailAddress { EmailAddress(text)! }

extension SQLiteStore {
  func makeAccount(_ address: String) throws -> (Account, Token) {
    let token = Token.make()
    return (try addAccount(email(address), token: token.hash, at: start), token)
  }
}

func contents(of path: String) -> [UInt8]? {
  let descriptor = unsafe open(path, O_RDONLY)
  if descriptor < 0 { return nil }
  defer { close(descriptor) }
  var result: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = unsafe piece.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
    if count <= 0 { return result }
    result += piece[..<count]
  }
}

func write(_ bytes: [UInt8], to path: String) {
  let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  precondition(descriptor >= 0, "cannot write a file of the test")
  let count = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
  precondition(count == bytes.count, "cannot write a file of the test")
  close(descriptor)
}
