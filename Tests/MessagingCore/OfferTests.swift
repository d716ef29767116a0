import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct OfferTests {
  @Test("an offer is four little-endian words and survives them")
  func roundTrip() {
    let offer = Offer(address: 0x7F00_0000_1000, length: 1 << 30, ticketAddress: 0x7F00_0000_2008, ticket: 7)
    #expect(offer.words == (0x7F00_0000_1000, 1 << 30, 0x7F00_0000_2008, 7))
    #expect(Offer(words: offer.words) == offer)
  }

  @Test(
    "memory that can't be is no offer",
    arguments: [
      (0, 1, 8, 1), (1, 0, 8, 1), (1, 1 << 63, 8, 1), (1, .max, 8, 1), (UInt64.max, 1, 8, 1), (1, 1, 0, 1), (1, 1, .max - 7, 1),
      (1, 1, 8, 0),
    ] as [(UInt64, UInt64, UInt64, UInt64)])
  func impossible(_ address: UInt64, _ length: UInt64, _ ticketAddress: UInt64, _ ticket: UInt64) {
    #expect(Offer(words: (address, length, ticketAddress, ticket)) == nil)
  }

  @Test("random words that are an offer are the same words again")
  func random() {
    var random = SeededRandom(seed: 3)
    for _ in 0..<2000 {
      let words = (random.next(), random.next() >> UInt64.random(in: 0..<8, using: &random), random.next(), random.next())
      if let offer = Offer(words: words) { #expect(offer.words == words) }
    }
  }

  /// A core with one open connection, and its first send, offered.
  private static func offered(synchronous: Bool = false) throws -> (MessagingCoreBox, SendID) {
    let box = MessagingCoreBox()
    let sent = box.core.send(on: box.connection, tag: 1, length: 1 << 20, synchronous: synchronous)
    guard case .rendezvous(let id, _) = sent else { throw Unexpected() }
    box.core.offer(id)
    return (box, id)
  }
  struct Unexpected: Error {}

  final class MessagingCoreBox {
    var core = MessagingCore(seed: 1)
    let connection: ConnectionID
    init() {
      let mailbox = core.openMailbox(.server)
      connection = core.openConnection(in: mailbox, check: 1)!
      core.establish(connection, peer: ConnectionAddress(identifier: 1, check: 1, grant: 1000), eagerLimit: 8000)
    }
    func tell(_ kind: MessageKind) {
      _ = core.arrive(MessageHeader(kind: kind, tag: 1, connection: connection.rawValue, check: 1), length: 0, rendezvous: false)
    }
    func effects() -> [Effect] {
      var all: [Effect] = []
      while let effect = core.nextEffect() { if case .control = effect {} else { all.append(effect) } }
      return all
    }
  }

  @Test("a send whose memory comes back is over, once, however often the peer says so")
  func returned() throws {
    let (box, id) = try Self.offered()
    for _ in 0..<3 { box.tell(.returned) }
    #expect(box.effects() == [.returned(id, failed: false)])
    #expect(box.core.sendFinished(id) == .done(.ok))
    box.tell(.returned)
    #expect(box.effects() == [])
  }

  @Test("one that the peer gives up unread is rejected, and its memory comes back by that")
  func rejected() throws {
    let (box, id) = try Self.offered()
    box.tell(.rejection)
    #expect(box.effects() == [.returned(id, failed: false)])
    #expect(box.core.sendFinished(id) == .done(.rejected))
  }

  @Test("one that was cancelled keeps its memory until the peer is done with it")
  func cancelled() throws {
    let (box, id) = try Self.offered()
    #expect(box.core.cancel(id) == .underWay)
    #expect(box.effects() == [])
    box.tell(.returned)
    #expect(box.effects() == [.returned(id, failed: false)])
    #expect(box.core.sendFinished(id) == .reported)
    #expect(box.core.inFlight == 0)
  }

  @Test("the end of a connection takes back what was offered", arguments: [false, true])
  func lost(_ closed: Bool) throws {
    let (box, id) = try Self.offered(synchronous: true)
    if closed { box.core.closeConnection(box.connection) } else { box.core.connectionFailed(box.connection) }
    #expect(box.effects() == [.returned(id, failed: true)])
    #expect(box.core.sendFinished(id, failed: true) == .done(closed ? .closed : .peerLost))
  }

  @Test("a flush waits until what was offered before it was read")
  func flush() throws {
    let (box, id) = try Self.offered()
    guard case .waiting(let flush) = box.core.flush(box.connection) else { throw Unexpected() }
    _ = box.effects()
    _ = box.core.arrive(
      MessageHeader(kind: .flushAcknowledgement, connection: box.connection.rawValue, sequence: 1, check: 1), length: 0, rendezvous: false)
    #expect(box.effects() == [])
    box.tell(.returned)
    #expect(box.effects() == [.returned(id, failed: false)])
    _ = box.core.sendFinished(id)
    #expect(box.effects() == [.flushDone(flush, .ok)])
  }
}
