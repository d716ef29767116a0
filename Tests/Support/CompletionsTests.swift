import CausewaySupport
import Testing

/// The scripts run in the real shells.
@Suite struct CompletionsTests {
  static let cases: [(line: String, expected: [String], unexpected: [String])] = [
    ("rel", ["relay"], ["http"]),
    ("", ["http", "tcp", "relay", "completions"], ["account"]),
    ("relay account ", ["add", "list", "disable", "remove"], ["create", "http"]),
    ("relay --data d to", ["token"], []),
    ("completions ", ["bash", "zsh", "fish"], ["http"]),
    ("http --log-level d", ["debug"], ["info"]),
    ("http --sub", ["--subdomain"], ["--server"]),
    ("http --tok", ["--token-file"], ["--token"]),
    ("relay token create --j", ["--json"], []),
  ]

  func script(_ shell: Completions.Shell, in folder: TemporaryFolder) -> String {
    folder.write("script", Completions.script(for: Program.table, shell))
  }

  func check(_ output: String, _ expected: [String], _ unexpected: [String], _ line: String) {
    let words = Set(output.split { $0 == "\n" }.map { String($0.split { $0 == "\t" || $0 == ":" }.first ?? "") })
    for word in expected { #expect(words.contains(word), "\(line): \(output)") }
    for word in unexpected { #expect(!words.contains(word), "\(line): \(output)") }
  }

  @Test("bash", .enabled(if: isInstalled("bash")), arguments: cases)
  func bash(_ line: String, _ expected: [String], _ unexpected: [String]) {
    let folder = TemporaryFolder()
    let words = ["causeway"] + line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    let list = words.map { "'\($0)'" }.joined(separator: " ")
    let file = script(.bash, in: folder)
    let result = shell(
      "bash --norc -c \"source \(file); COMP_WORDS=(\(list)); COMP_CWORD=\(words.count - 1); _causeway; printf '%s\\\\n' \\\"\\${COMPREPLY[@]}\\\"\""
    )
    #expect(result.code == 0)
    check(result.output, expected, unexpected, line)
  }

  @Test("bash splits words at =", .enabled(if: isInstalled("bash")), arguments: [("--log-format =", "json"), ("--log-format = t", "text")])
  func bashEquals(_ tail: String, _ expected: String) {
    let folder = TemporaryFolder()
    let file = script(.bash, in: folder)
    let count = tail.split(separator: " ").count
    let result = shell(
      "bash --norc -c \"source \(file); COMP_WORDS=(causeway http \(tail)); COMP_CWORD=\(1 + count); _causeway; printf '%s\\\\n' \\\"\\${COMPREPLY[@]}\\\"\""
    )
    check(result.output, [expected], ["http"], tail)
  }

  @Test("zsh", .enabled(if: isInstalled("zsh")), arguments: cases)
  func zsh(_ line: String, _ expected: [String], _ unexpected: [String]) {
    let folder = TemporaryFolder()
    let words = ["causeway"] + line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    let list = words.map { "'\($0)'" }.joined(separator: " ")
    let file = script(.zsh, in: folder)
    // The completion system's own functions need a terminal: these print what they are given.
    let harness = folder.write(
      "harness",
      """
      _describe() { local name=$2; local item; for item in "${(P@)name}"; do print -r -- "$item"; done }
      compadd() { shift; print -rl -- "$@" }
      compset() { : }
      _files() { print FILES }
      _message() { print MESSAGE }
      source \(file)
      words=(\(list)) CURRENT=\(words.count)
      _causeway
      """)
    let result = shell("zsh -f \(harness)")
    #expect(result.code == 0)
    // zsh filters by the prefix itself.
    let prefix = words[words.count - 1]
    let matching = result.output.split(separator: "\n").filter { $0.hasPrefix(prefix) }.joined(separator: "\n")
    check(matching, expected, unexpected, line)
  }

  @Test("fish", .enabled(if: isInstalled("fish")), arguments: cases)
  func fish(_ line: String, _ expected: [String], _ unexpected: [String]) {
    let folder = TemporaryFolder()
    let file = script(.fish, in: folder)
    let result = shell("HOME=\(folder.path) fish --no-config -c \"source \(file); complete -C 'causeway \(line)'\"")
    #expect(result.code == 0)
    check(result.output, expected, unexpected, line)
  }

  @Test("every shell accepts its script", arguments: Completions.Shell.allCases)
  func syntax(_ kind: Completions.Shell) {
    let folder = TemporaryFolder()
    let file = script(kind, in: folder)
    if !isInstalled(kind.rawValue) { return }
    let result = shell("\(kind.rawValue) -n \(file)")
    #expect(result.code == 0 && result.output.isEmpty, "\(result.output)")
  }
}
