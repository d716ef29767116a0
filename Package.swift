// swift-tools-version: 6.2
import PackageDescription

// Rooms from the ground up; a target may use those named before it and never those after it. docs/architecture.md draws the house.

/// One list for every Swift target, so that no room speaks another dialect.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableExperimentalFeature("Lifetimes"),  // for our own buffers' `bytes: Span<UInt8>`
]

func room(_ name: String, _ dependencies: [String] = []) -> Target {
  .target(
    name: "Causeway" + name, dependencies: dependencies.map { .init(stringLiteral: $0) }, path: "Sources/" + name,
    swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [String]) -> Target {
  .testTarget(
    name: "Causeway" + name + "Tests", dependencies: (["Causeway" + name] + dependencies).map { .init(stringLiteral: $0) },
    path: "Tests/" + name, swiftSettings: settings)
}

func library(_ name: String, pkgConfig: String, apt: String) -> Target {
  .systemLibrary(name: name, path: "Sources/C/" + name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let package = Package(
  name: "causeway",
  products: [
    .executable(name: "causeway", targets: ["causeway"]),
    .library(name: "CausewayMessaging", targets: ["CausewayMessaging"]),
    .library(name: "causeway_messaging", type: .dynamic, targets: ["CausewayMessagingC"]),
  ],
  targets: [
    // C
    .target(name: "CLinux", path: "Sources/C/CLinux"),
    .target(name: "CUCX", path: "Sources/C/CUCX"),
    .target(name: "CMessaging", path: "Sources/C/CMessaging"),
    library("COpenSSL", pkgConfig: "openssl", apt: "libssl-dev"),
    library("CSQLite", pkgConfig: "sqlite3", apt: "libsqlite3-dev"),
    library("CYAML", pkgConfig: "yaml-0.1", apt: "libyaml-dev"),
    // Ground
    room("Base"),
    room("Crypto", ["COpenSSL"]),
    room("Telemetry", ["CLinux", "CausewayBase"]),
    room("Support", ["CLinux", "CYAML", "CausewayBase"]),
    room("LinuxIO", ["CLinux", "COpenSSL", "CausewayBase"]),
    room("Simulation", ["CausewayBase"]),
    // Cores
    room("Wire", ["CausewayBase"]),
    room("Paths", ["CausewayBase"]),
    room("TunnelCore", ["CausewayBase", "CausewayWire", "CausewayCrypto"]),
    room("RelayCore", ["CausewayBase", "CausewayWire", "CausewayTunnelCore"]),
    room("BondCore", ["CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayPaths"]),
    room("MessagingCore", ["CausewayBase"]),
    // Parts
    room("Scraping", ["CausewayBase", "CausewayWire", "CausewayLinuxIO"]),
    room("Lanes", ["CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayTunnelCore", "CausewayLinuxIO"]),
    room(
      "Tunnel",
      [
        "CLinux", "CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayTunnelCore", "CausewayLinuxIO", "CausewayLanes",
        "CausewayTelemetry", "CausewaySupport",
      ]),
    room(
      "Relay",
      [
        "CLinux", "CSQLite", "CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayTunnelCore", "CausewayRelayCore", "CausewayLinuxIO",
        "CausewayLanes", "CausewayScraping", "CausewayTelemetry", "CausewaySupport",
      ]),
    room(
      "Messaging",
      [
        "CLinux", "CUCX", "CausewayBase", "CausewayCrypto", "CausewayMessagingCore", "CausewayLinuxIO", "CausewayScraping",
        "CausewayTelemetry",
      ]),
    room("MessagingC", ["CLinux", "CMessaging", "CausewayMessaging"]),
    room("MessagingBench", ["CLinux", "CausewayBase", "CausewayWire", "CausewayMessaging", "CausewaySupport"]),
    room(
      "BondSimulation",
      [
        "CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayPaths", "CausewayBondCore", "CausewaySimulation", "CausewaySupport",
      ]),
    room(
      "Bond",
      [
        "CLinux", "CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayPaths", "CausewayBondCore", "CausewayLinuxIO",
        "CausewayScraping", "CausewayTelemetry", "CausewaySupport",
      ]),
    .executableTarget(
      name: "causeway",
      dependencies: [
        "CLinux", "CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayLinuxIO", "CausewayTelemetry", "CausewaySupport",
        "CausewayTunnelCore", "CausewayTunnel", "CausewayRelay", "CausewayBond", "CausewayBondSimulation",
        "CausewayMessagingBench",
      ],
      path: "Sources/causeway", swiftSettings: settings),
    // What tests and benchmarks stand on
    .target(name: "CPacketSocket", path: "Tests/CPacketSocket"),
    .executableTarget(
      name: "link-emulator",
      dependencies: ["CPacketSocket", "CausewayBase", "CausewaySimulation", "CausewaySupport", "CausewayLinuxIO"],
      path: "Tests/LinkEmulator", swiftSettings: settings),
    .executableTarget(
      name: "messaging-peer", dependencies: ["CausewayMessaging"], path: "Tests/MessagingPeer", swiftSettings: settings),
    .executableTarget(
      name: "messaging-example", dependencies: ["CausewayMessaging"], path: "Tests/MessagingExample", swiftSettings: settings),
    .executableTarget(
      name: "messaging-demo", dependencies: ["CausewayMessaging", "CausewayCrypto", "CausewaySupport"], path: "Tests/MessagingDemo",
      swiftSettings: settings),
    // Tests, one folder for each module
    .target(
      name: "CausewayLoopTesting", dependencies: ["CausewayBase", "CausewayLinuxIO"], path: "Tests/LoopTesting", swiftSettings: settings),
    tests("Base", []),
    tests("Simulation", ["CausewayBase"]),
    tests("Crypto", []),
    tests("Telemetry", ["CausewayBase"]),
    tests("Support", ["CLinux", "CausewayBase"]),
    tests("LinuxIO", ["CLinux", "CausewayBase"]),
    tests("Wire", ["CausewayBase"]),
    tests("TunnelCore", ["CausewayBase", "CausewayWire", "CausewayCrypto", "CausewaySimulation"]),
    tests("RelayCore", ["CausewayBase", "CausewayWire", "CausewayTunnelCore"]),
    tests("Scraping", ["CausewayBase", "CausewayLinuxIO", "CausewayLoopTesting"]),
    tests("Lanes", ["CausewayBase", "CausewayTunnelCore", "CausewayLinuxIO", "CausewayLoopTesting"]),
    tests(
      "Tunnel",
      [
        "CausewayBase", "CausewaySupport", "CausewayCrypto", "CausewayWire", "CausewayTunnelCore", "CausewayLinuxIO", "CausewayLanes",
        "CausewayLoopTesting",
      ]),
    tests(
      "Relay",
      [
        "CausewayBase", "CausewaySupport", "CausewayCrypto", "CausewayRelayCore", "CausewayTelemetry", "CausewayWire", "CausewayTunnelCore",
        "CausewayLinuxIO", "CausewayLanes", "CausewayTunnel", "CausewayLoopTesting",
      ]),
    tests(
      "Messaging",
      [
        "messaging-peer", "messaging-example", "CUCX", "CausewayBase", "CausewayMessagingCore", "CausewayLinuxIO", "CausewayLoopTesting",
      ]),
    tests("MessagingBench", ["CausewayMessaging", "CausewaySupport"]),
    tests("Paths", ["CausewayBase"]),
    tests("BondCore", ["CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayPaths"]),
    tests("MessagingCore", ["CausewayBase"]),
    tests(
      "BondSimulation", ["CausewayBase", "CausewayWire", "CausewayPaths", "CausewayBondCore", "CausewaySimulation", "CausewaySupport"]),
    tests(
      "Bond",
      [
        "CLinux", "CausewayBase", "CausewayWire", "CausewayCrypto", "CausewayPaths", "CausewayBondCore", "CausewayLinuxIO",
        "CausewaySupport",
      ]),
  ]
)
