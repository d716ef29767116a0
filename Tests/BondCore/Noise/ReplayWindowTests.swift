import CausewayBase
import Testing

@testable import CausewayBondCore

/// Remembers everything.
private struct NaiveWindow {
  let reach: UInt64
  var seen: Set<UInt64> = []
  var newest: UInt64 = 0

  mutating func accept(_ counter: UInt64) -> Bool {
    if counter >= WireGuardLimits.rejectAfterMessages || newest > counter && newest - counter > reach { return false }
    newest = max(newest, counter)
    return seen.insert(counter).inserted
  }
}

@Suite("ReplayWindow")
struct ReplayWindowTests {
  private static let limit = WireGuardLimits.rejectAfterMessages

  @Test(
    "each counter is accepted once (RFC 6479)",
    arguments: [
      ([1, 2, 2], [true, true, false]), ([9, 7, 7], [true, true, false]), ([0, 0], [true, false]),
      ([0, 1, 9, 8, 7, 0], [true, true, true, true, true, false]), ([20000, 1], [true, false]),
      ([8128, 0, 0], [true, true, false]), ([8129, 0], [true, false]), ([64, 63, 65, 63], [true, true, true, false]),
      ([limit - 1, limit, limit - 1, limit - 2], [true, false, false, true]), ([.max], [false]),
      ([1 << 40, 1 << 40, 5], [true, false, false]),
    ] as [([UInt64], [Bool])])
  func acceptsOnce(_ counters: [UInt64], _ accepted: [Bool]) {
    var window = ReplayWindow()
    var results: [Bool] = []
    for counter in counters {
      let foreseen = window.wouldAccept(counter)
      results.append(window.accept(counter))
      #expect(foreseen == results.last)
    }
    #expect(results == accepted)
  }

  @Test(
    "a stock peer's counters reach back 8128, ours further",
    arguments: [
      (ReplayWindow.stockReach, 8127, true), (ReplayWindow.stockReach, 8128, true), (ReplayWindow.stockReach, 8129, false),
      (ReplayWindow.wideReach, 8129, true), (ReplayWindow.wideReach, ReplayWindow.wideReach, true),
      (ReplayWindow.wideReach, ReplayWindow.wideReach + 1, false),
    ] as [(UInt64, UInt64, Bool)])
  func reach(_ reach: UInt64, _ distance: UInt64, _ accepted: Bool) {
    for newest in [100_000, 100_063, 131_072, 1 << 33] as [UInt64] {
      var window = ReplayWindow(reach: reach)
      _ = window.accept(newest)
      let result = window.accept(newest - distance)
      #expect(result == accepted, "newest \(newest)")
    }
  }

  @Test("equals a window that remembers everything", arguments: [UInt64(1), 2, 3], [ReplayWindow.stockReach, ReplayWindow.wideReach])
  func twin(_ seed: UInt64, _ reach: UInt64) {
    var random = SeededRandom(seed: seed)
    var window = ReplayWindow(reach: reach)
    var naive = NaiveWindow(reach: reach)
    var centre: UInt64 = 0
    for step in 0..<60_000 {
      switch random.next() % 1000 {
      case 0: centre &+= random.next() % 200_000
      case 1: centre = centre > 1000 ? centre - 1000 : 0
      default: centre &+= random.next() % 3
      }
      let spread = [UInt64(2), 100, 9000, 70_000][Int(random.next() % 4)]
      let back = random.next() % spread
      let counter = centre > back ? centre - back : 0
      let foreseen = window.wouldAccept(counter)
      let result = window.accept(counter)
      guard result == naive.accept(counter), foreseen == result else {
        Issue.record("step \(step), counter \(counter), newest \(naive.newest)")
        return
      }
    }
  }
}
