/// The commands of the one who runs the relay.
extension Program {
  private static let data = CommandOption(
    "data", value: "DIR", "The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG state folder)",
    hint: .directory)

  static let relay = Command(
    "relay", "run the server behind the URLs, or manage its accounts",
    details: """
      Without options: a private relay on http://127.0.0.1:8080 with the domain localhost. The first line on stdout is its URL. \
      The configuration file has the long names of these options with _ for -, and limits; options win over it.

      Managing works beside a running relay (through its admin socket) and without one (in its database).
      """,
    options: [
      CommandOption("config", value: "FILE", "Read settings from a YAML file", hint: .file),
      CommandOption(
        "listen", value: "URL",
        "[http://|https://]ADDR:PORT to accept visitors and clients on; port 0 takes a free one (default: 127.0.0.1:8080)",
        repeatable: true),
      CommandOption("public-url", value: "URL", "The relay's own URL as clients see it, behind a proxy"),
      CommandOption("domain", value: "NAME", "Tunnels become NAME.domain (default: localhost)"),
      data,
      CommandOption("tcp-ports", value: "A-B", "Public ports for TCP tunnels (default: 20000-20999)"),
      CommandOption("tls-cert", value: "FILE", "Certificate chain (PEM) of the https listeners", hint: .file),
      CommandOption("tls-key", value: "FILE", "Its private key (PEM)", hint: .file),
      CommandOption("trusted-proxy", value: "CIDR", "Believe X-Forwarded-* fields that come from here", repeatable: true),
      CommandOption("metrics", value: "ADDR:PORT", "Serve Prometheus metrics at http://ADDR:PORT/metrics"),
      json, token,
    ] + logging,
    subcommands: [account, relayToken, name],
    examples: [
      .init("causeway relay", "a private relay to try things with"),
      .init(
        "causeway relay --listen https://0.0.0.0:443 --domain t.example.com --tls-cert c --tls-key k", "a public one: *.t.example.com"),
      .init("causeway relay account add me@example.com > token", "an account; its token goes to stdout, once"),
    ])

  private static let managing = [data, json]

  private static func email(_ help: String) -> Positional { Positional("EMAIL", help) }

  static let account = Command(
    "account", "add, list, disable, enable or remove accounts",
    subcommands: [
      Command(
        "add", "create an account and print its first token, once", positionals: [email("Whose account it will be")], options: managing),
      Command("list", "show accounts and what they hold", options: managing),
      Command("disable", "end an account's sessions and let it in no more", positionals: [email("Whose account")], options: managing),
      Command("enable", "let a disabled account in again", positionals: [email("Whose account")], options: managing),
      Command("remove", "delete an account with its tokens and names", positionals: [email("Whose account")], options: managing),
    ],
    runs: false)

  static let relayToken = Command(
    "token", "create, list or revoke tokens",
    subcommands: [
      Command("create", "add a token to an account and print it, once", positionals: [email("Whose account")], options: managing),
      Command("list", "show the tokens' ids, never the tokens", options: managing),
      Command(
        "revoke", "forbid a token and end its sessions",
        positionals: [Positional("ID", "The token's id as 'relay token list' shows it, or - with the token on standard input")],
        options: managing),
    ],
    runs: false)

  static let name = Command(
    "name", "list or release reserved names",
    subcommands: [
      Command("list", "show names and TCP ports, and who holds them", options: managing),
      Command("release", "give a name back", positionals: [Positional("NAME", "The name without the domain")], options: managing),
    ],
    runs: false)
}
