import CausewayBase
import CausewayCrypto
import CausewayWire
import Testing

@testable import CausewayTunnelCore

@Suite struct ControlMessageTests {
  static let bytes32 = [UInt8](0..<32)
  static let messages: [ControlMessage] = [
    .authenticate(token: "a token", version: 3),
    .accepted(version: 3, nonce: bytes32),
    .error(ControlError(.busy, "later")),
    .error(ControlError(.nameTaken, "taken", request: 4, retryAfter: 30)),
    .start,
    .started(id: Array(bytes32.prefix(16)), key: bytes32),
    .resume(id: Array(bytes32.prefix(16)), generation: .max, nonce: bytes32, proof: bytes32),
    .resumed(generation: 7),
    .create(TunnelRequest(request: 0, isHTTP: true)),
    .create(TunnelRequest(request: 63, isHTTP: true, subdomain: "shop", basicAuth: .init(salt: [1], iterations: 9, hash: []))),
    .create(
      {
        var request = TunnelRequest(request: 1, isHTTP: false, remotePort: 20_000)
        request.previousName = "old-name"
        return request
      }()),
    .created(TunnelGrant(request: 0, tunnel: 65535, url: "http://a.localhost:8080", subdomain: "a")),
    .created(TunnelGrant(request: 1, tunnel: 1, url: "tcp://localhost:20000", subdomain: "b", remotePort: 20_000)),
    .end(reason: "done"),
    .unknown(type: "Newer"),
  ]

  @Test("each message reads as it was written", arguments: messages)
  func roundTrip(_ message: ControlMessage) throws {
    let out = ByteBuffer()
    message.encode(to: out)
    let read = try ControlMessage(out.bytes)
    #expect(read == message)
  }

  @Test("a message cut anywhere, or with a byte behind it, is refused", arguments: messages)
  func truncated(_ message: ControlMessage) {
    let out = ByteBuffer()
    message.encode(to: out)
    for count in 0..<out.count { #expect(Self.refusal(of: out.bytes.extracting(0..<count)) == .protocolError, "\(count) bytes") }
    out.append(0xC0)
    #expect(Self.refusal(of: out.bytes) == .protocolError)
  }

  static func refusal(of bytes: Span<UInt8>) -> ControlError.Code? {
    do throws(ControlError) {
      _ = try ControlMessage(bytes)
      return nil
    } catch {
      return error.code
    }
  }

  static func refusal(_ entries: [(String, MessagePackValue)]) -> ControlError.Code? {
    let out = ByteBuffer()
    MessagePackValue.map(entries.map { MessagePackValue.Entry($0.0, $0.1) }).encode(to: out)
    return refusal(of: out.bytes)
  }

  @Test("missing or misfit values are refused by name, never trusted")
  func misfits() {
    #expect(Self.refusal([]) == .protocolError)
    #expect(Self.refusal([("Type", .int(3))]) == .protocolError)
    #expect(Self.refusal([("Type", .string("Auth"))]) == .protocolError)
    #expect(Self.refusal([("Type", .string("Auth")), ("token", .int(1))]) == .protocolError)
    #expect(Self.refusal([("Type", .string("SessionStarted")), ("session", .binary([]))]) == .protocolError)
    #expect(Self.refusal([("Type", .string("SessionResumed")), ("generation", .int(-1))]) == .protocolError)
    #expect(Self.refusal([("Type", .string("SessionResumed")), ("generation", .int(1 << 32))]) == .protocolError)
    #expect(Self.refusal([("Type", .string("TunnelCreate")), ("protocol", .string("udp"))]) == .protocolError)
    #expect(
      Self.refusal([
        ("Type", .string("TunnelCreated")), ("tunnel", .int(65_536)), ("url", .string("")), ("subdomain", .string("")),
      ]) == .protocolError)
  }

  @Test("unknown keys are ignored")
  func unknownKeys() throws {
    let out = ByteBuffer()
    MessagePackValue.map([.init("Type", .string("SessionStart")), .init("later", .map([]))]).encode(to: out)
    let read = try ControlMessage(out.bytes)
    #expect(read == .start)
  }

  @Test(
    "what cannot be helped by trying again ends the client",
    arguments: [
      (ControlError.Code.unauthorized, nil, true), (.versionUnsupported, nil, true), (.nameTaken, nil, true), (.nameTaken, 30, false),
      (.nameInvalid, nil, true), (.portUnavailable, nil, true), (.busy, nil, false), (.limitReached, nil, false),
      (.resumeRefused, nil, false),
    ] as [(ControlError.Code, Int?, Bool)])
  func finality(_ code: ControlError.Code, _ retryAfter: Int?, _ isFinal: Bool) {
    #expect(ControlError(code, "", retryAfter: retryAfter).isFinal == isFinal)
  }
}

@Suite struct SessionSecretTests {
  static let id = (0..<16).map { UInt8($0) }
  static let key = (100..<132).map { UInt8($0) }
  static let relayNonce = [UInt8](repeating: 0xA5, count: 32)
  static let clientNonce = [UInt8](repeating: 0x5A, count: 32)

  static func secret(_ id: [UInt8] = id, _ key: [UInt8] = key) -> SessionSecret {
    SessionSecret(id: id, key: SecretKey(copying: key.span))!
  }

  static func hex(_ bytes: [UInt8]) -> String { bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }

  // Reference: Python's hmac over relay nonce, client nonce, id and generation.
  @Test(
    "the proof is HMAC-SHA256 over nonces, id and generation",
    arguments: [
      (0, "02254cb4a7430f9c9a27dae5f7671c7a4314e78b0ee800e2ba4b6b6fa665450e"),
      (1, "c8872e0184fd72778f5fc10a7c3436016b929984d6e5e5f5114afd92b7012042"),
      (4_294_967_295, "2de4a031a37a1d39e4750c7187db0d451fb2a93f454127ed204cb65e1c7e22c2"),
    ] as [(UInt32, String)])
  func vectors(_ generation: UInt32, _ expected: String) {
    let proof = Self.secret().proof(relayNonce: Self.relayNonce, clientNonce: Self.clientNonce, generation: generation)
    #expect(Self.hex(proof) == expected)
  }

  @Test("a proof holds for its key, nonces, id and generation only, and whole")
  func refusals() {
    let secret = Self.secret()
    let proof = secret.proof(relayNonce: Self.relayNonce, clientNonce: Self.clientNonce, generation: 1)
    func accepted(_ secret: SessionSecret, _ proof: [UInt8], _ relay: [UInt8], _ client: [UInt8], _ generation: UInt32) -> Bool {
      secret.accepts(proof: proof, relayNonce: relay, clientNonce: client, generation: generation)
    }
    #expect(accepted(secret, proof, Self.relayNonce, Self.clientNonce, 1))
    #expect(!accepted(secret, proof, Self.relayNonce, Self.clientNonce, 2))
    #expect(!accepted(secret, proof, Self.clientNonce, Self.relayNonce, 1))
    for index in 0..<32 {
      var (otherProof, otherRelay, otherClient, otherKey) = (proof, Self.relayNonce, Self.clientNonce, Self.key)
      otherProof[index] ^= 1
      otherRelay[index] ^= 0x80
      otherClient[index] ^= 4
      otherKey[index] ^= 2
      #expect(!accepted(secret, otherProof, Self.relayNonce, Self.clientNonce, 1))
      #expect(!accepted(secret, proof, otherRelay, Self.clientNonce, 1))
      #expect(!accepted(secret, proof, Self.relayNonce, otherClient, 1))
      #expect(!accepted(Self.secret(Self.id, otherKey), proof, Self.relayNonce, Self.clientNonce, 1))
    }
    var otherID = Self.id
    otherID[15] ^= 1
    #expect(!accepted(Self.secret(otherID), proof, Self.relayNonce, Self.clientNonce, 1))
    #expect(!accepted(secret, [], Self.relayNonce, Self.clientNonce, 1))
    #expect(!accepted(secret, Array(proof.dropLast()), Self.relayNonce, Self.clientNonce, 1))
    #expect(!accepted(secret, proof + [0], Self.relayNonce, Self.clientNonce, 1))
    #expect(!accepted(secret, proof, Self.relayNonce + Self.clientNonce, [], 1))
  }

  @Test("ids have 16 bytes and keys 32")
  func sizes() {
    #expect(SessionSecret(id: Array(Self.id.dropLast()), key: SecretKey(copying: Self.key.span)) == nil)
    #expect(SessionSecret(id: Self.id, key: SecretKey(copying: Self.id.span)) == nil)
  }
}
