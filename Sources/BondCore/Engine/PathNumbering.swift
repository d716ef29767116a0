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
    let rows = limit / shards
    let residue = shard + used * (uplink / rows)
    let number = uplink % rows * shards + residue
    guard residue < shards, number < limit else { return nil }
    return PathID(UInt8(2 * number + (isEven ? 2 : 1)))
  }
}
