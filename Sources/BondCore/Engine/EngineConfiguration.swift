public import CausewayCrypto
public import CausewayPaths
public import CausewayWire

/// What the owner of a bond decided, as one thread's engine needs it.
public struct EngineConfiguration: Sendable {
  public var identity: StaticIdentity
  /// Bytes of the largest inner packet, 1280...9000.
  public var innerMTU = 1400
  public var scheduler = SchedulerKind.auto
  /// Lost packets are sent again when that helps.
  public var repairs = true
  /// Parity packets on paths where a repeat comes too late.
  public var parity = true
  /// Small urgent packets go twice when that is nearly free.
  public var duplicates = true
  /// The inner DSCP is copied to the outer header; else that is 0.
  public var copiesDSCP = false
  /// This thread's number and how many there are.
  public var shard = 0
  public var shardCount = 1
  /// Drawn anew at each start: tells a restart from a rekey.
  public var bootID: UInt64
  /// Of an earlier life of this device; what is sent is always greater.
  public var greatestSentTimestamp = TAI64N.zero
  /// Copies instead of encrypting, for simulations only.
  package var simulatesCiphers = false
  public var limits = EngineLimits()

  public init(identity: StaticIdentity, bootID: UInt64) {
    self.identity = identity
    self.bootID = bootID
  }
}

/// Every bound of an engine that its owner may want to see.
public struct EngineLimits: Sendable {
  /// Packet buffers of one thread, all peers together: 96 MiB at the default MTU.
  public var packets = 65_536
  /// The longest backlog of a peer, in bytes; the backlog is also bounded by time.
  public var backlogByteCount = 8 << 20
  /// The longest backlog of a peer in time at its paths' capacity.
  public var backlog = Duration.milliseconds(100)
  /// A packet that was not repaired by then is given up.
  public var repairDeadline = Duration.milliseconds(200)
  /// Packets that wait for keys (wireguard-go: staged packets), oldest dropped.
  public var stagedPackets = 128

  public init() {}
}

/// Another end of the bond.
public struct PeerSettings: Sendable {
  public var publicKey: PublicKey
  public var presharedKey: SecretKey?
  public var allowedIPs: [IPNetwork] = []
  /// 1 to 65,535 s, or nil.
  public var persistentKeepalive: Duration?
  /// Ways to the peer that this side opens; empty on a side that only answers.
  public var uplinks: [UplinkSettings] = []
  /// The same object on every thread of the bond; nil where there is one thread.
  public var rates: SharedRates?

  public init(publicKey: PublicKey) { self.publicKey = publicKey }
}

/// One way to a peer, as configured.
public struct UplinkSettings: Sendable, Equatable {
  public var name: String
  /// 1...1000 in place of the learned weight of `cfs`, or 0.
  public var weight = 0
  /// Bits a second that this side sends at most, or 0.
  public var rateUp: UInt64 = 0
  /// Bits a second that the peer sends at most, or 0.
  public var rateDown: UInt64 = 0
  /// Lower numbers first in `backup`.
  public var preference = 0
  public var isStream = false
  /// Was configured once: its path is closed, its place in the list stays, so that the others keep their ids.
  public var isRemoved = false

  public init(name: String) { self.name = name }
}
