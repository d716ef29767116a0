import CausewayBase
import CausewayBondCore
import CausewayCrypto
import CausewayPaths

// The first byte chooses the state of a device and whether the sender knows its public key (then mac1 is mended), the rest is one
// message. It must be dropped, or answered by a cookie, without a trace: the handshake under way must still succeed.

private let now = Instant(nanoseconds: 1_000_000_000_000)
private let unixNanoseconds: UInt64 = 1_700_000_000_000_000_000
private let source: [UInt8] = [192, 0, 2, 1, 0xCA, 0x6C]

/// Key material that a seed repeats.
private func entropy(_ seed: UInt64) -> (Int) -> SecretKey {
  var random = SeededRandom(seed: seed)
  return { count in SecretKey(byteCount: count) { for index in $0.indices { $0[index] = UInt8(truncatingIfNeeded: random.next()) } } }
}

private let identities = [1, 2].map { StaticIdentity(privateKey: entropy($0)(32)) }

private final class Device {
  var handshaker: Handshaker
  var effects: [HandshakeEffect] = []

  init(_ number: Int) {
    handshaker = Handshaker(identity: identities[number], entropy: entropy(UInt64(number) + 10))
    do { try handshaker.addPeer(PeerID(1), publicKey: identities[1 - number].publicKey) } catch { law(false, "a good peer") }
  }

  func receive(_ message: [UInt8], underLoad: Bool = false, at now: Instant) -> HandshakeDrop? {
    do throws(HandshakeDrop) {
      try handshaker.receive(
        message.span, from: source.span, at: now, unixNanoseconds: unixNanoseconds, underLoad: underLoad, effects: &effects)
      return nil
    } catch { return error }
  }

  func initiate() -> [UInt8] {
    handshaker.initiate(PeerID(1), at: now, unixNanoseconds: unixNanoseconds, effects: &effects)
    return takeMessage()
  }

  func takeMessage() -> [UInt8] {
    defer { effects = [] }
    for effect in effects {
      switch effect {
      case .send(let message, to: _, attempt: _), .reply(let message): return message.bytes
      default: break
      }
    }
    return []
  }

  var isEstablished: Bool { effects.contains { if case .established = $0 { true } else { false } } }
}

/// decode -> encode must give the bytes back, but for the MACs, which are not the codec's.
private func checkCodecs(_ bytes: [UInt8]) {
  if let message = Initiation(bytes.span) { law(message.body == Array(bytes.dropLast(32)), "an initiation changes") }
  if let message = Response(bytes.span) { law(message.body == Array(bytes.dropLast(32)), "a response changes") }
  if let reply = CookieReply(bytes.span) { law(reply.message.bytes == bytes, "a cookie reply changes") }
  if let header = TransportHeader(bytes.span) {
    law(header.index | UInt32(header.path.rawValue) == header.receiver, "an index and a path are a receiver")
    var open = bytes
    var span = open.mutableSpan
    let keys = SessionKeys(
      sending: entropy(5)(32), receiving: entropy(6)(32), localIndex: header.index, remoteIndex: 64, role: .initiator, birth: now)
    let session = TransportKeys(keys)
    session.allowsPaths = true
    let result = session.open(header, &span)
    law(result == .forged || result == .replayed, "a forged packet opens")
    law(open == bytes && session.newestCounter(on: header.path) == 0, "a forged packet leaves a trace")
  }
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard count > 1 else { return 0 }
  var bytes = unsafe input(data, count)
  let choice = bytes.removeFirst()
  checkCodecs(bytes)
  let (a, b) = (Device(0), Device(1))
  let initiation = a.initiate()
  // The victim waits for an initiation, or for a response.
  let isResponder = choice & 1 == 0
  let victim = isResponder ? b : a
  var response: [UInt8] = []
  if !isResponder {
    law(b.receive(initiation, at: now) == nil, "a good initiation")
    response = b.takeMessage()
  }
  if choice & 2 != 0, bytes.count == 148 || bytes.count == 92 {
    let end = bytes.count - 32
    let key = victim.handshaker.identity.publicKey.bytes
    let macKey = BLAKE2s.hash(Array("mac1----".utf8).span, key.span)
    let mac = BLAKE2sMAC.authenticate(bytes.span.extracting(first: end), key: macKey.span)
    for index in 0..<16 { bytes[end + index] = mac.span[index] }
  }
  let isGenuine = bytes.prefix(132) == initiation.prefix(132) || !isResponder && bytes.prefix(76) == response.prefix(76)
  let drop = victim.receive(bytes, underLoad: choice & 4 != 0, at: now)
  if !isGenuine {
    law(!victim.isEstablished, "a forged handshake gives keys")
    law(drop != nil || victim.effects.count == 1 && choice & 4 != 0, "neither dropped nor answered by a cookie")
    victim.effects = []
    if isResponder {
      law(b.receive(initiation, at: now) == nil && b.isEstablished, "the good initiation fails after a bad message")
    } else {
      law(a.receive(response, at: now) == nil && a.isEstablished, "the good response fails after a bad message")
    }
  }
  return 0
}
