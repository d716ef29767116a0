import CausewayBase
import Testing

@testable import CausewayTunnelCore

@Suite("a budget for all sessions")
struct WindowBudgetTests {
  static func session(_ budget: WindowBudget) -> Session {
    let session = Session(role: .relay, budget: budget, pool: ChunkPool(), at: .ms(0))
    session.attach(resumed: false, at: .ms(0))
    return session
  }

  @Test("streams of all sessions count together; each gives its place back, also with its session's end")
  func streams() {
    let budget = WindowBudget(streamLimit: 3)
    let first = Self.session(budget)
    var second: Session? = Self.session(budget)
    let ids = [first.open(1), second?.open(1), second?.open(1)]
    #expect(!ids.contains(nil) && budget.streams == 3)
    #expect(first.open(1) == nil && second?.open(1) == nil)
    first.reset(ids[0]!, .cancelled)
    #expect(budget.streams == 2 && second?.open(1) != nil && first.open(1) == nil)
    second = nil
    #expect(budget.streams == 0 && first.open(1) != nil)
  }

  /// Lets one stream's peer send and drain whole windows quickly, so that the window grows as it may.
  static func drainFast(_ session: Session, _ id: StreamID, byteCount: Int) throws {
    var offset: UInt64 = 0
    var now = 1.0
    while offset < UInt64(byteCount) {
      let piece = [UInt8](repeating: 1, count: 32 * 1024)
      _ = try session.feed(Wire.data(id, at: offset, piece), at: .ms(now))
      offset += UInt64(piece.count)
      session.drained(id, upTo: offset, pathRoundTrip: 1_000_000_000, at: .ms(now))
      now += 1
    }
  }

  @Test("windows of all sessions grow within one sum, which is given back")
  func growth() throws {
    let initial = SessionLimits().initialWindow
    let budget = WindowBudget(growthLimit: 3 * initial)
    let first = Self.session(budget)
    var second: Session? = Self.session(budget)
    let a = try #require(first.open(1))
    let b = try #require(second?.open(1))
    _ = (first.sent(), second?.sent())
    try Self.drainFast(first, a, byteCount: 4 * 1024 * 1024)
    #expect(budget.growth == 3 * initial && first.windowGrowth == 3 * initial)
    try Self.drainFast(second!, b, byteCount: 4 * 1024 * 1024)
    #expect(budget.growth == 3 * initial && second?.windowGrowth == 0)
    first.reset(a, .cancelled)
    #expect(budget.growth == 0)
    let c = try #require(second?.open(1))
    _ = second?.sent()
    try Self.drainFast(second!, c, byteCount: 4 * 1024 * 1024)
    #expect(budget.growth > 0)
    second = nil
    #expect(budget.growth == 0)
  }
}
