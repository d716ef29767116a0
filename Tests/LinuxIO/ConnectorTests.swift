import CLinux
import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct ConnectorTests {
  /// A loopback address that never answers: its listener's backlog is full. Returns it with what must stay open.
  static func blackHole() throws -> (SocketAddress, [CInt]) {
    let listener = blockingSocket(AF_INET)
    precondition(SocketAddress.loopback4(port: 0).bind(listener) == 0 && listen(listener, 0) == 0)
    let address = SocketAddress.local(of: listener)!
    var held = [listener]
    // Connections fill the queue, and from then on SYNs are dropped; non-blocking, so that the ones too many do not hang.
    for _ in 0..<4 {
      let filler = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
      _ = address.connect(filler)
      held.append(filler)
    }
    return (address, held)
  }

  /// A port that nobody listens on, kept from others.
  static func closedPort() -> (SocketAddress, CInt) {
    let holder = blockingSocket(AF_INET)
    precondition(SocketAddress.loopback4(port: 0).bind(holder) == 0)
    return (SocketAddress.local(of: holder)!, holder)
  }

  @Test("connects by literal, by name, and over a unix socket")
  func connects() async throws {
    let count = try await onLoop { loop in
      let accepted = Mailbox<CInt>()
      let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in accepted.put(descriptor.release()) }
      let connector = Connector(on: loop)
      for host in ["127.0.0.1", "localhost", "name.localhost", "[::ffff:127.0.0.1]"] {
        let client = try await connector.connect(to: host, port: listener.address.port, timeout: .seconds(10))
        _ = close(await accepted.next())
        client.close()
      }
      listener.close()
      let folder = temporaryFolder()
      let path = SocketAddress.unix(folder + "/s")!
      let local = try Listener(path, on: loop) { descriptor, _ in accepted.put(descriptor.release()) }
      let client = try await connector.connect(to: [path], timeout: .seconds(10))
      _ = close(await accepted.next())
      client.close()
      local.close()
      _ = unsafe rmdir(folder)
      return listener.acceptedCount + local.acceptedCount
    }
    #expect(count == 5)
  }

  @Test("an error says stage, errno and target in one line")
  func errors() async throws {
    let errors = try await onLoop { loop in
      let (closed, holder) = Self.closedPort()
      let resolver = Resolver(threadLimit: 1, idleLimit: .seconds(1)) { .failure($0 == "nobody.example" ? .noSuchHost : .temporaryFailure) }
      let connector = Connector(on: loop, resolver: resolver)
      var errors: [ConnectError] = []
      func collect(_ body: () async throws(ConnectError) -> FileDescriptor) async {
        do throws(ConnectError) { _ = try await body() } catch { errors.append(error) }
      }
      await collect { () throws(ConnectError) in try await connector.connect(to: [closed], timeout: .seconds(10)) }
      await collect { () throws(ConnectError) in try await connector.connect(to: "nobody.example", port: 1, timeout: .seconds(10)) }
      await collect { () throws(ConnectError) in try await connector.connect(to: "later.example", port: 1, timeout: .seconds(10)) }
      await collect { () throws(ConnectError) in try await connector.connect(to: [.unix("/nonexistent/socket")!], timeout: .seconds(10)) }
      await collect { () throws(ConnectError) in try await connector.connect(to: [], timeout: .seconds(10)) }
      _ = close(holder)
      return errors
    }
    try #require(errors.count == 5)
    #expect(errors.map(\.stage) == [.connect, .resolve, .resolve, .connect, .resolve])
    #expect(errors[0].isRefused && errors[0].description.hasSuffix(": Connection refused"))
    #expect(errors[1].isNoSuchHost && errors[1].description == "cannot resolve nobody.example:1: no such host")
    #expect(!errors[2].isNoSuchHost)
    #expect(errors[3].code == ENOENT)
    #expect(errors[3].description == "cannot connect to unix:/nonexistent/socket: No such file or directory")
  }

  @Test("a silent address is left at the deadline")
  func deadline() async throws {
    let (error, elapsed) = try await onLoop { loop in
      let (silent, held) = try Self.blackHole()
      let start = loop.now  // what the loop counts from
      var failure: ConnectError?
      do throws(ConnectError) { _ = try await Connector(on: loop).connect(to: [silent], timeout: .milliseconds(100)) } catch {
        failure = error
      }
      for descriptor in held { _ = close(descriptor) }
      return (failure, SystemClock.now - start)
    }
    #expect(error?.stage == .deadline && error?.code == ETIMEDOUT)
    #expect(elapsed >= .milliseconds(100))
  }

  @Test("behind a silent address the next one starts after the attempt delay; the winner's rivals are closed")
  func happyEyeballs() async throws {
    let (peer, elapsed) = try await onLoop { loop in
      let (silent, held) = try Self.blackHole()
      let listener = try Listener(.loopback6(port: 0), on: loop) { _, _ in }
      let start = loop.now  // what the loop counts from
      let client = try await Connector(on: loop).connect(to: [silent, listener.address], timeout: .seconds(30))
      let elapsed = SystemClock.now - start
      let peer = SocketAddress.peer(of: client.rawValue)
      let agrees = peer == listener.address
      listener.close()
      for descriptor in held { _ = close(descriptor) }
      return (agrees, elapsed)
    }
    #expect(peer)
    #expect(elapsed >= .milliseconds(250))
  }

  @Test("after a refusal the next address starts at once: IPv6 down, IPv4 up")
  func failover() async throws {
    let (isRight, elapsed) = try await onLoop { loop in
      let listener = try Listener(.loopback4(port: 0), on: loop) { _, _ in }
      var connector = Connector(on: loop)
      connector.attemptDelay = .seconds(20)
      let start = loop.now  // what the loop counts from
      let client = try await connector.connect(to: "localhost", port: listener.address.port, timeout: .seconds(30))
      let isRight = SocketAddress.peer(of: client.rawValue) == listener.address
      listener.close()
      return (isRight, SystemClock.now - start)
    }
    #expect(isRight)
    #expect(elapsed < .seconds(10))
  }

  @Test(
    "families take turns, the first one's first",
    arguments: [
      (["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"], ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]),
      (["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "[::2]:1"], ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "[::2]:1"]), (["1.1.1.1:1"], ["1.1.1.1:1"]),
      ([], []),
    ])
  func interleaving(_ given: [String], _ expected: [String]) {
    #expect(PendingConnection.interleaved(given.map { SocketAddress($0)! }).map(\.description) == expected)
  }

  @Test("the last error is the one that is told")
  func lastError() async throws {
    let error = try await onLoop { loop -> ConnectError? in
      let (closed, holder) = Self.closedPort()
      defer { _ = close(holder) }
      do throws(ConnectError) {
        _ = try await Connector(on: loop).connect(to: [closed, .unix("/nonexistent")!], timeout: .seconds(10))
      } catch { return error }
      return nil
    }
    #expect(error?.code == ENOENT)
    #expect(error?.address?.path == "/nonexistent")
  }

  @Test("the completion never runs inside the call, and not at all after cancel")
  func cancellation() async throws {
    let (inside, calls) = try await onLoop { loop in
      let listener = try Listener(.loopback4(port: 0), on: loop) { _, _ in }
      let (silent, held) = try Self.blackHole()
      let (closed, holder) = Self.closedPort()
      let connector = Connector(on: loop)
      var (inside, calls) = (0, 0)
      for address in [listener.address, silent, closed] {
        connector.connect(to: address, deadline: .distantFuture) { _ in calls += 1 }.cancel()
      }
      let done = Mailbox<Bool>()
      for address in [listener.address, closed] {
        connector.connect(to: address, deadline: .distantFuture) { _ in done.put(true) }
      }
      inside = done.count
      for _ in 0..<2 { _ = await done.next() }
      await loop.turnTwice()
      listener.close()
      for descriptor in held + [holder] { _ = close(descriptor) }
      return (inside, calls)
    }
    #expect(inside == 0 && calls == 0)
  }

  @Test("whether it ends by success, failure, deadline or cancellation, no socket is left")
  func leavesNoSocket() async {
    // A process of its own: nobody else opens sockets there.
    await #expect(processExitsWith: .success) {
      let left = try await onLoop { loop in
        let accepted = Mailbox<CInt>()
        let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in accepted.put(descriptor.release()) }
        let (silent, held) = try Self.blackHole()
        let (closed, holder) = Self.closedPort()
        let connector = Connector(on: loop)
        let before = openSocketCount()
        for address in [listener.address, silent, closed] {
          connector.connect(to: address, deadline: .distantFuture) { _ in }.cancel()
        }
        let done = Mailbox<Bool>()
        for addresses in [[silent, listener.address], [closed], [silent]] {
          connector.connect(to: addresses, deadline: SystemClock.now + .milliseconds(400)) { _ in done.put(true) }
        }
        for _ in 0..<3 { _ = await done.next() }
        for _ in 0..<2 { _ = close(await accepted.next()) }
        let left = openSocketCount() - before
        listener.close()
        for descriptor in held + [holder] { _ = close(descriptor) }
        return left
      }
      exit(left == 0 ? 0 : 1)
    }
  }

  @Test("a cancelled task stops waiting")
  func cancelledTask() async throws {
    let stages = try await onLoop { loop in
      let (silent, held) = try Self.blackHole()
      var stages: [ConnectError.Stage] = []
      for cancelsFirst in [true, false] {
        let task = Task(executorPreference: loop) { () -> ConnectError.Stage? in
          do throws(ConnectError) { _ = try await Connector(on: loop).connect(to: [silent], timeout: .seconds(50)) } catch {
            return error.stage
          }
          return nil
        }
        if !cancelsFirst { await loop.pause(.milliseconds(5)) }
        task.cancel()
        if let stage = await task.value { stages.append(stage) }
      }
      for descriptor in held { _ = close(descriptor) }
      return stages
    }
    #expect(stages == [.cancelled, .cancelled])
  }

  @Test("a unix listener with a full backlog is asked again until it accepts")
  func fullUnixBacklog() async throws {
    let connected = try await onLoop { loop in
      let folder = temporaryFolder()
      let path = SocketAddress.unix(folder + "/s")!
      var options = Listener.Options()
      options.backlog = 0
      let listener = try Listener(path, options: options, on: loop) { _, _ in }
      listener.pause()
      let connector = Connector(on: loop)
      let results = Mailbox<Bool>()
      for _ in 0..<4 {
        connector.connect(to: path, deadline: .distantFuture) { outcome in
          switch consume outcome {
          case .success: results.put(true)
          case .failure: results.put(false)
          }
        }
      }
      await loop.turnTwice()
      let early = results.count
      listener.resume()
      var connected = 0
      for _ in 0..<4 { if await results.next() { connected += 1 } }
      listener.close()
      _ = unsafe rmdir(folder)
      return early < 4 ? connected : -1
    }
    #expect(connected == 4)
  }

  @Test("a free port of our own that meets itself is refused", .enabled(if: geteuid() == 0))
  func selfConnection() throws {
    let code = Shared<CInt?>(nil)
    // In a namespace of its own, where the kernel has exactly one port to choose from.
    let thread = try Thread(name: "namespace") {
      guard shim_enter_new_network_namespace() == 0, bringLoopbackUp(), let loop = try? EventLoop() else { return }
      guard write("40000 40000", to: "/proc/sys/net/ipv4/ip_local_port_range") else { return }
      Connector(on: loop).connect(to: .loopback4(port: 40000), deadline: SystemClock.now + .seconds(5)) { outcome in
        switch consume outcome {
        case .success: code.value = 0
        case .failure(let error): code.value = error.code
        }
        loop.stop()
      }
      loop.run()
    }
    thread.join()
    #expect(code.value == ECONNREFUSED)
  }
}

private func write(_ text: String, to path: String) -> Bool {
  let descriptor = unsafe open(path, O_WRONLY)
  defer { _ = close(descriptor) }
  let bytes = Array(text.utf8)
  return unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count
}

/// Sockets only: the runtime opens descriptors of its own when it likes.
func openSocketCount() -> Int {
  (CInt(0)..<1024).count { descriptor in
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
  }
}
