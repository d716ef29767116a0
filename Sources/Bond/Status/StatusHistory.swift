/// Rates of the last seconds of each path, for sparklines. Bounded by paths that are there.
package struct StatusHistory: Sendable {
  /// Samples a path, one a second.
  package static let limit = 60

  private struct Key: Hashable {
    let peer: String
    let path: UInt8
  }

  private var samples: [Key: [Double]] = [:]

  package init() {}

  package mutating func add(_ status: BondStatus) {
    var fresh: [Key: [Double]] = [:]
    for peer in status.peers {
      for path in peer.paths {
        let key = Key(peer: peer.publicKey, path: path.id)
        fresh[key] = ((samples[key] ?? []) + [path.rateUp + path.rateDown]).suffix(Self.limit)
      }
    }
    samples = fresh
  }

  /// At most `width` cells, newest right, scaled to the largest sample shown.
  func sparkline(_ peer: PeerStatus, _ path: PathStatus, width: Int) -> String {
    let values = (samples[Key(peer: peer.publicKey, path: path.id)] ?? []).suffix(max(0, width))
    let top = values.max() ?? 0
    let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    return String(values.map { top > 0 ? bars[min(7, max(0, Int($0 / top * 7.999)))] : bars[0] })
  }
}
