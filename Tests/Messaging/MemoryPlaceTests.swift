import CausewayLinuxIO
import Glibc
import Testing

@testable import CausewayMessaging

@Suite("Whose memory is read")
struct MemoryPlaceTests {
  private static let nonce = (0..<32).map { UInt8($0 * 7 & 255) }

  /// Two ends of a connection of this process with itself.
  private struct Ends: ~Copyable {
    let ours: CInt
    let theirs: CInt

    init() throws {
      let listener = try SilentListener()
      let socket = try PlainSocket(port: listener.port, sending: [])
      theirs = dup(socket.number)
      ours = accept(listener.number, nil, nil)
      listener.close()
    }

    deinit {
      close(ours)
      close(theirs)
    }
  }

  @Test("the process at the other end, when it is on this host and the nonce is at its place; nobody else")
  func tcp() throws {
    let ends = try Ends()
    let place = NoncePlace(Self.nonce)
    let right = MemoryPlace(
      host: MemoryPlace.thisHost, process: UInt32(getpid()), descriptor: UInt32(ends.theirs), address: place.address)
    let socket = ends.ours
    #expect(right.open(socket: socket, nonce: Self.nonce) != nil)
    var wrong: [MemoryPlace] = []
    for process in [0, 1, UInt32(getppid()), 0x7FFF_FFFF, .max] {
      wrong.append(right)
      wrong[wrong.count - 1].process = process
    }
    for descriptor in [UInt32(socket), 0, 1 << 20, .max] {
      wrong.append(right)
      wrong[wrong.count - 1].descriptor = descriptor
    }
    for address in [0, 1, place.address + 1, .max, .max - 16] {
      wrong.append(right)
      wrong[wrong.count - 1].address = address
    }
    wrong.append(right)
    wrong[wrong.count - 1].host[0] ^= 1
    for place in wrong { #expect(place.open(socket: socket, nonce: Self.nonce) == nil, "\(place)") }
    #expect(right.open(socket: socket, nonce: Self.nonce.reversed()) == nil)
    #expect(right.open(socket: socket, nonce: []) == nil)
    withExtendedLifetime(place) {}
  }

  @Test("over a unix socket the kernel names the process")
  func unix() throws {
    var ends: [CInt] = [0, 0]
    #expect(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
    defer { for end in ends { close(end) } }
    let place = NoncePlace(Self.nonce)
    var told = MemoryPlace(host: MemoryPlace.thisHost, process: UInt32(getpid()), descriptor: 0, address: place.address)
    #expect(told.open(socket: ends[0], nonce: Self.nonce) != nil)
    told.process = UInt32(getppid())
    #expect(told.open(socket: ends[0], nonce: Self.nonce) == nil)
    withExtendedLifetime(place) {}
  }

  @Test(
    "UCX's list of transports says whether it is wanted",
    arguments: [
      ("all", true), ("cma", true), ("posix,cma", true), ("sm,tcp", true), ("shm", true), ("tcp", false), ("posix,tcp", false),
      ("sysv,mm", false), ("^posix", true), ("^cma", false), ("^tcp,sm", false), ("", false),
    ])
  func allowed(_ transports: String, _ expected: Bool) { #expect(MemoryPlace.isAllowed(by: transports) == expected) }

  @Test("only who may be on this host is told where anything is")
  func local() throws {
    let one = SocketAddress.loopback4(port: 1)
    #expect(MemoryPlace.isLocal(one, .loopback4(port: 2)))
    #expect(MemoryPlace.isLocal(.loopback6(port: 1), .loopback6(port: 2)))
    #expect(MemoryPlace.isLocal(.ipv4(0x0A00_0001, port: 1), .ipv4(0x0A00_0001, port: 2)))
    #expect(!MemoryPlace.isLocal(.ipv4(0x0A00_0001, port: 1), .ipv4(0x0A00_0002, port: 2)))
    #expect(!MemoryPlace.isLocal(one, .loopback6(port: 1)))
    #expect(!MemoryPlace.isLocal(one, nil))
  }
}
