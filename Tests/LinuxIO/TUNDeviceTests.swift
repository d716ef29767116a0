import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1)), .enabled(if: isRoot)) struct TUNDeviceTests {
  /// A device 10.9.0.1/24 of MTU 1400 that is up.
  static func prepare(_ name: String, multiQueue: Bool = false) throws -> TUNDevice {
    let device = try TUNDevice(name: name, multiQueue: multiQueue)
    let netlink = try Netlink()
    let link = try #require(try netlink.link(named: name))
    try netlink.addAddress(InterfaceAddress(#require(AddressPrefix("10.9.0.1/24")), interface: link.index))
    try netlink.setLink(link.index, up: true, maximumTransmissionUnit: 1400, transmitQueueLength: 50)
    return device
  }

  /// The next packet to 10.9.0.2 with its header; router solicitations and the like are skipped.
  static func read(_ device: TUNDevice) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: TUNDevice.readByteCount)
    while isReadable(device.descriptor) {
      let count = unsafe bytes.withUnsafeMutableBufferPointer { unsafe device.read(into: $0.baseAddress!, capacity: $0.count) }
      if count > 30 && bytes[10] == 0x45 && bytes[29] == 2 { return Array(bytes[..<count]) }
      if count < 0 { break }
    }
    return []
  }

  static func write(_ pieces: [[UInt8]], to device: TUNDevice) -> TUNWriteOutcome {
    let joined = pieces.flatMap { $0 }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: joined.count, alignment: 1)
    defer { unsafe memory.deallocate() }
    unsafe memory.copyBytes(from: joined)
    var list: [MemoryPiece] = unsafe []
    var offset = 0
    for piece in pieces {
      unsafe list.append(MemoryPiece(base: memory.baseAddress! + offset, count: piece.count))
      offset += piece.count
    }
    return unsafe list.withUnsafeBufferPointer { unsafe device.write($0.baseAddress!, count: $0.count) }
  }

  @Test("a packet sent into the device is read with its header, and its answer arrives")
  func roundTrip() throws {
    let (packet, answer) = try inNewNamespace {
      let device = try Self.prepare("cwtest0")
      let socket = try UDPSocket(bindingTo: .ipv4(0x0A09_0001, port: 0))
      _ = UDPSocketTests.send([1, 2, 3], over: socket, to: .ipv4(0x0A09_0002, port: 7))
      let packet = Self.read(device)
      guard packet.count == 41 else { return (packet, [UDPSocketTests.Message]()) }
      // Turned around, as it is but for addresses and ports: neither checksum changes.
      var back = Array(packet[10...])
      back.replaceSubrange(12..<20, with: packet[26..<30] + packet[22..<26])
      back.replaceSubrange(20..<24, with: packet[32..<34] + packet[30..<32])
      #expect(Self.write([Array(packet[..<10]), Array(back[..<28]), Array(back[28...])], to: device) == .written)
      return (packet, UDPSocketTests.receive(1, from: socket))
    }
    #expect(packet.count == 10 + 28 + 3 && packet[0] == 1 && packet.suffix(3) == [1, 2, 3])
    #expect(answer.first?.datagrams == [[1, 2, 3]] && answer.first?.facts.source == .ipv4(0x0A09_0002, port: 7))
  }

  @Test("a run of datagrams comes as one large packet where the kernel can, and goes back as one")
  func segments() throws {
    let (offload, packet, answer) = try inNewNamespace {
      let device = try Self.prepare("cwtest0")
      let socket = try UDPSocket(bindingTo: .ipv4(0x0A09_0001, port: 0))
      let bytes = (0..<2500).map { UInt8(truncatingIfNeeded: $0) }
      _ = UDPSocketTests.send(bytes, segment: 1000, over: socket, to: .ipv4(0x0A09_0002, port: 7))
      let packet = Self.read(device)
      var back = Array(packet[10...])
      back.replaceSubrange(12..<20, with: packet[26..<30] + packet[22..<26])
      back.replaceSubrange(20..<24, with: packet[32..<34] + packet[30..<32])
      if device.offload == .tcpAndUDP { _ = Self.write([Array(packet[..<10]), Array(back[..<1028]), Array(back[1028...])], to: device) }
      return (device.offload, packet, device.offload == .tcpAndUDP ? UDPSocketTests.receive(3, from: socket) : [])
    }
    guard offload == .tcpAndUDP else { return }
    #expect(packet.count == 10 + 28 + 2500 && packet[1] == 5 && Int(packet[4]) + Int(packet[5]) << 8 == 1000)
    #expect(answer.flatMap(\.datagrams).map(\.count) == [1000, 1000, 500])
    #expect(answer.flatMap(\.datagrams).flatMap { $0 } == (0..<2500).map { UInt8(truncatingIfNeeded: $0) })
  }

  @Test("many queues with multi-queue, one without; a device of another kind is told apart")
  func queues() throws {
    try inNewNamespace {
      let first = try TUNDevice(name: "cwmany", multiQueue: true)
      let second = try TUNDevice(name: "cwmany", multiQueue: true)
      #expect(first.name == second.name && first.isMultiQueue && first.descriptor != second.descriptor)
      let alone = try TUNDevice(name: "cwalone")
      #expect(!alone.isMultiQueue)
      #expect(Self.cause { _ = try TUNDevice(name: "cwalone") } == .busy)
      #expect(Self.cause { _ = try TUNDevice(name: "cwalone", multiQueue: true) } == .notTUN)
      #expect(Self.cause { _ = try TUNDevice(name: "lo") } == .notTUN)
    }
  }

  static func cause(_ body: () throws -> Void) -> TUNError.Cause? {
    do { try body() } catch { return (error as? TUNError)?.cause }
    return nil
  }

  @Test("a queue can be handed on, and is one device still")
  func adopt() throws {
    try inNewNamespace {
      let device = try Self.prepare("cwtest0")
      let other = try TUNDevice(adopting: dup(device.descriptor))
      #expect(other.name == "cwtest0" && other.offload == device.offload)
      #expect(Self.cause { _ = try TUNDevice(adopting: dup(0)) } == .notTUN)
    }
  }

  @Test("a write to a device that is down, or of no packet, says so")
  func outcomes() throws {
    try inNewNamespace {
      let device = try TUNDevice(name: "cwtest0")
      let header = [UInt8](repeating: 0, count: 10)
      #expect(Self.write([header, [0x45] + [UInt8](repeating: 0, count: 30)], to: device) == .down)
      let netlink = try Netlink()
      let index = try #require(try netlink.link(named: "cwtest0")).index
      try netlink.setLink(index, up: true)
      #expect(Self.write([header, [0x15] + [UInt8](repeating: 0, count: 30)], to: device) == .invalid)
      try netlink.removeLink(index)
      #expect(Self.write([header, [0x45] + [UInt8](repeating: 0, count: 30)], to: device) == .gone)
    }
  }

  @Test(
    "names",
    arguments: [
      ("bond0", true), ("a", true), ("123456789012345", true), ("1234567890123456", false), ("", false), (".", false), ("a/b", false),
      ("a b", false), ("tun%d", false), ("a:b", false),
    ])
  func names(_ name: String, _ isValid: Bool) {
    #expect(TUNDevice.isValidName(name) == isValid)
    if !isValid { #expect(Self.cause { _ = try TUNDevice(name: name) } == .invalidName) }
  }
}
