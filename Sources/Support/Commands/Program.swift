/// The whole product as a table: what it can do is declared in this folder and nowhere else. Handlers live with the executable.
package enum Program {
  package static let table = Command(
    "causeway", "public URLs for private services, and the relay behind them",
    details: """
      stdout carries the answer, stderr the story; --json gives machines both. Exit codes: 0 done or ended by a signal, 1 failure, \
      2 usage or broken configuration, 69 refused for good, 75 refused for now, 78 configuration file unreadable.
      """,
    subcommands: [http, tcp, start, authtoken, config, bond, messaging, relay, bench, completions, version],
    examples: [
      .init("causeway relay", "a private relay on this machine: http://127.0.0.1:8080"),
      .init("causeway http 3000", "a URL for what listens on port 3000"),
    ],
    runs: false)

  static let version = Command("version", "show the version", options: [json])

  static let completions = Command(
    "completions", "print a completion script for a shell",
    positionals: [Positional("SHELL", "bash, zsh or fish", hint: .choices(Completions.Shell.allCases.map(\.rawValue)))],
    examples: [
      .init("source <(causeway completions bash)", "for this shell; put the line into ~/.bashrc to keep it"),
      .init("causeway completions zsh > ~/.zfunc/_causeway", "for zsh, where ~/.zfunc is in $fpath"),
      .init("causeway completions fish > ~/.config/fish/completions/causeway.fish", "for fish"),
    ])
}
