/// Options that several commands take, declared once.
extension Program {
  static let outputSection = "Output"
  static let relaySection = "Relay"

  static let json = CommandOption("json", "Write JSON lines to stdout", section: outputSection)

  /// The log of every long-running command.
  static let logging = [
    CommandOption(
      "log-level", value: "LEVEL", "How much to log: trace, debug, info, warning or error (default: info)",
      hint: .choices(["trace", "debug", "info", "warning", "error"]), section: outputSection),
    CommandOption(
      "log-format", value: "FORMAT", "Log as text or json (default: text)", hint: .choices(["text", "json"]), section: outputSection),
    CommandOption(
      "log-file", value: "FILE", "Log to a file (mode 0600, opened anew on SIGHUP) instead of stderr", hint: .file, section: outputSection),
  ]

  static let server = CommandOption(
    "server", value: "URL", "The relay to use (default: CAUSEWAY_SERVER, the configuration, http://127.0.0.1:8080)",
    hint: .suggestions(["http://127.0.0.1:8080"]), section: relaySection)

  /// Exists to be refused: arguments are visible to every user of the machine.
  static let token = CommandOption(
    "token", value: "TOKEN", "", section: relaySection,
    refusal: "arguments are visible to everyone in ps; use CAUSEWAY_TOKEN, --token-file FILE or 'causeway authtoken'")

  /// How a client finds and trusts its relay.
  static let connection = [
    server,
    CommandOption(
      "token-file", value: "FILE|-",
      "Read the token from a file or from standard input (default: CAUSEWAY_TOKEN, then 'causeway authtoken')",
      hint: .file, section: relaySection),
    token,
    CommandOption(
      "ca", value: "FILE", "Trust the certificate authorities in this PEM file for the relay", hint: .file, section: relaySection),
    CommandOption(
      "insecure", short: "k", "Don't verify the relay's certificate: anyone in between can read and change everything, the token included",
      section: relaySection),
  ]

  static let clientOutput =
    [
      CommandOption("quiet", short: "q", "Only the URL, warnings and errors: no panel, no line for each event", section: outputSection),
      json,
    ]
    + logging

  static let originInsecure = CommandOption(
    "origin-insecure", "Don't verify the certificate of a local https:// service that isn't on loopback")
}
