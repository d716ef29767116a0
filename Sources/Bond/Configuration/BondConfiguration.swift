package import CausewayCrypto
package import CausewayWire

/// What a user asked for, whichever of the three forms it was written in. Readers check everything: a value of this type can be brought up
/// unless the system says no.
package struct BondConfiguration: Sendable {
  package enum Form: String, Sendable {
    case wireGuard, multipath, commandLine
  }

  /// Which routes `up` adds for the peers' allowed IPs.
  package enum Table: Equatable, Sendable {
    case off
    /// The main table; a default route by policy routing, as wg-quick does it.
    case automatic
    case number(UInt32)
  }

  /// Commands of a wg-quick file, each with `%i` for the interface.
  package struct Hooks: Equatable, Sendable {
    package var preUp: [String] = []
    package var postUp: [String] = []
    package var preDown: [String] = []
    package var postDown: [String] = []
    package var isEmpty: Bool { preUp.isEmpty && postUp.isEmpty && preDown.isEmpty && postDown.isEmpty }
    package init() {}
  }

  package struct DNS: Equatable, Sendable {
    package var servers: [IPAddress] = []
    package var searchDomains: [String] = []
    package var isEmpty: Bool { servers.isEmpty && searchDomains.isEmpty }
    package init() {}
  }

  /// The interface's own address; bits behind the prefix are the host.
  package struct InterfaceAddress: Hashable, Sendable, CustomStringConvertible {
    package var address: IPAddress
    package var prefixLength: Int
    /// The other end of a point-to-point address.
    package var peer: IPAddress?
    package init(_ address: IPAddress, prefixLength: Int, peer: IPAddress? = nil) {
      self.address = address
      self.prefixLength = prefixLength
      self.peer = peer
    }
    package var description: String { "\(address)" + (peer.map { " peer \($0)" } ?? "") + "/\(prefixLength)" }
  }

  package struct Peer: Sendable {
    package var publicKey: PeerKey
    package var presharedKey: SecretKey?
    package var allowedIPs: [IPNetwork]
    /// In seconds; 0: off.
    package var persistentKeepalive: UInt16
    package var paths: [PathConfiguration]
    /// Start the handshake at once instead of with the first packet.
    package var initiates: Bool
    /// Line of its section, for messages; 0 when there is none.
    package var line: Int

    package init(
      publicKey: PeerKey, presharedKey: SecretKey? = nil, allowedIPs: [IPNetwork] = [], persistentKeepalive: UInt16 = 0,
      paths: [PathConfiguration] = [], initiates: Bool = false, line: Int = 0
    ) {
      self.publicKey = publicKey
      self.presharedKey = presharedKey
      self.allowedIPs = allowedIPs
      self.persistentKeepalive = persistentKeepalive
      self.paths = paths
      self.initiates = initiates
      self.line = line
    }
  }

  package static let defaultMTU = 1400
  package static let mtus = 1280...9000
  package static let maximumNameByteCount = 15
  package static let maximumPeerCount = 4096
  package static let maximumThreadCount = 8
  /// Of one peer and one thread: ids are even for one side, odd for the other, 64 in all.
  package static let maximumPathCount = 31

  package var form: Form
  /// The file it came from, or "command line".
  package var file: String
  /// The interface.
  package var name: String
  package var privateKey: SecretKey
  /// nil: any free port.
  package var listenPort: UInt16?
  /// nil: every address.
  package var listenAddress: IPAddress?
  package var listenTCPPort: UInt16?
  package var addresses: [InterfaceAddress] = []
  package var mtu = Self.defaultMTU
  package var scheduler = SchedulerChoice.auto
  /// nil: half of the processors, at least one.
  package var threads: Int?
  package var copiesDSCP = false
  /// nil: none, or chosen when a default route needs one. 0 in the file ("off") is nil too.
  package var firewallMark: UInt32?
  package var table = Table.automatic
  package var dns = DNS()
  package var hooks = Hooks()
  package var repair = RepairChoice()
  package var peers: [Peer] = []
  /// Where to serve Prometheus' metrics; nil: nowhere.
  package var metrics: HostPort?
  /// What its reader found odd, one line each, without secrets.
  package var warnings: [String] = []

  package init(form: Form, file: String, name: String, privateKey: SecretKey) {
    self.form = form
    self.file = file
    self.name = name
    self.privateKey = privateKey
  }

  /// Whether any path is bound to a device: CAP_NET_RAW on kernels that ask for it.
  package var bindsDevices: Bool {
    peers.contains { $0.paths.contains { if case .device = $0.binding { true } else { false } } }
  }
}

package enum SchedulerChoice: String, Sendable, CaseIterable {
  case auto, cfs, earliest, redundant, backup
}

/// Which mendings a bond may use.
package struct RepairChoice: Equatable, Sendable {
  /// Retransmission of what a path lost.
  package var resends = true
  /// Parity packets where they pay.
  package var parity = true
  /// Second copies of small urgent packets where they are nearly free.
  package var duplicates = true
  package init() {}
}
