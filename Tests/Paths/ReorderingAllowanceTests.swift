import CausewayBase
import Testing

@testable import CausewayPaths

@Suite struct ReorderingAllowanceTests {
  private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

  @Test func `the greatest of the last ten seconds counts`() {
    var allowance = ReorderingAllowance()
    #expect(allowance.value == 0)
    for (time, excess) in [(1000, 5), (2000, 30), (3000, 10)] as [(UInt64, UInt64)] { allowance.note(excess, at: at(time)) }
    #expect(allowance.value == 30)
    allowance.note(4, at: at(8000))
    allowance.note(3, at: at(14_000))
    #expect(allowance.value == 4)
  }

  @Test func `eight losses in a row with nothing as late among them end it`() {
    var allowance = ReorderingAllowance()
    allowance.note(90, at: at(1000))
    allowance.lost(5)
    allowance.note(20, at: at(1100))
    allowance.lost(2)
    #expect(allowance.value == 90)
    allowance.note(80, at: at(1200))
    allowance.lost(7)
    #expect(allowance.value == 90)
    allowance.lost(1)
    #expect(allowance.value == 0)
  }
}
