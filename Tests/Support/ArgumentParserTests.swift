import CausewaySupport
import Testing

@Suite struct ArgumentParserTests {
  /// A small table with every kind of thing.
  static let program = Command(
    "prog", "a program", options: [CommandOption("verbose", short: "v", "Say more")],
    subcommands: [
      Command(
        "copy", "copy files",
        positionals: [Positional("FROM", "From"), Positional("TO", "To", .some)],
        options: [
          CommandOption("all", short: "a", "All"), CommandOption("force", short: "f", "Force"),
          CommandOption("mode", short: "m", value: "MODE", "Mode", hint: .choices(["fast", "safe"])),
          CommandOption("exclude", short: "x", value: "NAME", "Leave out", repeatable: true),
          CommandOption("password", value: "TEXT", "", refusal: "write it into a file"),
        ]),
      Command(
        "login", "log in", positionals: [Positional("-", "stdin", .optional, hint: .choices(["-"]), refusal: "type it at the prompt")]),
      Command(
        "serve", "serve", options: [CommandOption("data", value: "DIR", "Data"), CommandOption("port", value: "N", "Port")],
        subcommands: [
          Command(
            "user", "users", subcommands: [Command("list", "list them", options: [CommandOption("data", value: "DIR", "Data")])],
            runs: false)
        ]),
    ], runs: false)

  func parse(_ line: String) throws -> ParsedArguments {
    let words = ["prog"] + line.split(separator: " ").map { $0 == "''" ? "" : String($0) }
    guard case .run(let parsed) = try ArgumentParser(Self.program).parse(words) else { throw NotRun() }
    return parsed
  }
  struct NotRun: Error {}

  @Test(
    "options and arguments may mix, be glued, be clustered",
    arguments: [
      ("copy a b", "", "", "a|b"),
      ("copy -af a b c", "af", "", "a|b,c"),
      ("copy a --all b --force", "af", "", "a|b"),
      ("copy --mode fast a b", "", "fast", "a|b"),
      ("copy --mode=safe a b", "", "safe", "a|b"),
      ("copy -mfast a b", "", "fast", "a|b"),
      ("copy -afm fast a b", "af", "fast", "a|b"),
      ("copy -- --all -f", "", "", "--all|-f"),
      ("copy - b", "", "", "-|b"),
      ("copy -a -a a b", "a", "", "a|b"),
    ])
  func values(_ line: String, _ flags: String, _ mode: String, _ words: String) throws {
    let parsed = try parse(line)
    #expect((parsed.flag("all") ? "a" : "") + (parsed.flag("force") ? "f" : "") == flags)
    #expect(parsed.value("mode")?.value ?? "" == mode)
    let got = (parsed.positional("FROM")?.value ?? "") + "|" + parsed.positionals("TO").map(\.value).joined(separator: ",")
    #expect(got == words)
    #expect(parsed.path == ["copy"])
  }

  @Test(
    "a value knows where in argv it begins",
    arguments: [
      ("copy a b --exclude name", "--exclude", 5, 0), ("copy a b --exclude=name", "--exclude", 4, 10), ("copy a b -x name", "-x", 5, 0),
      ("copy a b -xname", "-x", 4, 2), ("copy a b -afxname", "-x", 4, 4),
    ])
  func origins(_ line: String, _ spelling: String, _ index: Int, _ offset: Int) throws {
    let value = try parse(line).value("exclude")
    #expect(value == Sourced("name", from: .argument(spelling: spelling, index: index, offset: offset)))
  }

  @Test func repeatedOptionsKeepTheirOrder() throws {
    #expect(try parse("copy -x 1 a --exclude=2 b -x3").values("exclude").map(\.value) == ["1", "2", "3"])
  }

  @Test func optionsBeforeASubcommandHoldForIt() throws {
    let parsed = try parse("serve --data d user list")
    #expect(parsed.path == ["serve", "user", "list"])
    #expect(parsed.value("data")?.value == "d")
  }

  @Test(
    "each mistake is one line that says what to do",
    arguments: [
      ("", "'prog' needs one of: copy, login, serve; see 'prog --help'"),
      ("cpy a b", "unknown command 'cpy': did you mean 'copy'?"),
      ("zzzzzz", "unknown command 'zzzzzz'; see 'prog --help'"),
      ("-- copy", "unknown command 'copy': did you mean 'copy'?"),
      ("copy --al a b", "unknown option '--al' for 'prog copy': did you mean '--all'?"),
      ("copy --exlude=x a b", "unknown option '--exlude' for 'prog copy': did you mean '--exclude'?"),
      ("copy --nothing-like-it a b", "unknown option '--nothing-like-it' for 'prog copy'; see 'prog copy --help'"),
      ("copy -az a b", "unknown option '-z' for 'prog copy'; see 'prog copy --help'"),
      ("copy -force a b", "unknown option '-o' for 'prog copy': did you mean '--force'?"),
      ("copy --all=yes a b", "option '--all' takes no value; see 'prog copy --help'"),
      ("copy a b --mode", "option '--mode' needs a value (MODE); see 'prog copy --help'"),
      ("copy a b --mode= c", "option '--mode' needs a value (MODE); see 'prog copy --help'"),
      ("copy a b -m --all", "option '-m' needs a value (MODE); see 'prog copy --help'"),
      ("copy a b --mode fsat", "--mode can't be 'fsat': did you mean 'fast'?"),
      ("copy a b --mode other", "--mode can't be 'other': expected fast, safe"),
      ("copy a b --mode fast -m safe", "option '--mode' is given twice, 'prog copy' takes it once"),
      ("copy", "'prog copy' needs FROM; see 'prog copy --help'"),
      ("copy a", "'prog copy' needs TO; see 'prog copy --help'"),
      ("serve user", "'prog serve user' needs one of: list; see 'prog serve user --help'"),
      ("serve user lst", "unknown command 'lst': did you mean 'list'?"),
      ("serve usr", "unknown command 'usr': did you mean 'user'?"),
      ("serve user list x", "unexpected argument 'x' for 'prog serve user list'; see 'prog serve user list --help'"),
      ("serve --port 1 user list", "option '--port' isn't for 'prog serve user list'; see 'prog serve user list --help'"),
      ("copy --\u{1B}[31m a b", "unknown option '--\\x1b[31m' for 'prog copy'; see 'prog copy --help'"),
    ])
  func mistakes(_ line: String, _ message: String) {
    let error = #expect(throws: ArgumentError.self) { try parse(line) }
    #expect(error?.description == message)
  }

  @Test(
    "a secret in a wrong place is refused and never echoed",
    arguments: [
      "copy --password S3CRET a b", "copy --password=S3CRET a b", "copy --passwordS3CRET a b", "login S3CRET", "login - S3CRET",
    ])
  func secrets(_ line: String) {
    let error = #expect(throws: ArgumentError.self) { try parse(line) }
    #expect(error?.description.contains("S3CRET") == false)
    #expect(error?.description.contains("isn't accepted: ") == true)
  }

  @Test(
    "help wins over mistakes",
    arguments: [
      ("--help", "prog"), ("copy --help", "prog copy"), ("copy --bad -h", "prog copy"), ("help serve user", "prog serve user"),
      ("serve user list -h", "prog serve user list"), ("help", "prog"),
    ])
  func help(_ line: String, _ path: String) throws {
    let outcome = try ArgumentParser(Self.program).parse(["prog"] + line.split(separator: " ").map(String.init))
    guard case .help(let commands) = outcome else {
      Issue.record("no help")
      return
    }
    #expect(commands.map(\.name).joined(separator: " ") == path)
  }

  @Test func versionIsAnOptionOfTheProgram() throws {
    guard case .version = try ArgumentParser(Self.program).parse(["prog", "--version"]) else {
      Issue.record("no version")
      return
    }
  }

  @Test(
    "the closest word",
    arguments: [
      ("strat", ["start", "tcp"], "start"), ("htp", ["http", "tcp"], "http"), ("tpc", ["http", "tcp"], "tcp"), ("x", ["tcp"], nil),
      ("compl", ["completions"], "completions"), ("", ["a"], nil), ("--sever", ["--server", "--json"], "--server"),
      ("abcdefgh", ["hgfedcba"], nil),
    ] as [(String, [String], String?)])
  func closest(_ word: String, _ candidates: [String], _ expected: String?) {
    #expect(ClosestWord.of(word, among: candidates) == expected)
  }

  @Test(
    "edit distance",
    arguments: [("", "", 0), ("a", "", 1), ("abc", "acb", 1), ("kitten", "sitting", 3), ("ab", "ba", 1), ("abcd", "badc", 2)])
  func distance(_ a: String, _ b: String, _ expected: Int) {
    #expect(ClosestWord.editDistance(a, b) == expected)
    #expect(ClosestWord.editDistance(b, a) == expected)
  }
}
