/// The commands of someone with a service on localhost.
extension Program {
  static let http = Command(
    "http", "a public URL for a local HTTP or WebSocket service",
    details: "Prints the URL on stdout and keeps it alive, through broken networks and restarts, until Ctrl-C.",
    positionals: [
      Positional("PORT|HOST:PORT|URL", "The local service: 3000, box:3000, https://localhost:8443 or unix:/path/to/socket")
    ],
    options: [
      CommandOption("subdomain", value: "NAME", "Ask for NAME.domain instead of a random name"),
      CommandOption(
        "host-header", value: "rewrite|NAME", "The Host field that the service sees: its own address, or NAME (default: the public one)",
        hint: .suggestions(["rewrite"])),
      CommandOption(
        "auth", short: "a", value: "@FILE|USER:PASS",
        "Ask visitors for a password, checked at the relay; better @FILE or CAUSEWAY_BASIC_AUTH than an argument"),
      originInsecure,
    ] + connection + clientOutput,
    examples: [
      .init("causeway http 3000", "a URL for http://localhost:3000"),
      .init("causeway http 8080 --subdomain demo", "https://demo.DOMAIN, the same every time"),
      .init("causeway http https://localhost:8443 -a @visitors", "behind a password, to a self-signed service"),
    ])

  static let tcp = Command(
    "tcp", "a public port for a local TCP service",
    details: "Prints tcp://DOMAIN:PORT on stdout and keeps it alive until Ctrl-C. Half-closed connections work.",
    positionals: [Positional("PORT|HOST:PORT", "The local service: 22, box:5432 or unix:/path/to/socket")],
    options: [
      CommandOption("remote-port", value: "PORT", "Ask for this public port instead of any free one"),
      CommandOption(
        "auth", short: "a", value: "@FILE|USER:PASS", "", refusal: "a TCP stream has no place for a password; it works with 'causeway http'"
      ),
    ] + connection + clientOutput,
    examples: [
      .init("causeway tcp 22", "ssh from anywhere: ssh -p PORT user@DOMAIN"),
      .init("causeway tcp 5432 --remote-port 20432", "the same port every time"),
    ])

  static let start = Command(
    "start", "several tunnels of one file in one session",
    details: """
      Reads causeway.yml in this folder, or FILE (a word that ends in .yml or .yaml or has a slash): server, log_level and tunnels, each with \
      name, protocol (http or tcp), local_port or local, subdomain, hostname, remote_port, auth, host_header. Prints NAME=URL for each.
      """,
    positionals: [Positional("FILE|NAME", "The file, then the tunnels to start (default: all)", .any, hint: .file)],
    options: [originInsecure] + connection + clientOutput,
    examples: [
      .init("causeway start", "everything in causeway.yml"),
      .init("causeway start site.yml web api", "two of its tunnels"),
    ])

  static let authtoken = Command(
    "authtoken", "store the token of a relay",
    details: """
      Asks for the token without showing it, or reads it from standard input, and stores it (mode 0600) with the server it belongs to. \
      It is sent to no other.
      """,
    positionals: [
      Positional(
        "-", "Read the token from standard input", .optional, hint: .choices(["-"]),
        refusal:
          "a token is never an argument, arguments are visible to everyone in ps; type it at the prompt, or: causeway authtoken - < FILE")
    ],
    options: [server, token],
    examples: [
      .init("causeway authtoken", "for the default server"),
      .init("causeway authtoken - --server https://relay.example.com < token", "for a script"),
    ])

  static let config = Command(
    "config", "show or change the configuration",
    details: """
      Without arguments: the file, the server in use and where that comes from, and the servers with a stored token (never the tokens). \
      With KEY: its value. With KEY and VALUE: stores it.
      """,
    positionals: [
      Positional("KEY", "The setting: server", .optional, hint: .choices(["server"])),
      Positional("VALUE", "What to store", .optional),
    ],
    options: [json],
    examples: [
      .init("causeway config", "what is set, and where"),
      .init("causeway config server https://relay.example.com", "use this relay from now on"),
    ])
}
