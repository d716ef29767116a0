internal import CausewayCrypto
internal import CausewaySupport
internal import CausewayWire
internal import Glibc

/// What must hold across the parts of a configuration, whatever its form.
enum BondRules {
  static func check(_ bond: inout BondConfiguration) throws(PlacedError) {
    func error(_ line: Int, _ reason: String) -> PlacedError {
      PlacedError(file: bond.file, line: line, field: line > 0 ? "[Peer]" : "", reason: reason)
    }
    if bond.peers.count > BondConfiguration.maximumPeerCount { throw error(0, "more than \(BondConfiguration.maximumPeerCount) peers") }
    let own = publicKey(of: bond.privateKey)
    var lines: [PeerKey: Int] = [:]
    var owners: [IPNetwork: PeerKey] = [:]
    for peer in bond.peers {
      if peer.publicKey == own { throw error(peer.line, "the peer's public key is this interface's own: give the other end's") }
      if let first = lines.updateValue(peer.line, forKey: peer.publicKey) {
        throw error(peer.line, "the peer \(peer.publicKey.short) stands in line \(first) already")
      }
      for network in peer.allowedIPs {
        if let former = owners.updateValue(peer.publicKey, forKey: network) {
          bond.warnings.append(
            error(
              peer.line,
              "\(network) is allowed to two peers: it belongs to the later one, \(peer.publicKey.short), and not to \(former.short)"
            )
            .description)
        }
      }
      if let threads = bond.threads, let reason = BondConfiguration.pathIDProblem(paths: peer.paths.count, threads: threads) {
        throw error(peer.line, reason + ": lower Threads")
      }
    }
    if let metrics = bond.metrics, metrics.address?.isLoopback != true {
      bond.warnings.append("metrics at \(metrics) can be read by everyone who reaches that address; 127.0.0.1 is this machine's own")
    }
    var addresses: Set<IPAddress> = []
    for address in bond.addresses where !addresses.insert(address.address).inserted {
      throw error(0, "the address \(address.address) is given twice")
    }
  }

  static func publicKey(of privateKey: SecretKey) -> PeerKey {
    let bytes = X25519.publicKey(of: privateKey)
    // 32 bytes make a key.
    guard let key = PeerKey(bytes: bytes.indices.map { bytes[$0] }) else { preconditionFailure("a public key has 32 bytes") }
    return key
  }
}

extension BondConfiguration {
  package var publicKey: PeerKey { BondRules.publicKey(of: privateKey) }

  /// `Threads`, or half of the processors: at least one, at most eight, and no more than path ids allow.
  package func threadCount(processors: Int) -> Int {
    if let threads { return threads }
    return max(1, min(Self.usualThreadCount(processors), Self.maximumPathCount / greatestPathCount))
  }

  /// Why there are fewer threads than usual; nil when there are not.
  package func threadNote(processors: Int) -> String? {
    let (count, usual) = (threadCount(processors: processors), Self.usualThreadCount(processors))
    guard threads == nil, count < usual else { return nil }
    return
      "\(Self.threadWords(count)) instead of \(usual): \(greatestPathCount) paths of a peer times threads may be at most \(Self.maximumPathCount)"
  }

  static func threadWords(_ count: Int) -> String { count == 1 ? "1 packet thread" : "\(count) packet threads" }
  private static func usualThreadCount(_ processors: Int) -> Int { max(1, min(processors / 2, maximumThreadCount)) }
  private var greatestPathCount: Int { max(1, peers.map(\.paths.count).max() ?? 1) }

  /// Each path of each thread needs an id of its own. nil: there are enough.
  static func pathIDProblem(paths: Int, threads: Int) -> String? {
    let needed = paths * threads
    guard needed > maximumPathCount else { return nil }
    return "\(paths) paths with \(threads) threads need \(needed) path ids, there are \(maximumPathCount)"
  }

  package static var processorCount: Int { max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))) }
}
