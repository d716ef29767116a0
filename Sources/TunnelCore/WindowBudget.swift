/// What all sessions of a process share: room for windows to grow, and a number of streams. A session has limits of its own beside it.
///
/// Without it the limits of many sessions add up. Not for use by more than one thread: each loop has its own.
public final class WindowBudget {
  /// Sum of all windows' growth beyond the initial one, 256 MiB.
  public static let growthLimit = 256 * 1024 * 1024
  /// Streams open at once, and so the initial windows: 1 GiB if no reader takes anything.
  public static let streamLimit = 16_384

  private let growthLimit: Int
  private let streamLimit: Int
  public private(set) var growth = 0
  public private(set) var streams = 0

  public init(growthLimit: Int = WindowBudget.growthLimit, streamLimit: Int = WindowBudget.streamLimit) {
    self.growthLimit = growthLimit
    self.streamLimit = streamLimit
  }

  /// What windows may still grow by.
  var headroom: Int { growthLimit - growth }

  func grow(by byteCount: Int) { growth += byteCount }

  /// Whether there was room for one more.
  func takeStream() -> Bool {
    guard streams < streamLimit else { return false }
    streams += 1
    return true
  }

  func giveStreamBack() { streams -= 1 }
}
