import CausewayBase
import CausewayCrypto
import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite("WireGuard's transcripts, byte for byte")
struct HandshakeVectorTests {
  static let now = Instant.seconds(1000)

  @Test("identities, MAC keys and the initial state", arguments: HandshakeVector.all)
  func constants(_ vector: HandshakeVector) {
    for role in ["initiator", "responder"] {
      let identity = StaticIdentity(privateKey: secret(vector["\(role)_static_private"]))
      #expect(array(identity.publicKey.bytes) == vector["\(role)_static_public"])
      #expect(array(identity.macKeys.mac1) == vector["mac1_key_\(role)"])
      #expect(array(identity.macKeys.cookie) == vector["cookie_key_\(role)"])
      let ephemeral = X25519.publicKey(of: secret(vector["\(role)_ephemeral_private"]))
      #expect(array(ephemeral) == vector["\(role)_ephemeral_public"])
    }
    #expect(array(SymmetricState.initial.chainingKey) == vector["initial_chaining_key"])
    #expect(array(SymmetricState.initial.hash) == vector["initial_hash"])
    #expect(array(TAI64N(unixNanoseconds: HandshakeVector.unixNanoseconds).bytes) == vector["tai64n_whitened"])
  }

  /// Each step of message 1 as `NoiseHandshake` takes it, from either side's exchange of keys.
  @Test("every value of the initiation, in both roles", arguments: HandshakeVector.all, [HandshakeRole.initiator, .responder])
  func initiationSteps(_ vector: HandshakeVector, _ role: HandshakeRole) throws {
    let own = role == .initiator ? "initiator" : "responder"
    let other = role == .initiator ? "responder" : "initiator"
    var state = SymmetricState.initial
    state.mixHash(vector["responder_static_public"].span)
    #expect(array(state.hash) == vector["initiation.h_after_responder_static"])
    state.mixHash(vector["initiator_ephemeral_public"].span)
    state.mixChainingKey(vector["initiator_ephemeral_public"].span)
    #expect(array(state.hash) == vector["initiation.h_after_e"])
    #expect(array(state.chainingKey) == vector["initiation.c_after_e"])

    let es =
      role == .initiator
      ? X25519.sharedSecret(secret(vector["initiator_ephemeral_private"]), vector["responder_static_public"].span)
      : X25519.sharedSecret(secret(vector["responder_static_private"]), vector["initiator_ephemeral_public"].span)
    let first = try #require(es)
    #expect(array(first) == vector["initiation.dh_es"])
    let staticKey = state.mixKey(first.bytes)
    #expect(array(state.chainingKey) == vector["initiation.c_after_es"])
    #expect(array(staticKey) == vector["initiation.k_static"])
    try step(
      &state, role, plaintext: vector["initiator_static_public"], sealed: vector["initiation.enc_static"], key: staticKey)
    #expect(array(state.hash) == vector["initiation.h_after_static"])

    let ss = X25519.sharedSecret(secret(vector["\(own)_static_private"]), vector["\(other)_static_public"].span)
    let second = try #require(ss)
    #expect(array(second) == vector["initiation.dh_ss"])
    let timestampKey = state.mixKey(second.bytes)
    #expect(array(state.chainingKey) == vector["initiation.c_after_ss"])
    #expect(array(timestampKey) == vector["initiation.k_timestamp"])
    try step(&state, role, plaintext: vector["tai64n_whitened"], sealed: vector["initiation.enc_timestamp"], key: timestampKey)
    #expect(array(state.hash) == vector["initiation.h_after_timestamp"])
  }

  @Test("every value of the response, in both roles", arguments: HandshakeVector.all, [HandshakeRole.initiator, .responder])
  func responseSteps(_ vector: HandshakeVector, _ role: HandshakeRole) throws {
    var state = SymmetricState(
      chainingKey: secret(vector["initiation.c_after_ss"]), hash: vector["initiation.h_after_timestamp"].span.inlineArray(at: 0))
    state.mixHash(vector["responder_ephemeral_public"].span)
    state.mixChainingKey(vector["responder_ephemeral_public"].span)
    #expect(array(state.hash) == vector["response.h_after_e"])
    #expect(array(state.chainingKey) == vector["response.c_after_e"])
    let pairs =
      role == .initiator
      ? [("initiator_ephemeral_private", "responder_ephemeral_public"), ("initiator_static_private", "responder_ephemeral_public")]
      : [("responder_ephemeral_private", "initiator_ephemeral_public"), ("responder_ephemeral_private", "initiator_static_public")]
    for (pair, name) in zip(pairs, ["ee", "se"]) {
      let made = X25519.sharedSecret(secret(vector[pair.0]), vector[pair.1].span)
      let shared = try #require(made)
      #expect(array(shared) == vector["response.dh_\(name)"])
      state.mixChainingKey(shared.bytes)
      #expect(array(state.chainingKey) == vector["response.c_after_\(name)"])
    }
    let (_, tau, _) = KeyDerivation.three(state.chainingKey, vector["psk"].span)
    #expect(array(tau) == vector["response.tau"])
    let key = state.mixPresharedKey(vector["psk"].span)
    #expect(array(state.chainingKey) == vector["response.c_after_psk"])
    #expect(array(key) == vector["response.k_empty"])
    #expect(array(state.hash) == vector["response.h_after_tau"])
    try step(&state, role == .initiator ? .responder : .initiator, plaintext: [], sealed: vector["response.enc_empty"], key: key)
    #expect(array(state.hash) == vector["response.h_final"])
    let keys = state.split()
    #expect(array(keys.initiator) == vector["transport.initiator_to_responder_key"])
    #expect(array(keys.responder) == vector["transport.responder_to_initiator_key"])
  }

  /// Seals as the sender, opens as the receiver; in this message the initiator's role sends.
  private func step(
    _ state: inout SymmetricState, _ role: HandshakeRole, plaintext: [UInt8], sealed: [UInt8], key: SecretKey
  ) throws {
    switch role {
    case .initiator:
      var out = [UInt8](repeating: 0, count: sealed.count)
      var span = out.mutableSpan
      state.encryptAndHash(plaintext.span, key: key, into: &span)
      #expect(out == sealed)
    case .responder:
      var out = [UInt8](repeating: 0, count: plaintext.count)
      var span = out.mutableSpan
      let isAuthentic = state.decryptAndHash(sealed.span, key: key, into: &span)
      try #require(isAuthentic)
      #expect(out == plaintext)
    }
  }

  private func initiator(_ vector: HandshakeVector) -> Handshaker {
    let entropy = fixedEntropy([littleEndian(HandshakeVector.initiatorIndex), vector["initiator_ephemeral_private"]])
    var handshaker = Handshaker(
      identity: StaticIdentity(privateKey: secret(vector["initiator_static_private"])), greatestSentTimestamp: .zero, indexMask: .max,
      entropy: entropy)
    try! handshaker.addPeer(
      PeerID(7), publicKey: PublicKey(vector["responder_static_public"].span), presharedKey: secret(vector["psk"]))
    return handshaker
  }

  private func responder(_ vector: HandshakeVector, entropy: [[UInt8]]? = nil) -> Handshaker {
    let entropy = entropy ?? [littleEndian(HandshakeVector.responderIndex), vector["responder_ephemeral_private"]]
    var handshaker = Handshaker(
      identity: StaticIdentity(privateKey: secret(vector["responder_static_private"])), greatestSentTimestamp: .zero, indexMask: .max,
      entropy: fixedEntropy(entropy))
    try! handshaker.addPeer(
      PeerID(8), publicKey: PublicKey(vector["initiator_static_public"].span), presharedKey: secret(vector["psk"]))
    return handshaker
  }

  private func littleEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

  @Test("a device sends the transcript's initiation and ends with its keys", arguments: HandshakeVector.all)
  func asInitiator(_ vector: HandshakeVector) throws {
    var handshaker = initiator(vector)
    var effects: [HandshakeEffect] = []
    handshaker.initiate(PeerID(7), at: Self.now, unixNanoseconds: HandshakeVector.unixNanoseconds, effects: &effects)
    guard effects.count == 2, case .timestampSent(PeerID(7), let timestamp) = effects[0],
      case .send(let message, to: PeerID(7), attempt: 1) = effects[1]
    else { throw TestFailure("other effects: \(effects)") }
    #expect(array(timestamp.bytes) == vector["tai64n_whitened"])
    #expect(message.bytes == vector["initiation.message"])
    #expect(array(message.bytes.span.extracting(116..<132)) == vector["initiation.mac1"])

    effects = []
    try handshaker.receive(
      vector["response.message"].span, from: vector["cookie_reply.source_bytes_ip_then_port_big_endian"].span, at: Self.now,
      unixNanoseconds: 0, underLoad: false, effects: &effects)
    guard effects.count == 1, case .established(PeerID(7), let keys) = effects[0] else { throw TestFailure("other effects: \(effects)") }
    #expect(array(keys.sending) == vector["transport.initiator_to_responder_key"])
    #expect(array(keys.receiving) == vector["transport.responder_to_initiator_key"])
    #expect(keys.role == .initiator)
    #expect(keys.localIndex == HandshakeVector.initiatorIndex && keys.remoteIndex == HandshakeVector.responderIndex)
    try check(keys, vector)
  }

  @Test("a device answers with the transcript's response and ends with its keys", arguments: HandshakeVector.all)
  func asResponder(_ vector: HandshakeVector) throws {
    var handshaker = responder(vector)
    var effects: [HandshakeEffect] = []
    try handshaker.receive(
      vector["initiation.message"].span, from: [192, 0, 2, 1, 202, 108].span, at: Self.now, unixNanoseconds: 0, underLoad: false,
      effects: &effects)
    guard effects.count == 2, case .reply(let message) = effects[0], case .established(PeerID(8), let keys) = effects[1] else {
      throw TestFailure("other effects: \(effects)")
    }
    #expect(message.bytes == vector["response.message"])
    #expect(array(keys.sending) == vector["transport.responder_to_initiator_key"])
    #expect(array(keys.receiving) == vector["transport.initiator_to_responder_key"])
    #expect(keys.role == .responder)
    #expect(keys.localIndex == HandshakeVector.responderIndex && keys.remoteIndex == HandshakeVector.initiatorIndex)
    try check(keys, vector)
  }

  /// Seals this side's messages of the transcript, opens the other's. The transcript's indices have a path in their low bits.
  private func check(_ keys: SessionKeys, _ vector: HandshakeVector) throws {
    let transport = TransportKeys(keys)
    transport.allowsPaths = true
    let sent: [(UInt64, String, String?)]
    let received: [(UInt64, String, String?)]
    let requests = [
      (UInt64(0), "keepalive_initiator_counter0", nil), (1, "request_initiator_counter1", "request_inner_padded"),
      (1 << 32 + 5, "request_initiator_counter_2pow32_plus_5", "request_inner_padded"),
    ]
    let replies: [(UInt64, String, String?)] = [(0, "reply_responder_counter0", "reply_inner")]
    if keys.role == .initiator { (sent, received) = (requests, replies) } else { (sent, received) = (replies, requests) }
    for (counter, message, inner) in sent {
      let expected = vector["transport.\(message)"]
      var plaintext = inner.map { vector["transport.\($0)"] } ?? []
      plaintext += [UInt8](repeating: 0, count: expected.count - TransportHeader.overhead - plaintext.count)
      if counter < 2 {
        var output = [UInt8](repeating: 0, count: expected.count)
        var span = output.mutableSpan
        let used = transport.seal(on: .handshake, plaintext.span, into: &span)
        #expect(used == counter)
        #expect(output == expected)
      } else {
        // The counter is far; the cipher is the same.
        var body = [UInt8](repeating: 0, count: plaintext.count + 16)
        var target = body.mutableSpan
        ChaCha20Poly1305Key(sealing: keys.sending.bytes).seal(nonceHigh: 0, counter: counter, plaintext: plaintext.span, into: &target)
        #expect(body == Array(expected[16...]))
      }
    }
    for (counter, message, inner) in received {
      var bytes = vector["transport.\(message)"]
      let plain = inner.map { vector["transport.\($0)"] } ?? []
      let read = TransportHeader(bytes.span)
      let header = try #require(read)
      #expect(header.counter == counter && header.receiver == keys.localIndex)
      var body = bytes.mutableSpan
      // Path 0 whatever the index's low bits say: the transcript is of stock peers.
      let result = transport.open(TransportHeader(receiver: 0, counter: header.counter), &body)
      #expect(result == .opened)
      #expect(Array(bytes[16..<16 + plain.count]) == plain)
    }
  }

  @Test("a cookie reply is the transcript's, and the next message carries its mac2", arguments: HandshakeVector.all)
  func cookies(_ vector: HandshakeVector) throws {
    let source = vector["cookie_reply.source_bytes_ip_then_port_big_endian"]
    var responder = responder(
      vector,
      entropy: [
        vector["cookie_reply.secret"], vector["cookie_reply.nonce"], littleEndian(HandshakeVector.responderIndex),
        vector["responder_ephemeral_private"],
      ])
    var initiator = initiator(vector)
    var effects: [HandshakeEffect] = []
    initiator.initiate(PeerID(7), at: Self.now, unixNanoseconds: HandshakeVector.unixNanoseconds, effects: &effects)
    effects = []
    try responder.receive(
      vector["initiation.message"].span, from: source.span, at: Self.now, unixNanoseconds: 0, underLoad: true, effects: &effects)
    guard effects.count == 1, case .reply(let reply) = effects[0] else { throw TestFailure("other effects: \(effects)") }
    #expect(reply.bytes == vector["cookie_reply.reply_to_initiation"])

    let subkey = XChaCha20Poly1305.hChaCha20(
      key: vector["cookie_key_responder"].span, nonce: vector["cookie_reply.nonce"].span.extracting(first: 16))
    #expect(array(subkey) == vector["cookie_reply.hchacha20_subkey"])
    let cookie = BLAKE2sMAC.authenticate(source.span, key: vector["cookie_reply.secret"].span)
    #expect(array(cookie) == vector["cookie_reply.cookie"])

    effects = []
    try initiator.receive(
      reply.bytes.span, from: source.span, at: Self.now, unixNanoseconds: 0, underLoad: false, effects: &effects)
    #expect(effects.map { if case .cookieReceived(let id) = $0 { id } else { PeerID(0) } } == [PeerID(7)])
    let known = initiator.peers[PeerID(7)]
    let peer = try #require(known)
    let body = Array(vector["initiation.message"].dropLast(32))
    let again = peer.jar.close(body, at: Self.now + .seconds(1))
    #expect(again.bytes == vector["cookie_reply.initiation_with_mac2"])
    #expect(Array(again.bytes.suffix(16)) == vector["cookie_reply.mac2"])

    effects = []
    try responder.receive(
      again.bytes.span, from: source.span, at: Self.now + .seconds(1), unixNanoseconds: 0, underLoad: true, effects: &effects)
    guard effects.count == 2, case .reply(let response) = effects[0] else { throw TestFailure("other effects: \(effects)") }
    #expect(response.bytes == vector["response.message"])
  }
}

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
