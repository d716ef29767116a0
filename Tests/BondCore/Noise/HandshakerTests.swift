import CausewayBase
import CausewayCrypto
import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite("Handshaker")
struct HandshakerTests {
  static let start = Instant.seconds(100)

  /// A's initiation, B's response, both with their keys.
  private func exchange(_ a: HandshakeDevice, _ b: HandshakeDevice, at now: Instant) throws -> (SessionKeys, SessionKeys) {
    a.initiate(at: now)
    let initiation = try #require(a.takeMessages().first)
    try #require(b.receive(initiation, from: a.source, at: now) == nil)
    let responderKeys = try #require(b.established.first)
    let response = try #require(b.takeMessages().first)
    try #require(a.receive(response, from: b.source, at: now) == nil)
    let initiatorKeys = try #require(a.established.first)
    a.effects = []
    return (initiatorKeys, responderKeys)
  }

  @Test("both sides end with the same keys, with and without a pre-shared key", arguments: [true, false])
  func agreement(_ isPreshared: Bool) throws {
    let (a, b) = devicePair(presharedKey: isPreshared ? seededKey(99) : nil)
    let (first, second) = try exchange(a, b, at: Self.start)
    #expect(agree(first, second))
    #expect(!a.isInitiating)
    #expect(a.nextDeadline == nil)
    let (third, fourth) = try exchange(a, b, at: Self.start + .seconds(120))
    #expect(agree(third, fourth))
    #expect(array(first.sending) != array(third.sending))
  }

  @Test("local indices leave their low six bits to the path, and none comes twice")
  func indices() throws {
    let (a, b) = devicePair()
    var seen: Set<UInt32> = []
    for round in 0..<20 {
      let (first, second) = try exchange(a, b, at: Self.start + .seconds(10 * round))
      #expect(first.localIndex & 63 == 0 && second.localIndex & 63 == 0)
      #expect(seen.insert(first.localIndex).inserted)
    }
    // Nobody released them: the table is bounded all the same.
    #expect(a.indexCount <= Handshaker.sessionLimitPerPeer)
    for index in seen { a.handshaker.release(index) }
    #expect(a.indexCount == 0)
  }

  @Test("messages of any other length are dropped, and the handshake goes on")
  func lengths() throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    let initiation = try #require(a.takeMessages().first)
    for count in 0..<initiation.count {
      #expect(b.receive(Array(initiation.prefix(count)), from: a.source, at: Self.start) != nil, "\(count)")
    }
    for extra in [1, 16, 1000] {
      #expect(b.receive(initiation + [UInt8](repeating: 0, count: extra), from: a.source, at: Self.start) == .malformed)
    }
    #expect(b.effects.isEmpty)
    #expect(b.receive(initiation, from: a.source, at: Self.start) == nil)
    let response = try #require(b.takeMessages().first)
    for count in 0..<response.count {
      #expect(a.receive(Array(response.prefix(count)), from: b.source, at: Self.start) != nil, "\(count)")
    }
    #expect(a.receive(response + [0], from: b.source, at: Self.start) == .malformed)
    #expect(a.effects.isEmpty)
    #expect(a.receive(response, from: b.source, at: Self.start) == nil)
    #expect(a.established.count == 1)
  }

  /// mac2 is not looked at without load, so that its bits are free.
  private static let mac2ByteCount = 16

  @Test("a flipped bit anywhere is dropped without a trace", arguments: [false, true])
  func flippedBits(_ isMAC1Mended: Bool) throws {
    let (a, b) = devicePair(presharedKey: seededKey(5))
    a.initiate(at: Self.start)
    let initiation = try #require(a.takeMessages().first)
    func flips(_ message: [UInt8], receiver: HandshakeDevice, _ check: ([UInt8], Int) -> Void) {
      for index in 0..<message.count - Self.mac2ByteCount {
        // A forger who knows the public key can mend mac1; then one bit a byte, for these cost exchanges of keys.
        for bit in isMAC1Mended ? [index % 8] : Array(0..<8) {
          var bad = message
          bad[index] ^= 1 << UInt8(bit)
          if isMAC1Mended {
            let end = message.count - 32
            if index >= end { continue }
            let mac = BLAKE2sMAC.authenticate(bad.span.extracting(first: end), key: receiver.handshaker.identity.macKeys.mac1.span)
            bad.replaceSubrange(end..<end + 16, with: array(mac))
          }
          check(bad, index)
        }
      }
    }
    flips(initiation, receiver: b) { bad, index in
      // The sender's index is not authenticated by the initiation itself, but by the response that must match it.
      if isMAC1Mended, (4..<8).contains(index) { return }
      #expect(b.receive(bad, from: a.source, at: Self.start) != nil, "initiation, byte \(index)")
      #expect(b.effects.isEmpty)
    }
    #expect(b.receive(initiation, from: a.source, at: Self.start) == nil)
    let response = try #require(b.takeMessages().first)
    flips(response, receiver: a) { bad, index in
      // So is the responder's index: by the first packet, which fails when it is wrong.
      if isMAC1Mended, (4..<8).contains(index) { return }
      #expect(a.receive(bad, from: b.source, at: Self.start) != nil, "response, byte \(index)")
      #expect(a.effects.isEmpty)
    }
    #expect(a.receive(response, from: b.source, at: Self.start) == nil)
  }

  @Test("a cookie reply with a flipped bit is dropped, and the true one still counts")
  func flippedCookieReply() throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    let initiation = try #require(a.takeMessages().first)
    #expect(b.receive(initiation, from: a.source, underLoad: true, at: Self.start) == nil)
    let reply = try #require(b.takeMessages().first)
    #expect(reply.count == 64)
    for index in reply.indices {
      for bit in 0..<8 {
        var bad = reply
        bad[index] ^= 1 << UInt8(bit)
        #expect(a.receive(bad, from: b.source, at: Self.start) != nil, "byte \(index)")
      }
    }
    #expect(a.receive(reply, from: b.source, at: Self.start) == nil)
    // It answers one message only.
    #expect(a.receive(reply, from: b.source, at: Self.start) == .forged)
    a.advance(to: Self.start + .seconds(6))
    let second = try #require(a.takeMessages().first)
    #expect(second.suffix(16).contains { $0 != 0 })
    #expect(b.receive(second, from: a.source, underLoad: true, at: Self.start + .seconds(6)) == nil)
    #expect(b.established.count == 1)
  }

  @Test("an initiation counts once, and an older one never")
  func replays() throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    let first = try #require(a.takeMessages().first)
    a.advance(to: Self.start + .seconds(6))
    let second = try #require(a.takeMessages().first)
    #expect(b.receive(second, from: a.source, at: Self.start + .seconds(6)) == nil)
    b.effects = []
    #expect(b.receive(second, from: a.source, at: Self.start + .seconds(7)) == .replayed)
    #expect(b.receive(first, from: a.source, at: Self.start + .seconds(7)) == .replayed)
    #expect(b.effects.isEmpty)
  }

  @Test("initiations of one peer are taken 20 ms apart", arguments: [(19, HandshakeDrop.flooded), (20, .flooded), (21, nil)])
  func flood(_ milliseconds: Int, _ drop: HandshakeDrop?) throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    let first = try #require(a.takeMessages().first)
    a.initiate(promptly: true, at: Self.start + .seconds(1))
    let second = try #require(a.takeMessages().first)
    #expect(b.receive(first, from: a.source, at: Self.start) == nil)
    #expect(b.receive(second, from: a.source, at: Self.start + .milliseconds(milliseconds)) == drop)
  }

  @Test("a stranger gets silence, and so does who has the wrong pre-shared key")
  func strangers() throws {
    let (a, b) = devicePair()
    let stranger = HandshakeDevice(seed: 77)
    stranger.add(b)
    stranger.initiate(at: Self.start)
    let message = try #require(stranger.takeMessages().first)
    #expect(b.receive(message, from: stranger.source, at: Self.start) == .unknownPeer)
    #expect(b.effects.isEmpty)
    // A message for somebody else has another mac1.
    a.initiate(at: Self.start)
    let initiation = try #require(a.takeMessages().first)
    #expect(stranger.receive(initiation, from: a.source, at: Self.start) == .invalidMAC1)

    let (c, d) = (HandshakeDevice(seed: 31), HandshakeDevice(seed: 32))
    c.add(d, presharedKey: seededKey(1))
    d.add(c, presharedKey: seededKey(2))
    c.initiate(at: Self.start)
    #expect(d.receive(try #require(c.takeMessages().first), from: c.source, at: Self.start) == nil)
    #expect(c.receive(try #require(d.takeMessages().first), from: d.source, at: Self.start) == .forged)
    #expect(c.isInitiating)
    d.handshaker.setPresharedKey(seededKey(1), of: PeerID(1))
    _ = try exchange(c, d, at: Self.start + .seconds(10))
  }

  @Test("a response counts once, and only for the newest initiation")
  func responses() throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    let first = try #require(a.takeMessages().first)
    #expect(b.receive(first, from: a.source, at: Self.start) == nil)
    let old = try #require(b.takeMessages().first)
    a.advance(to: Self.start + .seconds(6))
    let second = try #require(a.takeMessages().first)
    #expect(a.receive(old, from: b.source, at: Self.start + .seconds(6)) == .unknownIndex)
    #expect(b.receive(second, from: a.source, at: Self.start + .seconds(6)) == nil)
    let new = try #require(b.takeMessages().first)
    #expect(a.receive(new, from: b.source, at: Self.start + .seconds(6)) == nil)
    #expect(a.receive(new, from: b.source, at: Self.start + .seconds(6)) == .unknownIndex)
    #expect(a.established.count == 1)
  }

  @Test("an unanswered initiation is repeated each 5 s with a new key and time, for 90 s")
  func repetition() throws {
    let (a, _) = devicePair()
    var sent: [(Instant, [UInt8], Int)] = []
    var now = Self.start
    a.initiate(at: now)
    var gaveUpAt: Instant?
    while gaveUpAt == nil {
      for effect in a.effects {
        if case .send(let message, to: _, attempt: let attempt) = effect { sent.append((now, message.bytes, attempt)) }
        if case .gaveUp = effect { gaveUpAt = now }
      }
      a.effects = []
      guard let next = a.nextDeadline else { break }
      now = next
      a.advance(to: now)
    }
    let end = try #require(gaveUpAt)
    #expect(end >= Self.start + .seconds(90) && end <= Self.start + .seconds(96))
    #expect((17...19).contains(sent.count))
    #expect(sent.map(\.2) == Array(1...sent.count))
    #expect(Set(sent.map { Array($0.1[8..<40]) }).count == sent.count)
    for (earlier, later) in zip(sent, sent.dropFirst()) {
      #expect(later.0 - earlier.0 >= .seconds(5) && later.0 - earlier.0 <= .milliseconds(5334))
    }
    #expect(a.nextDeadline == nil)
    #expect(a.indexCount == 0)
    // New data start again.
    a.initiate(at: end + .seconds(6))
    #expect(a.takeMessages().count == 1)
  }

  @Test("who asks again within 5 s waits for the rest of them, unless a link came back")
  func gap() {
    let (a, _) = devicePair()
    a.initiate(at: Self.start)
    #expect(a.takeMessages().count == 1)
    a.handshaker.cancelAttempt(PeerID(1))
    a.initiate(at: Self.start + .seconds(1))
    #expect(a.takeMessages().isEmpty)
    #expect(a.nextDeadline == Self.start + .seconds(5))
    a.initiate(promptly: true, at: Self.start + .seconds(2))
    #expect(a.takeMessages().count == 1)
    a.initiate(promptly: true, at: Self.start + .milliseconds(2100))
    #expect(a.takeMessages().isEmpty)
    a.advance(to: Self.start + .milliseconds(2250))
    #expect(a.takeMessages().count == 1)
  }

  @Test("timestamps grow when the wall clock goes back, also over a restart")
  func clockSetBack() throws {
    let (a, b) = devicePair()
    _ = try exchange(a, b, at: Self.start)
    a.wallClock -= 3_600_000_000_000
    _ = try exchange(a, b, at: Self.start + .seconds(10))
    a.initiate(at: Self.start + .seconds(20))
    var greatest = TAI64N.zero
    for effect in a.effects { if case .timestampSent(_, let timestamp) = effect { greatest = timestamp } }
    a.effects = []
    let reborn = HandshakeDevice(seed: 1)
    reborn.handshaker = Handshaker(
      identity: StaticIdentity(privateKey: reborn.privateKey), greatestSentTimestamp: greatest, entropy: seededEntropy(4))
    reborn.add(b)
    reborn.wallClock = 0
    _ = try exchange(reborn, b, at: Self.start + .seconds(30))
  }

  @Test("under load a cookie proves the address, and each address has its share")
  func load() throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    let initiation = try #require(a.takeMessages().first)
    #expect(b.receive(initiation, from: a.source, underLoad: true, at: Self.start) == nil)
    let reply = try #require(b.takeMessages().first)
    #expect(a.receive(reply, from: b.source, at: Self.start) == nil)
    a.advance(to: Self.start + .seconds(6))
    let proven = try #require(a.takeMessages().first)
    // The cookie is bound to the address and to its time.
    #expect(b.receive(proven, from: [192, 0, 2, 9, 0xCA, 0x6C], underLoad: true, at: Self.start + .seconds(6)) == nil)
    #expect(b.established.isEmpty && b.takeMessages().first?.count == 64)
    #expect(b.receive(proven, from: a.source, underLoad: true, at: Self.start + .seconds(121)) == nil)
    #expect(b.established.isEmpty && b.takeMessages().first?.count == 64)

    let (c, d) = devicePair(seed: 40)
    c.initiate(at: Self.start)
    let first = try #require(c.takeMessages().first)
    #expect(d.receive(first, from: c.source, underLoad: true, at: Self.start) == nil)
    #expect(c.receive(try #require(d.takeMessages().first), from: d.source, at: Self.start) == nil)
    c.advance(to: Self.start + .seconds(6))
    let second = try #require(c.takeMessages().first)
    var drops: [HandshakeDrop?] = []
    for _ in 0..<8 { drops.append(d.receive(second, from: c.source, underLoad: true, at: Self.start + .seconds(6))) }
    #expect(drops[0] == nil)
    #expect(drops[1..<5].allSatisfy { $0 == .replayed })
    #expect(drops[5...].allSatisfy { $0 == .rateLimited })
    #expect(d.receive(second, from: c.source, underLoad: true, at: Self.start + .milliseconds(6050)) == .replayed)
    #expect(d.receive(second, from: c.source, underLoad: true, at: Self.start + .milliseconds(6050)) == .rateLimited)
  }

  @Test("a response can be answered by a cookie too")
  func cookieForResponse() throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    #expect(b.receive(try #require(a.takeMessages().first), from: a.source, at: Self.start) == nil)
    let response = try #require(b.takeMessages().first)
    #expect(a.receive(response, from: b.source, underLoad: true, at: Self.start) == nil)
    #expect(a.established.isEmpty)
    let reply = try #require(a.takeMessages().first)
    #expect(b.receive(reply, from: a.source, at: Self.start) == nil)
    a.advance(to: Self.start + .seconds(6))
    #expect(b.receive(try #require(a.takeMessages().first), from: a.source, at: Self.start + .seconds(6)) == nil)
    #expect(a.receive(try #require(b.takeMessages().first), from: b.source, underLoad: true, at: Self.start + .seconds(6)) == nil)
    #expect(a.established.count == 1)
  }

  @Test("crossing initiations leave both with keys that work both ways")
  func crossing() throws {
    let (a, b) = devicePair()
    a.initiate(at: Self.start)
    b.initiate(at: Self.start)
    let (fromA, fromB) = (try #require(a.takeMessages().first), try #require(b.takeMessages().first))
    #expect(b.receive(fromA, from: a.source, at: Self.start) == nil)
    #expect(a.receive(fromB, from: b.source, at: Self.start) == nil)
    for device in [a, b] { for keys in device.established { device.sessions.append(TransportKeys(keys)) } }
    let (answerA, answerB) = (try #require(a.takeMessages().first), try #require(b.takeMessages().first))
    #expect(a.receive(answerB, from: b.source, at: Self.start) == nil)
    #expect(b.receive(answerA, from: a.source, at: Self.start) == nil)
    for device in [a, b] { for keys in device.established { device.sessions.append(TransportKeys(keys)) } }
    for (sender, receiver) in [(a, b), (b, a)] {
      let current = try #require(sender.sessions.last)
      var message = [UInt8](repeating: 0, count: 48)
      var span = message.mutableSpan
      _ = current.seal(on: .handshake, [UInt8](repeating: 9, count: 16).span, into: &span)
      let read = TransportHeader(message.span)
      let header = try #require(read)
      let keys = try #require(receiver.session(localIndex: header.index))
      var received = message.mutableSpan
      let result = keys.open(header, &received)
      #expect(result == .opened)
    }
  }

  @Test("keys that no secret can be shared with, doubles and our own are refused")
  func badPeers() {
    let (a, b) = devicePair()
    let zero = PublicKey([UInt8](repeating: 0, count: 32).span)
    #expect(throws: PeerError.unusableKey) { try a.handshaker.addPeer(PeerID(2), publicKey: zero) }
    #expect(throws: PeerError.ownKey) { try a.handshaker.addPeer(PeerID(2), publicKey: a.publicKey) }
    #expect(throws: PeerError.duplicateKey) { try a.handshaker.addPeer(PeerID(2), publicKey: b.publicKey) }
    #expect(throws: PeerError.duplicateID) {
      try a.handshaker.addPeer(PeerID(1), publicKey: HandshakeDevice(seed: 9).publicKey)
    }
    a.handshaker.removePeer(PeerID(1))
    #expect(throws: Never.self) { try a.handshaker.addPeer(PeerID(1), publicKey: b.publicKey) }
  }

  @Test("a removed peer leaves nothing behind")
  func removal() {
    let (a, _) = devicePair()
    a.initiate(at: Self.start)
    a.handshaker.removePeer(PeerID(1))
    #expect(a.indexCount == 0 && a.nextDeadline == nil)
    a.effects = []
    a.advance(to: Self.start + .seconds(10))
    a.initiate(at: Self.start + .seconds(10))
    #expect(a.effects.isEmpty)
  }

  @Test("the table of addresses is bounded")
  func limiterBound() {
    var limiter = HandshakeRateLimiter()
    var allowed = 0
    for number in 0..<2 * HandshakeRateLimiter.addressLimit {
      let source: [UInt8] = [10, UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255), 0, 1]
      if limiter.allows(source.span, at: Self.start) { allowed += 1 }
    }
    #expect(allowed == HandshakeRateLimiter.addressLimit)
    let isAllowedLater = limiter.allows([9, 9, 9, 9, 0, 1].span, at: Self.start + .seconds(2))
    #expect(isAllowedLater)
  }

  @Test("an IPv6 network of 64 bits is one address")
  func limiterByNetwork() {
    var limiter = HandshakeRateLimiter()
    var results: [Bool] = []
    for host in 0..<7 {
      var source = [UInt8](repeating: 0, count: 18)
      (source[0], source[1], source[15]) = (0x20, 0x01, UInt8(host))
      results.append(limiter.allows(source.span, at: Self.start))
    }
    #expect(results == [true, true, true, true, true, false, false])
  }

  @Test("a handshake survives loss, repetition and disorder", arguments: [0, 0.1, 0.3, 0.5], [UInt64(1), 2, 3, 4, 5])
  func loss(_ loss: Double, seed: UInt64) {
    let (a, b) = devicePair(seed: seed &* 10)
    var random = SeededRandom(seed: seed)
    var flying: [(at: Instant, to: HandshakeDevice, from: HandshakeDevice, message: [UInt8])] = []
    var now = Self.start
    let end = Self.start + .seconds(89)
    func launch(_ sender: HandshakeDevice, _ receiver: HandshakeDevice) {
      for keys in sender.established { sender.sessions.append(TransportKeys(keys)) }
      for message in sender.takeMessages() {
        for _ in 0..<(random.next() % 8 == 0 ? 2 : 1) where Double(random.next() % 1000) >= loss * 1000 {
          flying.append((now + .milliseconds(Int64(20 + random.next() % 400)), receiver, sender, message))
        }
      }
    }
    a.initiate(at: now)
    launch(a, b)
    while a.sessions.isEmpty, now < end {
      let arrival = flying.indices.min { flying[$0].at < flying[$1].at }
      let deadline = a.nextDeadline ?? .distantFuture
      if let arrival, flying[arrival].at <= deadline {
        let flight = flying.remove(at: arrival)
        now = flight.at
        _ = flight.to.receive(flight.message, from: flight.from.source, at: now)
      } else {
        now = deadline
        a.advance(to: now)
      }
      launch(a, b)
      launch(b, a)
    }
    #expect(!a.sessions.isEmpty)
    if let keys = a.sessions.last { #expect(b.session(localIndex: keys.remoteIndex) != nil) }
  }
}
