import Glibc

/// A `messaging-peer`, or another program that is built beside, in a process of its own; killed at the end of its life.
final class Peer {
  let identifier: pid_t
  private let output: CInt
  private var isOver = false

  /// - Parameters:
  ///   - file: Another program, looked for in PATH, instead of one that is built beside.
  ///   - environment: Beside this process's own, and before it.
  convenience init(_ arguments: String..., program: String = "messaging-peer", file: String? = nil, environment: [String] = []) throws {
    try self.init(words: arguments, program: program, file: file, environment: environment)
  }

  init(words arguments: [String], program: String = "messaging-peer", file: String? = nil, environment: [String] = []) throws {
    var ends: [CInt] = [0, 0]
    if unsafe pipe(&ends) != 0 { throw Failed(errno) }
    let path = try file ?? Self.path(program)
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    unsafe posix_spawn_file_actions_addclose(&actions, ends[0])
    var words = unsafe [UnsafeMutablePointer<CChar>?](repeating: nil, count: arguments.count + 2)
    for (index, word) in ([path] + arguments).enumerated() { unsafe words[index] = strdup(word) }
    var count = 0
    while unsafe environ[count] != nil { count += 1 }
    var variables = unsafe [UnsafeMutablePointer<CChar>?](repeating: nil, count: count + environment.count + 1)
    for (index, word) in environment.enumerated() { unsafe variables[index] = strdup(word) }
    for index in 0..<count { unsafe variables[environment.count + index] = environ[index] }
    var child: pid_t = 0
    let result = unsafe posix_spawnp(&child, path, &actions, nil, &words, &variables)
    for index in environment.indices { unsafe free(variables[index]) }
    for index in unsafe words.indices { unsafe free(words[index]) }
    unsafe posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    if result != 0 { throw Failed(result) }
    identifier = child
    output = ends[0]
  }

  deinit {
    kill()
    close(output)
  }

  func kill() {
    if isOver { return }
    isOver = true
    _ = Glibc.kill(identifier, SIGKILL)
    _ = waitpid(identifier, nil, 0)
  }

  func signal(_ number: CInt) { _ = Glibc.kill(identifier, number) }

  /// All its threads stand still when this returns.
  func stop() {
    signal(SIGSTOP)
    _ = waitpid(identifier, nil, WUNTRACED)
  }

  /// Memory that the kernel must free when it dies.
  var residentByteCount: Int {
    guard let file = unsafe fopen("/proc/\(identifier)/statm", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard unsafe fgets(&line, CInt(line.count), file) != nil else { return 0 }
    let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * Int(getpagesize()) : 0
  }

  /// Its next line.
  func line() -> String {
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while unsafe read(output, &byte, 1) == 1 && byte != 10 { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A program that is built beside this one.
  static func path(_ program: String) throws -> String { try folder() + "/" + program }

  /// Where this program lies; the peer is built beside it.
  private static func folder() throws -> String {
    var path = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/exe", &path, path.count)
    if count <= 0 { throw Failed(errno) }
    let text = String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return String(text[..<(text.lastIndex(of: "/") ?? text.startIndex)])
  }
}

/// How many entries a folder has.
func entries(_ path: String) -> Int {
  guard let folder = unsafe opendir(path) else { return 0 }
  var count = 0
  while unsafe readdir(folder) != nil { count += 1 }
  unsafe closedir(folder)
  return count - 2
}
