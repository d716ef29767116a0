/// The commands of someone whose processes exchange messages.
extension Program {
  private static let transports = CommandOption(
    "tls", value: "LIST", "UCX transports to use, with commas: posix,cma or tcp (default: UCX_TLS, else all)")

  static let messaging = Command(
    "messaging", "what there is for messages between processes",
    details: "The library, from Swift and from Python, is in docs/messaging.md.", subcommands: [messagingInfo], runs: false)

  static let messagingInfo = Command(
    "info", "show the UCX that is used, and what a connection would use",
    details: """
      UCX is loaded at run time: the system's, else the libucx wheel's. CAUSEWAY_UCX=system, wheel or the folder of libucp.so.0 chooses. \
      Makes a connection within this process to see which transports it takes.
      """,
    options: [transports, json],
    examples: [
      .init("causeway messaging info", "version, file, transports"),
      .init("CAUSEWAY_UCX=wheel causeway messaging info --json", "the wheel's, for a script"),
    ])

  static let bench = Command("bench", "measure this machine", subcommands: [benchMessaging], runs: false)

  static let benchMessaging = Command(
    "messaging", "measure messages between two processes",
    details: """
      Prints median and p99 of one message (of a round trip for pingpong-flag), rate, bandwidth, and the transport that the messages took. \
      Between hosts: --listen there, --peer here.
      """,
    options: [
      CommandOption(
        "scenario", value: "NAME", "large-array, small-messages, pingpong-flag, streaming-duplex or all (default: all)",
        hint: .choices(["large-array", "small-messages", "pingpong-flag", "streaming-duplex", "all"])),
      CommandOption("api", value: "NAME", "callback or async (default: async)", hint: .choices(["callback", "async"])),
      CommandOption(
        "peer", value: "two-process|one-process|ADDR",
        "Another process, another engine of this one, or HOST:PORT where --listen runs (default: two-process)",
        hint: .suggestions(["two-process", "one-process"])),
      CommandOption("listen", value: "ADDR", "Serve measurements at HOST:PORT until Ctrl-C; port 0 takes a free one"),
      CommandOption("key-file", value: "FILE", "What both sides of --listen and --peer ADDR know, at least 16 bytes", hint: .file),
      transports,
      CommandOption("size", value: "BYTES", "Bytes of a message (default: the scenario's)"),
      CommandOption("iterations", value: "N", "Measured rounds (default: the scenario's)"),
      CommandOption("warmup", value: "N", "Rounds before them (default: the scenario's)"),
      CommandOption("concurrency", value: "N", "Messages of a round (default: the scenario's)"),
      json,
    ],
    examples: [
      .init("causeway bench messaging", "everything, between two processes"),
      .init("causeway bench messaging --scenario pingpong-flag --tls tcp --api callback", "round trips over TCP"),
      .init("causeway bench messaging --peer box:4000", "to another host, where --listen 0.0.0.0:4000 runs"),
    ])

  /// What a measurement starts for itself; not in the table of help and completions.
  package static let benchPeerPath = ["bench", "peer"]
}
