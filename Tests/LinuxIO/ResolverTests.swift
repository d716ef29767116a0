import CLinux
import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct ResolverTests {
  typealias Answer = Result<[SocketAddress], ResolveError>

  static func ask(_ resolver: Resolver, _ host: String, port: UInt16 = 80, deadline: Instant = .distantFuture, _ loop: EventLoop) async
    -> Answer
  {
    let answers = Mailbox<Answer>()
    resolver.resolve(host, port: port, deadline: deadline, on: loop) { answers.put($0) }
    return await answers.next()
  }

  @Test(
    "literals and localhost need no thread, and their answer comes after the call",
    arguments: [
      ("127.0.0.1", ["127.0.0.1:80"]), ("::1", ["[::1]:80"]), ("[::1]", ["[::1]:80"]), ("localhost", ["[::1]:80", "127.0.0.1:80"]),
      ("A.LocalHost.", ["[::1]:80", "127.0.0.1:80"]),
    ])
  func literals(_ host: String, _ expected: [String]) async throws {
    let (found, wasInside, threads) = try await onLoop { loop in
      let resolver = Resolver(threadLimit: 1, idleLimit: .seconds(1)) { _ in .failure(.temporaryFailure) }
      let answers = Mailbox<Answer>()
      resolver.resolve(host, port: 80, on: loop) { answers.put($0) }
      let wasInside = answers.count > 0
      return (try await answers.next().get().map(\.description), wasInside, resolver.currentThreadCount)
    }
    #expect(found == expected)
    #expect(!wasInside && threads == 0)
  }

  @Test("a name that cannot be one is no such host, without a query", arguments: ["", "a\0b", String(repeating: "a", count: 300)])
  func noSuchHost(_ host: String) async throws {
    let (answer, threads) = try await onLoop { loop in
      let resolver = Resolver()
      return (await Self.ask(resolver, host, loop), resolver.currentThreadCount)
    }
    #expect(answer == .failure(.noSuchHost))
    #expect(threads == 0)
  }

  @Test("without a network a name server's silence is temporary, not the end of a name", .enabled(if: geteuid() == 0))
  func withoutNetwork() {
    let answer = Shared<Answer?>(nil)
    let thread = try? Thread(name: "namespace") {
      if shim_enter_new_network_namespace() == 0 { answer.value = Resolver.system("name.example") }
    }
    thread?.join()
    #expect(answer.value == .failure(.temporaryFailure))
  }

  @Test("the system's answer for a name in /etc/hosts, off the loop")
  func system() throws {
    // Only the query: `resolve` answers localhost itself.
    let answer = Resolver.system("localhost")
    let found = try answer.get()
    #expect(!found.isEmpty)
    #expect(found.allSatisfy { $0.isLoopback && $0.port == 0 })
  }

  @Test("answers keep their order and get the port; failures keep their kind")
  func answers() async throws {
    let (found, temporary) = try await onLoop { loop in
      let addresses = ["[2001:db8::1]:0", "1.2.3.4:0", "[2001:db8::2]:0"].map { SocketAddress($0)! }
      let resolver = Resolver(threadLimit: 2, idleLimit: .seconds(1)) { $0 == "good" ? .success(addresses) : .failure(.temporaryFailure) }
      return (await Self.ask(resolver, "good", port: 9, loop), await Self.ask(resolver, "bad", loop))
    }
    #expect(try found.get().map(\.description) == ["[2001:db8::1]:9", "1.2.3.4:9", "[2001:db8::2]:9"])
    #expect(temporary == .failure(.temporaryFailure))
  }

  /// A query that waits until the test lets it go.
  // @unchecked Sendable: everything is behind `gate`.
  final class Block: @unchecked Sendable {
    private let gate = Gate()
    private var isOpen = false
    private(set) var running = 0
    private(set) var most = 0
    private(set) var asked: [String] = []

    func query(_ host: String) -> Answer {
      gate.lock()
      defer { gate.unlock() }
      running += 1
      most = max(most, running)
      asked.append(host)
      while !isOpen { _ = gate.wait() }
      gate.wakeOne()
      running -= 1
      return .success([.loopback4(port: 0)])
    }
    func open() {
      gate.withLock {
        isOpen = true
        gate.wakeOne()
      }
    }
    func waitUntilRunning(_ count: Int, _ loop: EventLoop) async {
      while gate.withLock({ running }) < count { await loop.pause(.milliseconds(1)) }
    }
    var figures: (most: Int, asked: [String]) { gate.withLock { (most, asked) } }
  }

  @Test("at most so many threads work; the deadline answers while they hang; late and cancelled answers are dropped; idle threads end")
  func bounds() async throws {
    let (first, most, asked, late, threads) = try await onLoop { loop in
      let block = Block()
      let resolver = Resolver(threadLimit: 2, idleLimit: .milliseconds(10)) { block.query($0) }
      let answers = Mailbox<Answer>()
      var late = 0
      resolver.resolve("hangs", port: 1, deadline: SystemClock.now + .milliseconds(20), on: loop) { answers.put($0) }
      let cancelled = resolver.resolve("cancelled", port: 1, on: loop) { _ in late += 1 }
      await block.waitUntilRunning(2, loop)
      let queued = resolver.resolve("never asked", port: 1, on: loop) { _ in late += 1 }
      resolver.resolve("last", port: 1, on: loop) { answers.put($0) }
      let first = await answers.next()
      cancelled.cancel()
      queued.cancel()
      block.open()
      _ = await answers.next()
      while resolver.currentThreadCount > 0 { await loop.pause(.milliseconds(1)) }
      late += answers.count
      let (most, asked) = block.figures
      return (first, most, asked, late, resolver.currentThreadCount)
    }
    #expect(first == .failure(.deadline))
    #expect(most == 2)
    #expect(Set(asked) == ["hangs", "cancelled", "last"])
    #expect(late == 0)
    #expect(threads == 0)
  }

  @Test("more look-ups than the queue holds are refused, not kept")
  func overload() async throws {
    let (refused, answered) = try await onLoop { loop in
      let block = Block()
      let resolver = Resolver(threadLimit: 1, idleLimit: .milliseconds(10)) { block.query($0) }
      let answers = Mailbox<Answer>()
      resolver.resolve("first", port: 1, on: loop) { answers.put($0) }
      await block.waitUntilRunning(1, loop)
      for _ in 0..<(Resolver.queueLimit + 5) { resolver.resolve("x", port: 1, on: loop) { answers.put($0) } }
      var refused = 0
      for _ in 0..<5 { if await answers.next() == .failure(.overloaded) { refused += 1 } }
      block.open()
      var answered = 0
      for _ in 0..<(Resolver.queueLimit + 1) { if case .success = await answers.next() { answered += 1 } }
      return (refused, answered)
    }
    #expect(refused == 5)
    #expect(answered == Resolver.queueLimit + 1)
  }
}
