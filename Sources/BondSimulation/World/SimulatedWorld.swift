package import CausewayBase
package import CausewaySimulation

/// Two ends, the links between them, the hosts behind them, and virtual time. Everything happens in `run(until:)`.
package final class SimulatedWorld {
  package typealias EndpointFactory = (_ side: SimulatedSide, _ incarnation: Int, _ now: Instant) -> any SimulatedEndpoint

  /// Both directions of a link, and the address that the client has on it now.
  package final class Link {
    package let upward: PacketLink
    package let downward: PacketLink
    fileprivate(set) var clientAddress: SimulatedAddress
    fileprivate var generations = (host: 0, port: 0)

    init(_ upward: PacketLink, _ downward: PacketLink, number: Int) {
      self.upward = upward
      self.downward = downward
      clientAddress = .client(link: number)
    }

    func direction(from side: SimulatedSide) -> PacketLink { side == .client ? upward : downward }
  }

  /// A datagram is never longer.
  package static let longestDatagram = 9_728
  /// Turns of the inner loop at one instant before the run counts as hung.
  static let turnsPerInstant = 100_000

  package private(set) var now = Instant.zero
  package let links: [Link]
  package private(set) var endpoints: [(any SimulatedEndpoint)?]
  let hosts: [InnerHost]
  private var incarnations = [0, 0]
  private var suspendedUntil: [Instant] = [.zero, .zero]
  private let makeEndpoint: EndpointFactory
  private var buffer = [UInt8](repeating: 0, count: longestDatagram)
  /// Datagrams to an address that nobody has any more.
  package private(set) var unroutableCount = 0
  /// An end that never stops sending at one instant, or asks to be woken in the past for ever.
  package var isHung: Bool { hang != nil }
  /// What never ends, and when.
  package private(set) var hang: String?
  private var actions: [(at: Instant, run: (SimulatedWorld) -> Void)] = []
  /// Sides at which something happened since they were last looked after.
  private var isTouched = [true, true]

  package init(links: [LinkPair], seed: UInt64, endpoint: @escaping EndpointFactory) {
    var seeds = SeededRandom(seed: seed)
    self.links = links.enumerated().map { number, pair in
      Link(
        PacketLink(pair.upward, events: pair.upwardEvents, longest: Self.longestDatagram, seed: seeds.next()),
        PacketLink(pair.downward, events: pair.downwardEvents, longest: Self.longestDatagram, seed: seeds.next()), number: number)
    }
    makeEndpoint = endpoint
    hosts = SimulatedSide.allCases.map { InnerHost($0) }
    endpoints = SimulatedSide.allCases.map { endpoint($0, 0, .zero) }
  }

  package var strayPacketCount: Int { hosts.reduce(0) { $0 + $1.strayCount } }

  // MARK: What may be done to it

  /// Runs `body` at an instant; those of one instant in the order they were added.
  package func schedule(at instant: Instant, _ body: @escaping (SimulatedWorld) -> Void) {
    let place = actions.firstIndex { $0.at > instant } ?? actions.count
    actions.insert((instant, body), at: place)
  }

  /// The NAT in front of a link forgets: the client appears with another port, and nothing sent to the old one arrives.
  package func rebind(link: Int) {
    links[link].generations.port += 1
    renew(link)
  }

  /// The client gets another address on a link and is told so.
  package func changeAddress(link: Int) {
    links[link].generations.host += 1
    renew(link)
    endpoints[0]?.linkChanged(link, isUp: true, at: now)
  }

  private func renew(_ link: Int) {
    let generations = links[link].generations
    links[link].clientAddress = .client(link: link, hostGeneration: generations.host, portGeneration: generations.port)
  }

  /// Tells the client's end what netlink would.
  package func announce(link: Int, isUp: Bool) { endpoints[0]?.linkChanged(link, isUp: isUp, at: now) }

  /// The process dies, with all it knew.
  package func kill(_ side: SimulatedSide) { endpoints[side.rawValue] = nil }

  /// A new process with the same configuration.
  package func restart(_ side: SimulatedSide) {
    incarnations[side.rawValue] += 1
    endpoints[side.rawValue] = makeEndpoint(side, incarnations[side.rawValue], now)
  }

  /// The machine sleeps: nothing runs, nothing arrives, and afterwards so much time has passed.
  package func suspend(_ side: SimulatedSide, for duration: Duration) { suspendedUntil[side.rawValue] = now + duration }

  // MARK: Time

  /// Lets time pass until `end`.
  package func run(until end: Instant) {
    var turns = 0
    var instant = now
    while !isHung {
      pump()
      guard let next = nextEvent, next <= end else { break }
      now = max(now, next)
      turns = now == instant ? turns + 1 : 0
      instant = now
      if turns > Self.turnsPerInstant { noteHang("wakes for ever") }
      while let action = actions.first, action.at <= now {
        actions.removeFirst()
        action.run(self)
        isTouched = [true, true]
      }
      arrivals()
      for side in SimulatedSide.allCases where isAwake(side) {
        if let endpoint = endpoints[side.rawValue], let deadline = endpoint.nextDeadline, deadline <= now {
          endpoint.advance(to: now)
          isTouched[side.rawValue] = true
        }
        if hosts[side.rawValue].nextDeadline <= now.nanoseconds {
          hosts[side.rawValue].advance(to: now)
          isTouched[side.rawValue] = true
        }
      }
    }
    now = max(now, end)
  }

  private func isAwake(_ side: SimulatedSide) -> Bool { suspendedUntil[side.rawValue] <= now }

  private var nextEvent: Instant? {
    var earliest = actions.first?.at ?? .distantFuture
    for link in links {
      if let arrival = link.upward.nextArrival { earliest = min(earliest, arrival) }
      if let arrival = link.downward.nextArrival { earliest = min(earliest, arrival) }
    }
    for side in SimulatedSide.allCases {
      var deadline = Instant(nanoseconds: hosts[side.rawValue].nextDeadline)
      if let own = endpoints[side.rawValue]?.nextDeadline { deadline = min(deadline, own) }
      earliest = min(earliest, max(deadline, suspendedUntil[side.rawValue]))
    }
    return earliest == .distantFuture ? nil : earliest
  }

  private func arrivals() {
    for (number, link) in links.enumerated() {
      for side in SimulatedSide.allCases {
        let direction = link.direction(from: side.other)
        while direction.receive(at: now, { bytes, arrival in self.arrive(&bytes, arrival, number, link, side) }) {}
      }
    }
  }

  private func arrive(_ bytes: inout MutableSpan<UInt8>, _ arrival: PacketLink.Arrival, _ number: Int, _ link: Link, _ side: SimulatedSide)
  {
    // The NAT stands at the client's end of the link: what was sent to a forgotten address ends here.
    let address = SimulatedAddress(packed: arrival.tag)
    if side == .client && address != link.clientAddress {
      unroutableCount += 1
      return
    }
    guard isAwake(side), let endpoint = endpoints[side.rawValue] else { return }
    isTouched[side.rawValue] = true
    let remote = side == .client ? .server : address
    endpoint.receive(
      &bytes, from: DatagramOrigin(link: number, remote: remote, congestionBits: arrival.congestionBits), at: now)
  }

  /// Moves packets until nothing moves any more at this instant.
  private func pump() {
    var turns = 0
    var moved = true
    while moved {
      moved = false
      for side in SimulatedSide.allCases where isTouched[side.rawValue] && isAwake(side) {
        let endpoint = endpoints[side.rawValue]
        let host = hosts[side.rawValue]
        if host.drain(at: now, { endpoint?.offer($0, at: now) }) { moved = true }
        guard let endpoint else { continue }
        if sendAll(of: endpoint, side, &turns) { moved = true }
        endpoint.deliver(at: now) { packet in
          host.receive(packet, at: now)
          moved = true
        }
      }
      turns += 1
      if turns > Self.turnsPerInstant {
        noteHang("sends for ever")
        return
      }
    }
    for side in SimulatedSide.allCases where isAwake(side) { isTouched[side.rawValue] = false }
  }

  private func noteHang(_ what: String) {
    let due = SimulatedSide.allCases.map { side in
      "\(side) due at \(endpoints[side.rawValue]?.nextDeadline?.nanoseconds ?? 0) ns"
    }
    hang = "\(what) at \(now.nanoseconds) ns: " + due.joined(separator: ", ")
  }

  private func sendAll(of endpoint: any SimulatedEndpoint, _ side: SimulatedSide, _ turns: inout Int) -> Bool {
    var moved = false
    // Out of the object for the time: a span of a stored array may not outlive one access.
    var buffer = self.buffer
    self.buffer = []
    defer { self.buffer = buffer }
    var span = buffer.mutableSpan
    while turns <= Self.turnsPerInstant, let datagram = endpoint.nextDatagram(into: &span, at: now) {
      moved = true
      turns += 1
      send(span.span.extracting(first: datagram.byteCount), datagram, from: side)
    }
    return moved
  }

  private func send(_ bytes: Span<UInt8>, _ datagram: OutgoingDatagram, from side: SimulatedSide) {
    let number: Int?
    let tag: SimulatedAddress
    switch side {
    case .client:
      number = links.indices.contains(datagram.link) && datagram.remote == .server ? datagram.link : nil
      tag = number.map { links[$0].clientAddress } ?? .server
    case .server:
      // By address, old ones included: they lead to the same NAT.
      number = links.firstIndex { $0.clientAddress == datagram.remote } ?? forgottenLink(datagram.remote)
      tag = datagram.remote
    }
    guard let number else {
      unroutableCount += 1
      return
    }
    links[number].direction(from: side).send(bytes, congestionBits: datagram.congestionBits, tag: tag.packed, at: now)
  }

  private func forgottenLink(_ address: SimulatedAddress) -> Int? {
    let number = Int(address.host & 0xFF) >> 4
    return address.host & 0xFFFF_FF00 == 0xC633_6400 && links.indices.contains(number) ? number : nil
  }
}

/// Both directions of a link with what happens to them.
package struct LinkPair: Sendable {
  package var name: String
  package var upward: LinkParameters
  package var downward: LinkParameters
  package var upwardEvents: [LinkEvent] = []
  package var downwardEvents: [LinkEvent] = []

  package init(name: String, upward: LinkParameters, downward: LinkParameters) {
    self.name = name
    self.upward = upward
    self.downward = downward
  }

  /// The same both ways.
  package init(name: String, _ both: LinkParameters, events: [LinkEvent] = []) {
    self.init(name: name, upward: both, downward: both)
    (upwardEvents, downwardEvents) = (events, events)
  }
}
