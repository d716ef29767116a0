import CausewayBase
import CausewayCrypto
import CausewayPaths
import CausewayWire

@testable import CausewayBondCore

/// A second peer of one end that has valid keys and may send what it likes: every frame, path and counter, under seals that open.
///
/// What the victim sends it is opened and remembered, and, while it `obeys`, answered as an honest peer would: so the victim validates its
/// paths and sends data, and there is something under way to lie about.
final class HostilePeer {
  static let id = PeerID(2)
  static let address = DatagramAddress.ipv4(0xC633_6442, port: 666)
  static let host: [UInt8] = [10, 66, 0, 66]
  static let bootID: UInt64 = 0xBAD

  let network: EngineNetwork
  let victim: EngineEnd
  let device: HandshakeDevice
  var random: SeededRandom
  var obeys = true
  /// The next counter of each path.
  var counters = [UInt64](repeating: 0, count: PathID.limit)
  /// Newest probes of the victim, with their paths; payloads and counters heard.
  private(set) var probes: [(path: UInt8, probe: Probe)] = []
  private(set) var heard: [(path: UInt8, counter: UInt64)] = []
  private(set) var payloads: [[UInt8]] = []
  private(set) var dataCount = 0
  /// Payloads of the victim's that are no frames.
  private(set) var malformedCount = 0
  /// Counters that its acknowledgements named, by path.
  private(set) var acknowledged = [Set<UInt64>](repeating: [], count: PathID.limit)
  private var keys: SessionKeys?
  private var inbox: [(bytes: [UInt8], socket: UInt32)] = []

  /// - Parameter network: One whose ciphers are simulated.
  init(_ network: EngineNetwork, victim: EngineEnd, seed: UInt64) {
    self.network = network
    self.victim = victim
    random = SeededRandom(seed: seed)
    device = HandshakeDevice(seed: 0xBAD)
    device.wallClock = victim.engine.unixOffset
    try! device.handshaker.addPeer(PeerID(1), publicKey: victim.engine.configuration.identity.publicKey, presharedKey: nil)
    var settings = PeerSettings(publicKey: device.publicKey)
    settings.allowedIPs = [IPNetwork(masking: IPAddress(ipv4: 0x0A42_0042), prefixLength: 32)]
    if !victim.isServer { settings.uplinks = (0..<2).map { UplinkSettings(name: "hostile \($0)") } }
    try! victim.engine.setPeer(Self.id, settings, at: network.now)
    network.elsewhere = { [unowned self] bytes, run in
      guard run.route.remote == Self.address else { return false }
      inbox.append((bytes, run.route.socket))
      return true
    }
    connect()
  }

  var link: PeerLink { victim.engine.peers[Self.id]! }

  private func connect() {
    if victim.isServer {
      device.initiate(at: network.now)
      for message in device.takeMessages() { feed(message) }
    } else {
      for uplink in 0..<2 {
        victim.engine.setUplink(uplink, of: Self.id, route: route(socket: UInt32(100 + uplink)), at: network.now)
      }
      victim.engine.connect(Self.id, at: network.now)
    }
    for _ in 0..<50 { turn() }
    hello()
    for _ in 0..<50 { turn() }
  }

  /// Says again who it is, and begins a path of its own on each id.
  func hello() {
    send(
      written { Hello(features: [.repair, .fragments, .checksumPartial], bootID: Self.bootID).write(isAcknowledgement: false, into: &$0) })
    turn()
    for path in 1...4 as ClosedRange<UInt8> { sendProbe(on: path) }
    turn()
  }

  func sendProbe(on path: UInt8) {
    send(written { Probe(id: 1, sentMicroseconds: 0, challenge: 7).write(into: &$0) }, on: path)
  }

  private func route(socket: UInt32) -> Route { Route(socket: victim.isServer ? 0 : socket, remote: Self.address) }

  private func feed(_ bytes: [UInt8], socket: UInt32 = 100) { network.feed(bytes, to: victim, from: route(socket: socket)) }

  /// A millisecond passes; what the victim sent is read.
  func turn(_ duration: Duration = .milliseconds(1)) {
    network.run(for: duration)
    let batch = inbox
    inbox.removeAll()
    for (bytes, socket) in batch { read(bytes, socket) }
  }

  // MARK: Sending

  func send(_ payload: [UInt8], on path: UInt8 = 0, socket: UInt32 = 100, trafficClass: UInt8 = 0) {
    guard let bytes = sealed(payload, on: path) else { return }
    network.feed(bytes, to: victim, from: route(socket: socket), trafficClass: trafficClass)
  }

  func sealed(_ payload: [UInt8], on path: UInt8) -> [UInt8]? {
    guard let keys else { return nil }
    let counter = counters[Int(path)]
    counters[Int(path)] = counter &+ 1
    var bytes = [UInt8](repeating: 0, count: payload.count + TransportHeader.overhead)
    let receiver = keys.remoteIndex | UInt32(path)
    bytes[0] = 4
    for place in 0..<4 { bytes[4 + place] = UInt8(truncatingIfNeeded: receiver >> UInt32(8 * place)) }
    for place in 0..<8 { bytes[8 + place] = UInt8(truncatingIfNeeded: counter >> UInt64(8 * place)) }
    let seal = PlainSeal(sending: keys.sending, receiving: keys.receiving)
    // SAFETY: the message has 32 bytes more than the payload; an empty payload is copied from nowhere.
    unsafe bytes.withUnsafeMutableBufferPointer { target in
      unsafe payload.withUnsafeBufferPointer { source in
        let body = unsafe target.baseAddress! + TransportHeader.byteCount
        unsafe seal.seal(UInt32(path), counter, from: source.baseAddress ?? UnsafePointer(body), count: source.count, to: body)
      }
    }
    return bytes
  }

  // MARK: Reading

  private func read(_ bytes: [UInt8], _ socket: UInt32) {
    guard bytes[0] == 4 else { return readHandshake(bytes, socket) }
    guard let keys, let header = TransportHeader(bytes.span), header.index == keys.localIndex else { return }
    var bytes = bytes
    let seal = PlainSeal(sending: keys.sending, receiving: keys.receiving)
    let path = header.path.rawValue
    // SAFETY: a transport message has 32 bytes at least, `TransportHeader` checked.
    let isOpen = unsafe bytes.withUnsafeMutableBufferPointer {
      unsafe seal.open(UInt32(path), header.counter, inPlace: $0.baseAddress! + 16, count: $0.count - 16)
    }
    precondition(isOpen, "the victim's own messages open")
    let payload = Array(bytes[16..<bytes.count - 16])
    heard.append((path, header.counter))
    if heard.count > 64 { heard.removeFirst() }
    payloads.append(payload)
    if payloads.count > 64 { payloads.removeFirst() }
    answer(payload, path, header.counter, socket)
  }

  private func readHandshake(_ bytes: [UInt8], _ socket: UInt32) {
    guard obeys else { return }
    _ = device.receive(bytes, from: device.source, at: network.now)
    if let new = device.established.last {
      keys = new
      counters = [UInt64](repeating: 0, count: PathID.limit)
    }
    for message in device.takeMessages() { feed(message, socket: socket) }
    if keys?.role == .initiator { send([]) }
  }

  private func answer(_ payload: [UInt8], _ path: UInt8, _ counter: UInt64, _ socket: UInt32) {
    var wantsAcknowledgement = false
    guard !payload.isEmpty, payload[0] >> 4 != 4 else { return }
    guard case .success(let frames) = frames(payload) else {
      malformedCount += 1
      return
    }
    for frame in frames {
      switch frame {
      case .probe(let probe):
        probes.append((path, probe))
        if probes.count > 64 { probes.removeFirst() }
        if obeys {
          let echo = Echo(of: probe, arrivalMicroseconds: 5, receivedByteCount: payload.count)
          send(written { echo.write(into: &$0) }, on: path, socket: socket)
        }
      case .hello:
        if obeys {
          let hello = Hello(features: [.repair, .fragments, .checksumPartial], bootID: Self.bootID)
          send(written { hello.write(isAcknowledgement: true, into: &$0) }, on: path, socket: socket)
        }
      case .data, .fragment, .repair:
        dataCount += 1
        wantsAcknowledgement = true
      case .acknowledgement(var list):
        let bytes = payload.span
        while let block = list.next(bytes) {
          block.ranges(in: bytes) { range in for counter in range { acknowledged[Int(block.path.rawValue)].insert(counter) } }
        }
      case .paths, .skip, .parameters, .suspect: wantsAcknowledgement = true
      default: break
      }
    }
    if obeys, wantsAcknowledgement { acknowledge(path, counter, socket) }
  }

  private func acknowledge(_ path: UInt8, _ counter: UInt64, _ socket: UInt32) {
    var tracker = AckTracker()
    tracker.record(counter, wantsAcknowledgement: true, isCongested: false, at: network.now)
    let now = network.now
    send(
      written { out in
        AcknowledgementWriter.begin(blockCount: 1, into: &out)
        _ = tracker.writeBlock(path: PathID(path), into: &out, at: now)
      }, on: path, socket: socket)
  }

  /// A packet of the victim's own side for this peer.
  func offer(byteCount: Int = 700, number: Int = 0) {
    var packet = EngineNetwork.packet(fromServer: victim.isServer, flow: 9, number: number, byteCount: byteCount, port: 9000)
    packet.replaceSubrange(16..<20, with: Self.host)
    var span = packet.mutableSpan
    victim.engine.offer(&span, VirtioHeader(), at: network.now)
  }

  // MARK: What must hold

  /// Names every table of the victim that is beyond its limit.
  var overgrown: [String] {
    let link = link
    var list: [String] = []
    func check(_ name: String, _ count: Int, _ limit: Int) { if count > limit { list.append("\(name): \(count) of \(limit)") } }
    check("paths", link.paths.count, 32 + 2)
    check("bytes held for order", link.order.heldByteCount, ReorderBuffer.memoryLimitCap)
    check("places for order", link.order.tableCount, ReorderBuffer.tableCountLimit)
    check("suspicions", link.suspicions.count, PathID.limit)
    check("skips", link.skips.count, PeerLink.skipLimit)
    check("copies", link.copies.count, PeerLink.copyQueueLimit)
    check("redundant", link.redundant.count, PeerLink.redundantRunLimit)
    check("handshakes to send", link.pendingHandshakes.count, PathID.limit)
    for path in link.paths {
      check("echoes", path.pendingEchoes.count, BondPath.echoLimit)
      check("MTU probes", path.pendingMTUProbes.count, BondPath.mtuProbeLimit)
    }
    check("queued bytes", link.queue.byteCount, victim.engine.configuration.limits.backlogByteCount)
    check("replies", victim.engine.replies.count, BondEngine.replyLimit)
    check("sessions", victim.engine.sessions.count, 6)
    check("forwarded", victim.engine.forwarded.count, 0)
    check("packets", victim.engine.pool.lentCount, 16_384)
    check("engine's peers at work", victim.engine.active.count, 256)
    return list
  }
}
