import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct CreditLedgerTests {
  @Test(
    "eager costs 128 and its length rounded up to 64, above 2 KiB at least a fragment; a rendezvous 1280",
    arguments: [
      (0, false, 2), (1, false, 3), (64, false, 3), (65, false, 4), (2048, false, 34), (2049, false, 136), (8576, false, 136),
      (8577, false, 137), (65_536, false, 1026), (1, true, 20), (1 << 40, true, 20), (1 << 31 - 1, false, 1 << 25 + 2),
      (1 << 31, false, 1 << 27), (Int.max, false, 1 << 27),
    ] as [(Int, Bool, UInt32)])
  func cost(_ length: Int, _ isRendezvous: Bool, _ units: UInt32) {
    #expect(MessageCost.units(length: length, rendezvous: isRendezvous) == units)
  }

  @Test(
    "the grant is the limit by the number of connections, rounded up to three bits, between 64 KiB and 4 MiB",
    arguments: [
      (0, 4 << 20), (1, 4 << 20), (16, 4 << 20), (17, (64 << 20) / 20), (20, (64 << 20) / 20), (21, (64 << 20) / 24), (32, 2 << 20),
      (33, (64 << 20) / 40), (1000, 64 << 10), (1024, 64 << 10), (1025, 64 << 10), (1 << 20, 64 << 10),
    ] as [(Int, Int)])
  func grant(_ connections: Int, _ byteCount: Int) {
    #expect(MessagingLimits().grant(connections: connections) == UInt32(byteCount / 64))
  }

  @Test("grants never sum up to more than the limit while the minimum allows it")
  func sum() {
    let limits = MessagingLimits()
    for count in 1...1024 { #expect(Int(limits.grant(connections: count)) * 64 * count <= limits.unreceivedByteCount) }
  }

  @Test("late, repeated and impossible reports change nothing, also across the wrap", arguments: [0, 5, UInt32.max, UInt32.max - 10])
  func reports(_ start: UInt32) {
    var ledger = CreditLedger(grant: 100, start: start)
    ledger.setPeerGrant(100)
    ledger.charge(60)
    #expect(ledger.available == 40)
    for (report, isNews, available) in [(20, true, 60), (20, false, 60), (10, false, 60), (61, false, 60), (60, true, 100)] {
      let news = ledger.takeReport(start &+ UInt32(report))
      #expect(news == isNews, "report \(report)")
      #expect(ledger.available == Int64(available), "report \(report)")
    }
  }

  @Test("a shrunk grant is overdrawn, not wrong")
  func shrink() {
    var ledger = CreditLedger(grant: 100, start: .max)
    ledger.setPeerGrant(100)
    ledger.charge(90)
    ledger.setPeerGrant(30)
    #expect(ledger.available == -60)
    #expect(!ledger.fits(1))
    let news = ledger.takeReport(.max &+ 70)
    #expect(news)
    #expect(ledger.available == 10)
    // As receiver: what was charged under the old grant is taken after the new one was announced.
    var receiver = CreditLedger(grant: 100, start: .max)
    receiver.accept(90)
    receiver.announce(30)
    #expect(receiver.accepts(10))
    #expect(!receiver.accepts(11))
  }

  @Test("what is freed is reported at a quarter of the grant, or when the peer waits for it")
  func due() {
    var ledger = CreditLedger(grant: 100, start: 7)
    ledger.accept(100)
    var isDue = ledger.free(24)
    #expect(!isDue)
    isDue = ledger.free(1)
    #expect(isDue)
    #expect(ledger.report() == 7 + 25)
    var isWanted = ledger.want(7 + 25)
    #expect(!isWanted, "reported before")
    isWanted = ledger.want(7 + 30)
    #expect(!isWanted)
    isDue = ledger.free(4)
    #expect(!isDue)
    isDue = ledger.free(1)
    #expect(isDue)
    #expect(ledger.report() == 7 + 30)
    isDue = ledger.free(5)
    #expect(!isDue)
  }
}
