import Glibc
import Testing

@testable import CausewaySupport

@Suite struct HelpPageTests {
  static var everyCommand: [[Command]] {
    var result: [[Command]] = []
    func visit(_ commands: [Command]) {
      result.append(commands)
      for sub in commands[commands.count - 1].subcommands { visit(commands + [sub]) }
    }
    visit([Program.table])
    return result
  }

  /// All pages in one text. After a wanted change run the tests once with CAUSEWAY_RECORD=1 and look at the difference.
  @Test func pagesAreAsRecorded() throws {
    let pages = Self.everyCommand.map(HelpPage.text).joined(separator: "\n" + String(repeating: "=", count: 100) + "\n\n")
    if Environment.process["CAUSEWAY_RECORD"] != nil {
      let file = #filePath.replacing("HelpPageTests.swift", with: "HelpSnapshots.swift")
      let stream = unsafe try #require(unsafe fopen(file, "w"))
      let head = "/// What HelpPageTests expects; recorded, not written.\nlet recordedHelpPages = #\"\"\"\n"
      _ = unsafe fputs(
        head + pages.split(separator: "\n", omittingEmptySubsequences: false).map { $0.isEmpty ? "" : "  " + $0 }.joined(separator: "\n")
          + "\n  \"\"\"#\n", stream)
      unsafe fclose(stream)
    }
    let expected = recordedHelpPages.split(separator: "\n", omittingEmptySubsequences: false)
    let got = pages.split(separator: "\n", omittingEmptySubsequences: false)
    let difference = zip(expected, got).first { $0 != $1 }
    #expect(difference.map { "expected '\($0)', got '\($1)'" } == nil)
    #expect(expected.count == got.count)
  }

  @Test func noLineIsWiderThanTheLimit() {
    for commands in Self.everyCommand {
      let wide = HelpPage.text(for: commands).split(separator: "\n").filter { $0.count > HelpPage.width }
      #expect(wide.isEmpty, "\(commands.map(\.name))")
    }
  }

  @Test func everyExampleParses() {
    for commands in Self.everyCommand {
      for example in commands[commands.count - 1].examples where example.line.hasPrefix("causeway ") {
        // Up to a redirection.
        let words = example.line.split(separator: " ").prefix { $0 != "<" && $0 != ">" }.map(String.init)
        #expect(throws: Never.self, "\(example.line)") { _ = try ArgumentParser(Program.table).parse(words) }
      }
    }
  }

  @Test func everyThingHasItsHelp() {
    for commands in Self.everyCommand {
      let command = commands[commands.count - 1]
      #expect(!command.summary.isEmpty && !command.summary.hasSuffix("."), "\(command.name)")
      for option in command.options { #expect(option.help.isEmpty == (option.refusal != nil), "\(command.name) --\(option.long)") }
      #expect(Set(command.options.map(\.long)).count == command.options.count, "\(command.name): an option twice")
      let shorts = command.options.compactMap(\.short)
      #expect(Set(shorts).count == shorts.count, "\(command.name): a short option twice")
      #expect(command.runs || !command.subcommands.isEmpty, "\(command.name) leads nowhere")
    }
  }

  @Test func refusedOptionsAreNotShown() {
    #expect(HelpPage.text(for: [Program.table, Program.http]).contains("--token ") == false)
  }

  @Test(
    "the product's lines parse",
    arguments: [
      (
        "http 3000 --subdomain a --host-header rewrite -a @f -q --json --log-level debug --log-file f --server u --ca f -k --token-file -",
        "http"
      ),
      ("tcp 22 --remote-port 20022", "tcp"), ("start", "start"), ("start f.yml a b", "start"), ("authtoken -", "authtoken"),
      ("authtoken", "authtoken"),
      ("config", "config"), ("config server u", "config"), ("version", "version"), ("completions zsh", "completions"),
      (
        "relay --listen 1:1 --listen 2:2 --public-url u --domain d --data d --tcp-ports 1-2 --tls-cert c --tls-key k --trusted-proxy c --metrics a:1 --json --config f",
        "relay"
      ),
      ("relay account add a@b --data d", "relay account add"), ("relay account list", "relay account list"),
      ("relay account disable a@b", "relay account disable"), ("relay account remove a@b", "relay account remove"),
      ("relay account enable a@b", "relay account enable"), ("relay token list", "relay token list"),
      ("relay token create a@b", "relay token create"), ("relay token revoke 7", "relay token revoke"),
      ("relay name list", "relay name list"),
      ("relay --data d name release n", "relay name release"),
    ])
  func productLines(_ line: String, _ path: String) throws {
    guard case .run(let parsed) = try ArgumentParser(Program.table).parse(["causeway"] + line.split(separator: " ").map(String.init)) else {
      Issue.record("did not run")
      return
    }
    #expect(parsed.path.joined(separator: " ") == path)
  }

  @Test(
    "tokens as arguments are refused",
    arguments: ["http --token T0K 1", "tcp --token=T0K 1", "start --token T0K", "authtoken T0K", "tcp 1 -a u:T0K"])
  func tokens(_ line: String) {
    let error = #expect(throws: ArgumentError.self) {
      _ = try ArgumentParser(Program.table).parse(["causeway"] + line.split(separator: " ").map(String.init))
    }
    #expect(error?.description.contains("T0K") == false)
  }
}
