/// The commands of someone who makes one link out of several.
extension Program {
  private static let bondName = Positional("NAME", "The bond's interface", hint: .none)
  private static let bondFile = Positional(
    "FILE|NAME", "A configuration, or its name in /etc/causeway or /etc/wireguard (default with --name: the options)", .optional,
    hint: .file)
  private static let commandLine = "Without a file"

  static let bond = Command(
    "bond", "one encrypted link over several paths, WireGuard on the wire",
    details: """
      A bond is a network interface whose packets take every path there is: their bandwidth adds up, and a path that dies isn't noticed. It \
      speaks WireGuard, so a stock peer works over one path. 'up' needs root, or CAP_NET_ADMIN; see docs/bond.md.

      'causeway bond -config FILE.json' is what multipath's users are used to, and the same as 'up FILE.json'.
      """,
    options: [CommandOption("config", value: "FILE", "Bring up multipath's JSON configuration", hint: .file, acceptsOneDash: true)]
      + logging,
    subcommands: [bondUp, bondDown, bondStatus, bondCheck, bondReload, keygen, pubkey, genpsk, simulate],
    examples: [
      .init("causeway bond up wg0", "/etc/causeway/wg0.conf or /etc/wireguard/wg0.conf, until Ctrl-C"),
      .init("causeway bond status --watch", "what each path does now"),
    ])

  static let bondUp = Command(
    "up", "bring a bond up and keep it until Ctrl-C",
    details: """
      Creates the interface with addresses and routes, and takes everything away at its end; what a kill left behind is cleaned up at the next \
      start. The file is WireGuard's (as wg-quick takes it, with Path and other keys of ours) or multipath's JSON. SIGHUP reads it anew.
      """,
    positionals: [bondFile],
    options: [
      CommandOption("name", value: "NAME", "The interface", section: commandLine),
      CommandOption("address", value: "ADDRESS[/PREFIX]", "An address of the interface", repeatable: true, section: commandLine),
      CommandOption(
        "private-key-file", value: "FILE|-", "The private key, from a file or standard input", hint: .file, section: commandLine),
      CommandOption(
        "private-key", value: "KEY", "", section: commandLine,
        refusal: "arguments are visible to everyone in ps; use --private-key-file FILE, or - for standard input"),
      CommandOption("preshared-key-file", value: "FILE", "The pre-shared key", hint: .file, section: commandLine),
      CommandOption("listen-port", value: "PORT", "The UDP port (default: any)", section: commandLine),
      CommandOption("peer", value: "KEY[@HOST:PORT]", "The other end's public key, and where it is", section: commandLine),
      CommandOption(
        "allowed-ips", value: "NETWORKS", "What the other end may use and gets, with commas", repeatable: true, section: commandLine),
    ] + logging,
    examples: [
      .init("causeway bond up ./wg0.conf", "a file here"),
      .init(
        "causeway bond up --name wg0 --private-key-file key --peer KEY@box:51820 --allowed-ips ::/0",
        "one path, no file; --address gives it addresses"),
    ])

  static let bondDown = Command("down", "end a running bond and clean up", positionals: [bondName])

  static let bondStatus = Command(
    "status", "show running bonds: peers, paths, rates, losses",
    positionals: [Positional("NAME", "The bond's interface (default: all)", .optional)],
    options: [
      CommandOption("json", "Write one JSON object for each bond", section: outputSection),
      CommandOption("watch", short: "w", "Redraw every second until Ctrl-C", section: outputSection),
    ],
    examples: [.init("causeway bond status wg0 --json", "for a script")])

  static let bondCheck = Command(
    "check", "explain a configuration in plain words, change nothing",
    positionals: [Positional("FILE|NAME", "A configuration, or its name", hint: .file)])

  static let bondReload = Command(
    "reload", "read a running bond's file anew: peers, paths and scheduler, without dropping the link", positionals: [bondName])

  static let keygen = Command(
    "keygen", "print a new private key", examples: [.init("umask 077; causeway bond keygen > key", "into a file of one's own")])
  static let pubkey = Command(
    "pubkey", "print the public key of the private key on standard input",
    examples: [.init("causeway bond pubkey < key", "for the other end")])
  static let genpsk = Command("genpsk", "print a new pre-shared key, or a 'secret' for multipath's JSON")

  static let simulate = Command(
    "simulate", "try links and schedulers in virtual time",
    details: """
      Runs a scenario of links, events and flows through the same code that carries real packets, and prints goodput, delay and loss for \
      each scheduler. docs/simulate.md has the schema, docs/examples some scenarios.
      """,
    positionals: [Positional("SCENARIO.yaml", "The scenario; none with --faults", .optional, hint: .file)],
    options: [
      CommandOption("sweep", value: "N", "Run N seeds and show minimum, median and maximum"),
      CommandOption("faults", value: "N|A-B", "Run as many seeded programs of faults instead, or these, and show which broke a promise"),
      CommandOption("json", "Write one JSON object for each scheduler", section: outputSection),
    ])

  /// What `up` starts for itself; not in the table of help and completions.
  package static let bondWorkerPath = ["bond", "worker"]
}
