import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct UDPSocketTests {
  /// A message as it came, with its datagrams.
  struct Message {
    var facts: ReceivedMessage
    var datagrams: [[UInt8]]
  }

  /// Receives until so many datagrams are there.
  static func receive(_ count: Int, from socket: UDPSocket, buffers: Int = 8) -> [Message] {
    let receiver = DatagramReceiver(bufferCount: buffers)
    var messages: [Message] = []
    while messages.reduce(0, { $0 + $1.datagrams.count }) < count, isReadable(socket.descriptor) {
      for index in 0..<socket.receive(into: receiver) {
        let facts = receiver[index]
        let bytes = receiver.withMessage(index) { span in (0..<span.count).map { span[$0] } }
        messages.append(Message(facts: facts, datagrams: (0..<facts.datagramCount).map { Array(bytes[facts.range(of: $0)]) }))
      }
    }
    return messages
  }

  static func send(
    _ bytes: [UInt8], segment: Int = 0, over socket: UDPSocket, to: DatagramAddress, from: DatagramAddress? = nil, interface: UInt32 = 0,
    typeOfService: UInt8 = 0
  ) -> SendOutcome {
    unsafe bytes.withUnsafeBufferPointer {
      unsafe socket.send(
        $0.baseAddress!, count: bytes.count, segmentByteCount: segment, to: to, from: from, interface: interface,
        typeOfService: typeOfService)
    }
  }

  static let loopbacks: [DatagramAddress] = [.ipv4(0x7F00_0001, port: 0), .ipv6(high: 0, low: 1, port: 0)]

  static func pair(_ address: DatagramAddress) throws -> (UDPSocket, UDPSocket) {
    (try UDPSocket(bindingTo: address), try UDPSocket(bindingTo: address))
  }

  @Test("a run of 44 datagrams goes out in one call and comes in as few messages", arguments: loopbacks, [true, false])
  func run(_ address: DatagramAddress, segmentsInKernel: Bool) throws {
    let (a, b) = try Self.pair(address)
    a.segmentsInKernel = segmentsInKernel
    let bytes = (0..<43 * 1440 + 700).map { UInt8(truncatingIfNeeded: $0 * 7) }
    let outcome = Self.send(bytes, segment: 1440, over: a, to: b.localAddress)
    let messages = Self.receive(44, from: b)
    #expect(
      outcome == .sent && messages.flatMap(\.datagrams) == (0..<44).map { Array(bytes[$0 * 1440..<min(bytes.count, ($0 + 1) * 1440)]) })
    #expect(messages.allSatisfy { $0.facts.source == a.localAddress && !$0.facts.isTruncated })
    if segmentsInKernel { #expect(messages.count <= 2) }
  }

  @Test("64 datagrams of one byte, and the largest run")
  func bounds() throws {
    let (a, b) = try Self.pair(Self.loopbacks[0])
    let small = [UInt8](repeating: 1, count: 64)
    let outcomes = (
      Self.send(small, segment: 1, over: a, to: b.localAddress),
      Self.send([UInt8](repeating: 2, count: UDPSocket.runByteLimit), segment: 1440, over: a, to: b.localAddress)
    )
    #expect(outcomes == (.sent, .sent))
    #expect(Self.receive(64 + 46, from: b).reduce(0) { $0 + $1.facts.byteCount } == 64 + 65507)
  }

  @Test("ECN and DSCP arrive", arguments: loopbacks, [0x00, 0x01, 0x02, 0x03, 0xBA] as [UInt8])
  func typeOfService(_ address: DatagramAddress, _ value: UInt8) throws {
    let (a, b) = try Self.pair(address)
    _ = Self.send([1, 2, 3, 4], segment: 2, over: a, to: b.localAddress, typeOfService: value)
    let messages = Self.receive(2, from: b)
    #expect(!messages.isEmpty && messages.allSatisfy { $0.facts.typeOfService == value })
  }

  @Test("a wildcard socket learns the address it was sent to, and answers from it")
  func sticky() throws {
    let server = try UDPSocket(bindingTo: .ipv4(0, port: 0))
    let client = try UDPSocket(bindingTo: .ipv4(0x7F00_0001, port: 0))
    let target = DatagramAddress.ipv4(0x7F00_0099, port: server.localAddress.port)
    _ = Self.send([1], over: client, to: target)
    let facts = try #require(Self.receive(1, from: server).first).facts
    #expect(facts.destination == .ipv4(0x7F00_0099, port: 0) && facts.interface == 1)
    _ = Self.send([2], over: server, to: facts.source, from: facts.destination, interface: facts.interface)
    let answer = try #require(Self.receive(1, from: client).first).facts
    #expect(answer.source == target)
  }

  @Test("IPv6 tells the address too, and takes a source")
  func sticky6() throws {
    let server = try UDPSocket(bindingTo: .ipv6(high: 0, low: 0, port: 0))
    let client = try UDPSocket(bindingTo: Self.loopbacks[1])
    _ = Self.send([1], over: client, to: .ipv6(high: 0, low: 1, port: server.localAddress.port))
    let facts = try #require(Self.receive(1, from: server).first).facts
    #expect(facts.destination == Self.loopbacks[1] && facts.interface == 1)
    let outcome = Self.send([2], over: server, to: facts.source, from: facts.destination, interface: facts.interface)
    #expect(outcome == .sent && Self.receive(1, from: client).count == 1)
  }

  @Test("a source that is not ours any more is given up, and the datagram goes out without", arguments: [true, false])
  func sourceGone(isIPv4: Bool) throws {
    let (a, b) = try Self.pair(Self.loopbacks[isIPv4 ? 0 : 1])
    let wildcard = try UDPSocket(bindingTo: isIPv4 ? .ipv4(0, port: 0) : .ipv6(high: 0, low: 0, port: 0))
    _ = a
    let gone: DatagramAddress = isIPv4 ? .ipv4(0xC633_6401, port: 0) : .ipv6(high: 0x2001_0DB8_0000_0000, low: 5, port: 0)
    let outcome = Self.send([1, 2, 3, 4], segment: 2, over: wildcard, to: b.localAddress, from: gone)
    #expect(outcome == .sentFromAnotherAddress && Self.receive(2, from: b).flatMap(\.datagrams) == [[1, 2], [3, 4]])
  }

  @Test("a batch sends to several peers; one that fails does not stop the others")
  func batch() throws {
    let sender = try UDPSocket(bindingTo: .ipv4(0x7F00_0001, port: 0))
    let peers = try (0..<3).map { _ in try UDPSocket(bindingTo: .ipv4(0x7F00_0001, port: 0)) }
    let batch = DatagramBatch()
    let bytes = (0..<100).map { UInt8($0) }
    unsafe bytes.withUnsafeBufferPointer { buffer in
      for (index, peer) in peers.enumerated() {
        if index == 1 { unsafe batch.append(buffer.baseAddress!, count: 10, segmentByteCount: 0, to: Self.loopbacks[1]) }
        unsafe batch.append(buffer.baseAddress! + index, count: 90, segmentByteCount: 30, to: peer.localAddress)
      }
      sender.send(batch)
    }
    #expect((0..<4).map { batch.outcome($0).isSent } == [true, false, true, true])
    for (index, peer) in peers.enumerated() {
      #expect(Self.receive(3, from: peer).flatMap(\.datagrams).flatMap { $0 } == Array(bytes[index..<index + 90]))
    }
    batch.removeAll()
    #expect(batch.count == 0)
  }

  @Test("errors are news, not failures: too big, wrong family, an unreachable network")
  func errors() throws {
    let (a, _) = try Self.pair(Self.loopbacks[0])
    #expect(Self.send([1], over: a, to: .ipv6(high: 0, low: 1, port: 9)) != .sent)
    #expect(SendOutcome(EMSGSIZE) == .tooBig && SendOutcome(EAGAIN) == .wouldBlock && SendOutcome(ENETDOWN) == .deviceGone)
    #expect(SendOutcome(EHOSTUNREACH) == .unreachable && SendOutcome(EPERM) == .notPermitted && SendOutcome(ENOBUFS) == .noBuffers)
    #expect(throws: SystemError.self) { try UDPSocket(bindingTo: a.localAddress) }
    var options = UDPSocket.Options()
    options.device = "no-such-device"
    #expect(throws: SystemError.self) { try UDPSocket(bindingTo: .ipv4(0, port: 0), options: options) }
    options.device = "longer-than-fifteen"
    #expect(throws: SystemError.self) { try UDPSocket(bindingTo: .ipv4(0, port: 0), options: options) }
  }

  @Test("without waiting: nothing there is nothing received")
  func empty() throws {
    let (a, _) = try Self.pair(Self.loopbacks[0])
    #expect(a.receive(into: DatagramReceiver(bufferCount: 1)) == 0)
    #expect(a.takeError() == nil)
  }

  @Test("datagrams that found no room are counted")
  func drops() throws {
    var options = UDPSocket.Options()
    options.bufferByteCount = 4096
    let (a, b) = (try UDPSocket(bindingTo: Self.loopbacks[0]), try UDPSocket(bindingTo: Self.loopbacks[0], options: options))
    for _ in 0..<50 { _ = Self.send([UInt8](repeating: 1, count: 1000), over: a, to: b.localAddress) }
    let early = Self.receive(1, from: b)
    _ = Self.send([9], over: a, to: b.localAddress)
    let last = Self.receive(1, from: b).last
    #expect(early.count < 50 && (last?.facts.dropCount ?? 0) > 0)
  }

  @Test("in a namespace without routes a send says unreachable; DF makes a large one too big", .enabled(if: isRoot))
  func namespace() throws {
    let outcomes = try inNewNamespace {
      guard bringLoopbackUp() else { return [SendOutcome]() }
      let socket = try UDPSocket(bindingTo: .ipv4(0x7F00_0001, port: 0))
      let wildcard = try UDPSocket(bindingTo: .ipv4(0, port: 0))
      let netlink = try Netlink()
      try netlink.setLink(1, maximumTransmissionUnit: 1400)
      let big = [UInt8](repeating: 1, count: 1500)
      let first = [
        Self.send([1], over: wildcard, to: .ipv4(0x0808_0808, port: 1)), Self.send(big, over: socket, to: socket.localAddress),
        Self.send(big + big, segment: 1500, over: socket, to: socket.localAddress),
      ]
      socket.setProbesPathMTU(false)
      return first + [Self.send(big, over: socket, to: socket.localAddress)]
    }
    #expect(outcomes[0] == .unreachable && outcomes[1] == .tooBig && outcomes[3] == .sent)
    #expect([.tooBig, .invalid].contains(outcomes[2]))  // older kernels say EINVAL
  }
}
