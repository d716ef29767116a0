import CausewayPaths

/// Which ids a thread gives the paths it opens, and which thread of the other side has each.
///
/// Ids 1...62 come in pairs: `number = (id - 1) / 2` counts them on either parity. Number n belongs to the accepting side's thread
/// `n mod S`, S being the threads that it announced: a rule that knows no peer, so that the kernel can apply it to a datagram before
/// anybody looked at it. Thread k of the opener takes numbers of thread k of the other side. Towards a peer only U = min(S, own threads)
/// are used; numbers of the other threads (k + U, k + 2U, ...) belong to k as well, and serve once its own have run out: they arrive on
/// the wrong thread, which hands them on.
/// ```
///  id      0  1  2  3  4  5  6  7  8  9 10 ...      S = 2, U = 2: thread 0 has 0, 1, 2, 5, 6, 9, 10 ...
///  number  -  0  0  1  1  2  2  3  3  4  4 ...                    thread 1 has 3, 4, 7, 8 ...
/// ```
/// Id 0 is the handshake's path, which the first thread has.
enum PathNumbering {
  /// Numbers of one side.
  static let limit = 31

  static func number(of id: PathID) -> Int { (Int(id.rawValue) - 1) >> 1 }

  /// - Parameters:
  ///   - shards: Threads of the side that accepts the path.
  ///   - used: Threads that both sides use towards each other.
  static func owner(of id: PathID, shards: Int, used: Int) -> Int {
    id == .handshake ? 0 : number(of: id) % shards % used
  }

  /// The id of a path that thread `shard` opens, or nil when there are no more.
  static func id(uplink: Int, shard: Int, shards: Int, used: Int, isEven: Bool) -> PathID? {
    guard shard < used else { return nil }
    var left = uplink
    for residue in stride(from: shard, to: shards, by: used) {
      let count = count(residue: residue, shards: shards)
      if left < count { return PathID(UInt8(2 * (residue + left * shards) + (isEven ? 2 : 1))) }
      left -= count
    }
    return nil
  }

  /// Which of its opener's uplinks a path belongs to: the same on every thread. The inverse of `id`.
  static func uplink(of id: PathID, shards: Int, used: Int) -> Int {
    guard id != .handshake else { return 0 }
    let number = number(of: id)
    var uplink = number / shards
    for residue in stride(from: number % shards % used, to: number % shards, by: used) {
      uplink += count(residue: residue, shards: shards)
    }
    return uplink
  }

  /// Uplinks that have a path on every thread that is used.
  static func uplinkLimit(shards: Int, used: Int) -> Int {
    (0..<used).map { shard in
      stride(from: shard, to: shards, by: used).reduce(0) { $0 + count(residue: $1, shards: shards) }
    }
    .min() ?? 0
  }

  /// Numbers that are `residue` modulo `shards`.
  private static func count(residue: Int, shards: Int) -> Int { (limit - residue + shards - 1) / shards }
}
