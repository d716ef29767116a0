import Glibc

/// Runs a command line in /bin/sh and gives what it wrote, both streams, and its exit code.
func shell(_ command: String) -> (output: String, code: Int32) {
  guard let stream = unsafe popen("{ \(command)\n} 2>&1", "r") else { return ("cannot run", -1) }
  var output: [UInt8] = []
  while true {
    let byte = unsafe fgetc(stream)
    if byte < 0 { break }
    output.append(UInt8(byte))
  }
  let status = unsafe pclose(stream)
  return (String(decoding: output, as: UTF8.self), (status >> 8) & 0xFF)
}

func isInstalled(_ program: String) -> Bool { shell("command -v \(program)").code == 0 }

/// A folder of this test alone, removed at the end of its life.
final class TemporaryFolder {
  let path: String

  init() {
    var template = Array("/tmp/causeway-test-XXXXXX".utf8CString)
    _ = unsafe mkdtemp(&template)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = shell("rm -rf '\(path)'") }

  @discardableResult
  func write(_ name: String, _ text: String, mode: mode_t = 0o600) -> String {
    let file = path + "/" + name
    let stream = unsafe fopen(file, "w")!
    _ = unsafe fputs(text, stream)
    unsafe fclose(stream)
    _ = unsafe chmod(file, mode)
    return file
  }

  func read(_ name: String) -> String { shell("cat '\(path)/\(name)'").output }
  func mode(_ name: String) -> String { String(shell("stat -c %a '\(path)/\(name)'").output.dropLast()) }
}
