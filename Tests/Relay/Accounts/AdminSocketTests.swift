import CausewayLinuxIO
import CausewayRelayCore
import Foundation
import Testing

@testable import CausewayRelay

/// A relay's accounts without the rest of a relay.
private final class SmallRelay {
  let data: DataDirectory
  let effects = Recorder<AdminEffect>()
  private var lock: DataDirectoryLock?
  private let thread: StoreThread
  private let socket: AdminSocket
  private let running: RunningLoop

  init(_ data: DataDirectory) throws {
    self.data = data
    try data.prepare()
    let lock = try data.lock(waitingMilliseconds: 2000)
    thread = try StoreThread(try data.openStore(lock))
    let loop = try EventLoop()
    let effects = effects
    socket = try AdminSocket(
      in: data, lock, on: loop, thread, policy: ReservationPolicy(), clock: { start }, apply: { effects.append(contentsOf: $0) })
    running = RunningLoop(loop)
    self.lock = consume lock
  }

  func stop() {
    running.stop()
    socket.close()
    thread.stop()
    lock = nil
  }
}

@Suite struct AdminSocketTests {
  let folder = TemporaryFolder()

  /// `run` blocks, so it gets a thread that no other test waits for.
  private func run(_ command: AdminCommand, _ data: DataDirectory) async -> AdminAnswer {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread { continuation.resume(returning: AdminClient.run(command, in: data, clock: { start })) }
    }
  }

  @Test("without a relay a command opens the database, with one it asks the relay: the same answers")
  func bothWays() async throws {
    let data = folder.data
    let first = await run(.addAccount(email: "one@example.org"), data)
    #expect(first.exitCode == 0)
    #expect(first.output.count == 1)

    let relay = try SmallRelay(data)
    #expect(mode(data.socketPath) == 0o600)
    let second = await run(.addAccount(email: "two@example.org"), data)
    #expect(second.output.count == 1)
    #expect(Token.resembles(second.output.first ?? ""))
    let again = await run(.addAccount(email: "two@example.org"), data)
    #expect(again.exitCode == 1)
    let live = await run(.listAccounts, data)
    relay.stop()
    #expect(mode(data.socketPath) == nil)

    let offline = await run(.listAccounts, data)
    #expect(live == offline)
    #expect(live.output.map { $0.split(separator: "\t")[0] } == ["one@example.org", "two@example.org"])
  }

  @Test("what a command entails has been applied when the command ends")
  func appliesEffects() async throws {
    let relay = try SmallRelay(folder.data)
    defer { relay.stop() }
    let token = try #require(await run(.addAccount(email: "me@example.org"), relay.data).output.first)
    #expect(await run(.revokeToken(secret: token), relay.data).exitCode == 0)
    #expect(relay.effects.values == [.tokenRevoked(TokenHash(of: token))])
    #expect(await run(.disableAccount(email: "me@example.org"), relay.data).exitCode == 0)
    #expect(relay.effects.values.count == 2)
  }

  @Test("a list of several pages arrives whole")
  func pages() async throws {
    let data = folder.data
    try data.prepare()
    do {
      let lock = try data.lock(waitingMilliseconds: 2000)
      let store = try data.openStore(lock)
      try store.transaction { () throws(StoreError) in
        for index in 0..<1300 { _ = try store.addAccount(email("a\(index)@example.org"), token: nil, at: start) }
      }
    }
    let relay = try SmallRelay(data)
    defer { relay.stop() }
    let list = await run(.listAccounts, data)
    #expect(list.output.count == 1300)
    #expect(Set(list.output).count == 1300)
  }

  @Test("more commands at a time than conversations are all answered")
  func many() async throws {
    let relay = try SmallRelay(folder.data)
    defer { relay.stop() }
    let data = relay.data
    let codes = await withTaskGroup(of: Int32.self) { group in
      for index in 0..<3 * AdminSocket.connectionLimit {
        group.addTask { await run(.addAccount(email: "a\(index)@example.org"), data).exitCode }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(codes == [Int32](repeating: 0, count: 3 * AdminSocket.connectionLimit))
  }

  @Test("a folder deeper than a socket address is no hindrance")
  func longPath() async throws {
    let data = DataDirectory(path: folder.path + "/" + String(repeating: "a", count: 120) + "/relay")
    let relay = try SmallRelay(data)
    defer { relay.stop() }
    #expect(await run(.addAccount(email: "me@example.org"), data).exitCode == 0)
  }

  @Test("a socket that a killed relay left is no relay, and the next one takes its place")
  func staleSocket() async throws {
    let data = folder.data
    try data.prepare()
    do { _ = try UnixSocket.listen(at: data.socketPath) }  // closed at once; the file stays
    #expect(mode(data.socketPath) != nil)
    #expect(await run(.addAccount(email: "me@example.org"), data).exitCode == 0)
    let relay = try SmallRelay(data)
    defer { relay.stop() }
    #expect(await run(.listAccounts, data).output.count == 1)
  }

  @Test(
    "what is no question is refused without harm",
    arguments: ["hello\n", "GET / HTTP/1.1\r\n\r\n", String(repeating: "x", count: 5000), "causeway-admin-1\taccount-add\t%zz\t\n"])
  func garbage(_ text: String) async throws {
    let relay = try SmallRelay(folder.data)
    defer { relay.stop() }
    let socket = try UnixSocket.connect(to: relay.data.socketPath, timeoutSeconds: 5)
    let bytes = [UInt8](text.utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe send(socket.rawValue, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
    var reply = [UInt8](repeating: 0, count: 4096)
    let count = unsafe reply.withUnsafeMutableBytes { unsafe recv(socket.rawValue, $0.baseAddress, $0.count, 0) }
    let answer = AdminCodec.answer(Array(reply.prefix(max(0, count))))
    #expect(answer?.exitCode == AdminAnswer.usage)
    #expect(await run(.listAccounts, relay.data).exitCode == 0)
  }

  @Test("one who hangs up in mid-question or before the answer harms nobody")
  func hangsUp() async throws {
    let relay = try SmallRelay(folder.data)
    defer { relay.stop() }
    for question in [[UInt8]("causeway-admin-1\tacc".utf8), AdminCodec.encode(.addAccount(email: "gone@example.org"), from: "")] {
      let socket = try UnixSocket.connect(to: relay.data.socketPath, timeoutSeconds: 5)
      _ = unsafe question.withUnsafeBytes { unsafe send(socket.rawValue, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
    }
    #expect(await run(.listAccounts, relay.data).exitCode == 0)
  }

  @Test("the other side of a socket is known by its user")
  func credentials() throws {
    let data = folder.data
    try data.prepare()
    let listener = try UnixSocket.listen(at: data.socketPath)
    let socket = try UnixSocket.connect(to: data.socketPath, timeoutSeconds: 5)
    #expect((try? PeerCredentials(of: socket.rawValue))?.userID == geteuid())
    #expect((try? PeerCredentials(of: -1)) == nil)
    _ = consume listener
  }

  @Test("another user is turned away even when the folder lets him in", .enabled(if: geteuid() == 0))
  func otherUser() async throws {
    let relay = try SmallRelay(folder.data)
    defer { relay.stop() }
    let path = folder.path
    unsafe chmod(path, 0o755)
    unsafe chmod(relay.data.path, 0o755)
    unsafe chmod(relay.data.socketPath, 0o666)
    await #expect(processExitsWith: .success) { [path = path as String] in
      guard setuid(65534) == 0 else { exit(3) }
      let answer = AdminClient.run(.listAccounts, in: DataDirectory(path: path + "/relay"))
      exit(answer.exitCode == AdminAnswer.temporary && answer.output.isEmpty ? 0 : 1)
    }
    #expect(relay.effects.values.isEmpty)
  }

  @Test("a command waits for a lock that is held shortly, as by another command")
  func waitsForLock() async throws {
    let data = folder.data
    try data.prepare()
    let held = try data.lock()
    async let answer = run(.addAccount(email: "me@example.org"), data)
    try await Task.sleep(for: .milliseconds(100))
    _ = consume held
    #expect(await answer.exitCode == 0)
  }
}
