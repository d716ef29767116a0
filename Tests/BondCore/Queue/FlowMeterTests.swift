import CausewayBase
import Testing

@testable import CausewayBondCore

struct FlowMeterTests {
  private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: 1_000_000_000 + milliseconds * 1_000_000) }

  @Test func `a transfer is quiet after a gap, and until it sends more than a few packets again`() {
    var meter = FlowMeter()
    for step in 0..<200 as Range<UInt64> { meter.add(1400, at: at(step)) }
    #expect(meter.isTransfer(at: at(199)) && !meter.isQuietTransfer(at: at(204)))
    #expect(meter.isQuietTransfer(at: at(210)))
    for step in 0..<4 as Range<UInt64> { meter.add(1400, at: at(240 + 50 * step)) }
    #expect(meter.isQuietTransfer(at: at(390)), "four packets in 200 ms: BBR looking for the least round trip")
    for step in 0..<30 as Range<UInt64> { meter.add(1400, at: at(440 + step)) }
    #expect(!meter.isQuietTransfer(at: at(470)))
  }

  @Test func `a flow that sends little is no transfer, and none is one for long`() {
    var meter = FlowMeter()
    for step in 0..<50 as Range<UInt64> { meter.add(1400, at: at(20 * step)) }
    #expect(!meter.isTransfer(at: at(1000)) && !meter.isQuietTransfer(at: at(1000)))
    for step in 0..<200 as Range<UInt64> { meter.add(1400, at: at(1000 + step)) }
    #expect(meter.isTransfer(at: at(1200)) && !meter.isTransfer(at: at(2300)))
  }

  @Test func `a connection begins with its SYN, for a second or until it is a transfer`() {
    var meter = FlowMeter()
    #expect(!meter.isBeginning(at: at(0)), "no SYN was seen")
    meter.open(at: at(0))
    meter.add(60, at: at(0))
    #expect(meter.isBeginning(at: at(999)) && !meter.isBeginning(at: at(1000)))
    for step in 0..<100 as Range<UInt64> { meter.add(1400, at: at(step)) }
    #expect(meter.isTransfer(at: at(100)) && !meter.isBeginning(at: at(100)))
  }

  @Test func `a flow is alone ten milliseconds after its last packet`() {
    var meter = FlowMeter()
    meter.add(100, at: at(0))
    #expect(!meter.isIdle(at: at(9)) && meter.isIdle(at: at(10)))
  }
}
