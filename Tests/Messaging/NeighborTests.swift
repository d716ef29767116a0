import CausewayLoopTesting
import Glibc
import Testing

@testable import CausewayMessaging

/// Processes of one host that cannot attach each other's shared memory: UCX would try it all the same.
@Suite("Peers of one host, but of another user or container", .enabled(if: getuid() == 0, "other users and namespaces need root"))
struct NeighborTests {
  private static let nobody: gid_t = 65534

  enum Neighbor: CaseIterable { case user, ipc, processes }

  /// A peer in a process that is on this host, and can share nothing with this one. Another user may not reach the folder of the tests, and gets a copy.
  private static func peer(_ who: Neighbor, _ words: String..., copy: borrowing Folder) throws -> Peer {
    let program = try who == .user ? copy.add(Peer.path("messaging-peer")) : Peer.path("messaging-peer")
    let command =
      switch who {
      case .user: ["setpriv", "--reuid=\(nobody)", "--regid=\(nobody)", "--clear-groups"]
      case .ipc: ["unshare", "--ipc"]
      case .processes: ["unshare", "--pid", "--fork", "--kill-child"]
      }
    return try Peer(words: command.dropFirst() + [program] + words, file: command[0])
  }

  @Test("they talk over the network instead, in both directions and in all sizes", arguments: Neighbor.allCases)
  func talk(_ who: Neighbor) async throws {
    let folder = Folder()
    let engine = try Pair.engine()
    let server = try Server(on: engine)
    let port = try await server.listen(on: "127.0.0.1")
    let peer = try Self.peer(who, "obey", "port=\(port)", copy: folder)
    try #require(peer.line() == "connected")
    let endpoint = try #require(await server.nextEndpoint())
    let names = try endpoint.transports().map(\.name)
    #expect(names.contains("tcp") && !names.contains("posix") && !names.contains("sysv"), "\(names)")
    for size in [0, 100, 100_000, 5 << 20] {
      try await endpoint.send(Array("send 1 \(size)".utf8), tag: 0xFFFF)
      #expect(try await server.receive(tag: 1).buffer.array() == [UInt8](repeating: 7, count: size))
      try await endpoint.send(Array("receive 2 \(size)".utf8), tag: 0xFFFF)
      try await endpoint.send([UInt8](repeating: 1, count: size), tag: 2, synchronous: true)
    }
    peer.kill()
    engine.shutdown()
  }

  @Test("without a network transport the refusal says why", arguments: [Neighbor.user, .ipc])
  func noNetwork(_ who: Neighbor) async throws {
    let folder = Folder()
    let engine = try Pair.engine(tls: "posix,sysv")
    let server = try Server(on: engine)
    let port = try await server.listen(on: "127.0.0.1")
    let peer = try Self.peer(who, "obey", "port=\(port)", "tls=posix,sysv", copy: folder)
    let line = peer.line()
    #expect(line.contains("another user or container"), "\(line)")
    #expect(server.clients.isEmpty)
    engine.shutdown()
  }
}

/// A folder that everybody may read; gone at the end of its life.
private struct Folder: ~Copyable {
  private let path: String

  init() {
    path = temporaryFolder()
    unsafe chmod(path, 0o755)
  }

  deinit {
    unsafe unlink(path + "/program")
    unsafe rmdir(path)
  }

  /// A copy of a program.
  borrowing func add(_ program: String) throws -> String {
    let copy = path + "/program"
    let copying = try Peer(words: ["-m", "755", program, copy], file: "install")
    // Ends with the end of its output.
    _ = copying.line()
    return copy
  }
}
