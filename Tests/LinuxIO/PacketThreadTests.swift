import CLinux
import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct PacketPollTests {
  @Test("ready descriptors are told by tag, with what they are ready for")
  func tags() throws {
    let poll = try PacketPoll()
    let (a, b) = (try UDPSocket(bindingTo: UDPSocketTests.loopbacks[0]), try UDPSocket(bindingTo: UDPSocketTests.loopbacks[0]))
    try poll.register(a.descriptor, tag: 7)
    try poll.register(b.descriptor, tag: 1 << 40, for: [.read, .write])
    #expect(poll.wait(until: .distantFuture, now: SystemClock.now) == 1)
    #expect(poll[0].tag == 1 << 40 && poll[0].interest == .write)
    try poll.change(b.descriptor, tag: 9, to: .read)
    #expect(poll.wait(until: .zero, now: SystemClock.now) == 0)
    _ = UDPSocketTests.send([1], over: b, to: a.localAddress)
    #expect(poll.wait(until: .distantFuture, now: SystemClock.now) == 1 && poll[0].tag == 7 && poll[0].interest == .read)
    poll.deregister(a.descriptor)
    #expect(poll.wait(until: .zero, now: SystemClock.now) == 0)
    #expect(throws: SystemError.self) { try poll.register(-1, tag: 1) }
  }

  @Test("a wait ends at its deadline, below a millisecond too", arguments: [50_000, 300_000, 2_000_000] as [UInt64])
  func deadline(_ nanoseconds: UInt64) throws {
    let poll = try PacketPoll()
    // The best of several: a busy machine delays, it never hurries.
    let best =
      (0..<20).map { _ -> UInt64 in
        let start = SystemClock.now
        _ = poll.wait(until: Instant(nanoseconds: start.nanoseconds + nanoseconds), now: start)
        return SystemClock.now.nanoseconds - start.nanoseconds
      }.min() ?? 0
    #expect(best >= nanoseconds && best < nanoseconds + 900_000)
  }
}

@Suite(.timeLimit(.minutes(1))) struct PacketMailboxTests {
  @Test("what is sent is received in order; a full box says so")
  func order() throws {
    let box = try CausewayLinuxIO.Mailbox<String>(capacity: 3)
    for text in ["a", "b", "c", "d"] { #expect(box.send(text)) }
    #expect(!box.send("e"))
    #expect(box.receive() == "a" && box.send("f"))
    var rest: [String] = []
    while let text = box.receive() { rest.append(text) }
    #expect(rest == ["b", "c", "d", "f"])
  }

  @Test("the descriptor wakes for every burst and is quiet when all is taken")
  func wakes() throws {
    let box = try CausewayLinuxIO.Mailbox<Int>(capacity: 8)
    let poll = try PacketPoll()
    try poll.register(box.descriptor, tag: 1)
    #expect(poll.wait(until: .zero, now: .zero) == 0)
    for round in 0..<3 {
      for message in 0...round { _ = box.send(round * 10 + message) }
      #expect(poll.wait(until: .distantFuture, now: SystemClock.now) == 1)
      for message in 0...round { #expect(box.receive() == round * 10 + message) }
      #expect(box.receive() == nil && poll.wait(until: .zero, now: .zero) == 0)
    }
  }

  @Test("two threads: nothing is lost, and no wake-up is missed")
  func threads() throws {
    let box = try CausewayLinuxIO.Mailbox<[Int]>(capacity: 4)
    let count = 20000
    let thread = try Thread(name: "sender") {
      var next = 0
      while next < count { if box.send([next]) { next += 1 } else { sched_yield() } }
    }
    var expected = 0
    while expected < count {
      if let message = box.receive() {
        #expect(message == [expected])
        expected += 1
      } else if !isReadable(box.descriptor) {
        Issue.record("no wake-up after \(expected)")
        break
      }
    }
    thread.join()
    #expect(expected == count)
  }

  @Test("messages left in the box go with it")
  func leftovers() throws {
    final class Counted: Sendable {}
    weak var last: Counted?
    do {
      let box = try CausewayLinuxIO.Mailbox<Counted>(capacity: 4)
      let message = Counted()
      last = message
      _ = box.send(message)
      _ = box.send(Counted())
    }
    #expect(last == nil)
  }
}

@Suite(.timeLimit(.minutes(1))) struct TCPPathSocketTests {
  /// A listening socket on loopback, accepted from without an event loop.
  final class Listener {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    let address: DatagramAddress

    init() throws {
      _ = SocketAddress.loopback4(port: 0).bind(descriptor)
      _ = Glibc.listen(descriptor, 8)
      address = try #require(SocketAddress.local(of: descriptor)?.datagram)
    }

    deinit { _ = Glibc.close(descriptor) }

    func accept() -> TCPPathSocket { TCPPathSocket(adopting: Glibc.accept(descriptor, nil, nil)) }
  }

  @Test("connects from its source, carries bytes both ways, and knows its rate and round trip")
  func carries() throws {
    let listener = try Listener()
    var options = TCPPathSocket.Options()
    options.source = .ipv4(0x7F00_0077, port: 0)
    let client = try TCPPathSocket(connectingTo: listener.address, options: options)
    let server = listener.accept()
    let poll = try PacketPoll()
    try poll.register(client.descriptor, tag: 1, for: .write)
    #expect(poll.wait(until: .distantFuture, now: SystemClock.now) == 1 && client.takeError() == nil)
    #expect(server.peerAddress == client.localAddress && client.localAddress?.low == 0xFFFF_7F00_0077)
    let bytes = [UInt8](repeating: 7, count: 10000)
    var room = [UInt8](repeating: 0, count: 65536)
    for _ in 0..<20 {
      #expect(unsafe client.send(bytes, count: bytes.count) == .bytes(10000))
      var left = 10000
      while left > 0, isReadable(server.descriptor), case .bytes(let count) = unsafe server.receive(into: &room, count: left) {
        left -= count
      }
    }
    #expect(unsafe server.receive(into: &room, count: 10) == .wouldBlock)
    let info = try #require(client.info())
    #expect(info.isEstablished && info.roundTripTime > .zero && info.minimumRoundTripTime > .zero && info.deliveryRate > 0)
    #expect(info.unsentByteCount == 0 && info.congestionWindowByteCount > 0)
    server.abortOnClose()
    _ = consume server
    #expect(isReadable(client.descriptor))
    #expect(unsafe client.receive(into: &room, count: 10) == .failed(ECONNRESET))
  }

  @Test("little waits unsent in the kernel: writable only below the limit")
  func unsentLimit() throws {
    let listener = try Listener()
    let client = try TCPPathSocket(connectingTo: listener.address)
    let server = listener.accept()
    let poll = try PacketPoll()
    try poll.register(client.descriptor, tag: 1, for: .write)
    let bytes = [UInt8](repeating: 7, count: 4096)
    var written = 0
    // Nobody reads: the peer's window fills, then the unsent limit.
    while poll.wait(until: .zero, now: .zero) > 0 || written == 0, written < 64 << 20 {
      guard case .bytes(let count) = unsafe client.send(bytes, count: bytes.count) else { break }
      written += count
    }
    let info = try #require(client.info())
    #expect(info.unsentByteCount > 0 && info.unsentByteCount <= TCPPathSocket.unsentLimitMinimum + 4096)
    _ = server
  }

  @Test("a refused connection is an error of the socket, not of the program")
  func refused() throws {
    let address = try Listener().address
    let client = try TCPPathSocket(connectingTo: address)
    let poll = try PacketPoll()
    try poll.register(client.descriptor, tag: 1, for: .write)
    _ = poll.wait(until: .distantFuture, now: SystemClock.now)
    #expect(client.takeError() == ECONNREFUSED && client.peerAddress == nil)
  }
}
