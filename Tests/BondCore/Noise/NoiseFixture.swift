import CausewayBase
import CausewayCrypto

@testable import CausewayBondCore

func bytes(hex text: String) -> [UInt8] {
  let digits = Array(text.utf8)
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)! }
}

func array(_ bytes: Span<UInt8>) -> [UInt8] { bytes.indices.map { bytes[$0] } }

func array(_ key: SecretKey) -> [UInt8] { array(key.bytes) }

func array<let count: Int>(_ bytes: InlineArray<count, UInt8>) -> [UInt8] { array(bytes.span) }

func secret(_ bytes: [UInt8]) -> SecretKey { SecretKey(copying: bytes.span) }

/// Gives the listed values in order, then traps.
func fixedEntropy(_ values: [[UInt8]]) -> (Int) -> SecretKey {
  var rest = values[...]
  return { count in
    let value = rest.removeFirst()
    precondition(value.count == count, "entropy of another size was asked for")
    return secret(value)
  }
}

/// Key material that a seed repeats.
func seededEntropy(_ seed: UInt64) -> (Int) -> SecretKey {
  var random = SeededRandom(seed: seed)
  return { count in SecretKey(byteCount: count) { for index in $0.indices { $0[index] = UInt8(truncatingIfNeeded: random.next()) } } }
}

func seededKey(_ seed: UInt64) -> SecretKey { seededEntropy(seed)(32) }

extension Instant {
  static func seconds(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }
}

/// One device with its Handshaker, in a class so that tests can keep several.
final class HandshakeDevice {
  var handshaker: Handshaker
  /// Keys that handshakes gave and a test kept, the newest last.
  var sessions: [TransportKeys] = []
  /// Facts since the last `take`.
  var effects: [HandshakeEffect] = []
  /// 192.0.2.1:51820, or what a test makes of it.
  var source: [UInt8] = [192, 0, 2, 1, 0xCA, 0x6C]
  /// Wall clock at `Instant.zero`, in nanoseconds.
  var wallClock: UInt64 = 1_700_000_000_000_000_000
  let privateKey: SecretKey

  init(seed: UInt64) {
    privateKey = seededKey(seed)
    handshaker = Handshaker(identity: StaticIdentity(privateKey: privateKey), entropy: seededEntropy(seed &+ 1000))
  }

  var publicKey: PublicKey { handshaker.identity.publicKey }
  var isInitiating: Bool { handshaker.isInitiating(PeerID(1)) }
  var nextDeadline: Instant? { handshaker.nextDeadline }
  var indexCount: Int { handshaker.indices.count }

  func add(_ other: HandshakeDevice, as id: UInt32 = 1, presharedKey: SecretKey? = nil) {
    try! handshaker.addPeer(PeerID(id), publicKey: other.publicKey, presharedKey: presharedKey)
  }

  func session(localIndex: UInt32) -> TransportKeys? { sessions.last { $0.localIndex == localIndex } }

  func wall(_ now: Instant) -> UInt64 { wallClock &+ now.nanoseconds }

  func initiate(_ id: UInt32 = 1, promptly: Bool = false, at now: Instant) {
    handshaker.initiate(PeerID(id), promptly: promptly, at: now, unixNanoseconds: wall(now), effects: &effects)
  }

  func advance(to now: Instant) { handshaker.advance(to: now, unixNanoseconds: wall(now), effects: &effects) }

  /// Why a message was dropped, or nil.
  func receive(_ message: [UInt8], from source: [UInt8], underLoad: Bool = false, at now: Instant) -> HandshakeDrop? {
    do throws(HandshakeDrop) {
      try handshaker.receive(
        message.span, from: source.span, at: now, unixNanoseconds: wall(now), underLoad: underLoad, effects: &effects)
      return nil
    } catch { return error }
  }

  /// Messages among the effects, which are then forgotten.
  func takeMessages() -> [[UInt8]] {
    defer { effects = [] }
    return effects.compactMap {
      switch $0 {
      case .send(let message, to: _, attempt: _), .reply(let message): message.bytes
      default: nil
      }
    }
  }

  var established: [SessionKeys] {
    effects.compactMap { if case .established(_, let keys) = $0 { keys } else { nil } }
  }

  var giveUpCount: Int { effects.reduce(0) { if case .gaveUp = $1 { $0 + 1 } else { $0 } } }
}

/// Two devices that know each other.
func devicePair(seed: UInt64 = 1, presharedKey: SecretKey? = nil) -> (HandshakeDevice, HandshakeDevice) {
  let (a, b) = (HandshakeDevice(seed: seed), HandshakeDevice(seed: seed &+ 1))
  a.add(b, presharedKey: presharedKey)
  b.add(a, presharedKey: presharedKey)
  b.source = [192, 0, 2, 2, 0xCA, 0x6C]
  return (a, b)
}

/// Whether what one side seals the other opens.
func agree(_ a: SessionKeys, _ b: SessionKeys) -> Bool {
  a.localIndex == b.remoteIndex && a.remoteIndex == b.localIndex && a.role != b.role && array(a.sending) == array(b.receiving)
    && array(a.receiving) == array(b.sending)
}
