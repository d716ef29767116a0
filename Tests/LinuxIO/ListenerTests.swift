import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct ListenerTests {
  @Test(
    "port 0 becomes a real port, and the callback gets the peer's address", arguments: ["127.0.0.1:0", "[::1]:0", "[::]:0", "0.0.0.0:0"])
  func accepts(_ text: String) async throws {
    let agrees = try await onLoop { loop in
      let accepted = Mailbox<(CInt, SocketAddress)>()
      let listener = try Listener(SocketAddress(text)!, on: loop) { descriptor, peer in accepted.put((descriptor.release(), peer)) }
      var target = listener.address
      // A dual-stack listener is reached by IPv4 too, and shows the peer as such.
      if target.isAny { target = .loopback4(port: target.port) }
      let client = try await Connector(on: loop).connect(to: [target], timeout: .seconds(10))
      let (server, peer) = await accepted.next()
      let agrees = listener.address.port != 0 && peer == SocketAddress.local(of: client.rawValue) && peer.family == target.family
      _ = close(server)
      listener.close()
      listener.close()
      return agrees && !listener.isOpen
    }
    #expect(agrees)
  }

  @Test("several listeners share one port only when each asks for it")
  func sharedPort() async throws {
    let (counts, refusal) = try await onLoop { loop in
      var options = Listener.Options()
      options.sharesPort = true
      let accepted = Mailbox<CInt>()
      var listeners: [Listener] = []
      for _ in 0..<2 {
        let address = listeners.first?.address ?? .loopback4(port: 0)
        listeners.append(try Listener(address, options: options, on: loop) { descriptor, _ in accepted.put(descriptor.release()) })
      }
      for _ in 0..<64 {
        let client = try await Connector(on: loop).connect(to: [listeners[0].address], timeout: .seconds(10))
        _ = close(await accepted.next())
        client.close()
      }
      var refusal: CInt = 0
      do throws(SystemError) { _ = try Listener(listeners[0].address, on: loop) { _, _ in } } catch { refusal = error.code }
      for listener in listeners { listener.close() }
      return (listeners.map(\.acceptedCount), refusal)
    }
    #expect(counts.reduce(0, +) == 64)
    #expect(counts.allSatisfy { $0 > 0 })  // 2^-63 by chance
    #expect(refusal == EADDRINUSE)
  }

  @Test("a paused listener leaves connections in the backlog until it goes on")
  func pause() async throws {
    let (whilePaused, afterwards) = try await onLoop { loop in
      let accepted = Mailbox<CInt>()
      let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in accepted.put(descriptor.release()) }
      listener.pause()
      var clients: [CInt] = []
      for _ in 0..<100 {
        clients.append(try await Connector(on: loop).connect(to: [listener.address], timeout: .seconds(10)).release())
      }
      await loop.turnTwice()
      let whilePaused = accepted.count
      listener.resume()
      for _ in 0..<100 { _ = close(await accepted.next()) }
      for client in clients { _ = close(client) }
      listener.close()
      return (whilePaused, listener.acceptedCount)
    }
    #expect(whilePaused == 0)
    #expect(afterwards == 100)
  }

  @Test("a unix socket is for its owner only, replaces a dead one's file, spares a live one's, and takes its file along")
  func unixSocket() async throws {
    let log = try await onLoop { loop in
      let folder = temporaryFolder()
      let address = SocketAddress.unix(folder + "/sock")!
      let before = umask(0)
      defer { _ = umask(before) }
      let accepted = Mailbox<CInt>()
      let listener = try Listener(address, on: loop) { descriptor, _ in accepted.put(descriptor.release()) }
      var log = [try Files.isPrivate(folder + "/sock") ? "private" : "open"]
      let client = try await Connector(on: loop).connect(to: [address], timeout: .seconds(10))
      let server = await accepted.next()
      let peer = try PeerCredentials(of: server)
      log.append(peer.processID == getpid() && peer.userID == geteuid() && peer.isSameUserOrRoot ? "me" : "\(peer)")
      _ = close(server)
      client.close()
      do throws(SystemError) { _ = try Listener(address, on: loop) { _, _ in } } catch { log.append("\(error.code == EADDRINUSE)") }
      listener.close()
      log.append(unsafe access(folder + "/sock", F_OK) == 0 ? "left" : "gone")
      // As a killed process leaves it: bound, then closed without unlink.
      let dead = blockingSocket(AF_UNIX)
      log.append("\(address.bind(dead))")
      _ = close(dead)
      let second = try Listener(address, on: loop) { _, _ in }
      second.close()
      _ = unsafe rmdir(folder)
      return log
    }
    #expect(log == ["private", "me", "true", "gone", "0"])
  }

  @Test("closing a listener in its own callback ends accepting")
  func closeInCallback() async throws {
    let count = try await onLoop { loop in
      var listener: Listener!
      let done = Mailbox<Bool>()
      listener = try Listener(.loopback4(port: 0), on: loop) { _, _ in
        listener.close()
        done.put(true)
      }
      let address = listener.address
      listener.pause()
      var clients: [CInt] = []
      for _ in 0..<3 { clients.append(try await Connector(on: loop).connect(to: [address], timeout: .seconds(10)).release()) }
      listener.resume()
      _ = await done.next()
      await loop.turnTwice()
      for client in clients { _ = close(client) }
      defer { listener = nil }
      return listener.acceptedCount
    }
    #expect(count == 1)
  }

  @Test("without descriptors, waiting peers are closed at once, the loop rests, and accepting goes on when there are some again")
  func exhaustion() async {
    await #expect(processExitsWith: .success) {
      let isRight = try await onLoop { loop in
        var limit = rlimit()
        unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = 64
        unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let accepted = Mailbox<CInt>()
        let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in accepted.put(descriptor.release()) }
        let connector = Connector(on: loop)
        listener.pause()
        var clients: [TCPStream] = []
        for _ in 0..<3 {
          clients.append(try TCPStream(adopting: try await connector.connect(to: [listener.address], timeout: .seconds(9)), on: loop))
        }
        // Take every descriptor that is left.
        var hoard: [CInt] = []
        while true {
          let descriptor = dup(0)
          if descriptor < 0 { break }
          hoard.append(descriptor)
        }
        let ends = Mailbox<ReadOutcome>()
        final class Ending: TCPStreamOwner {
          let ends: Mailbox<ReadOutcome>
          init(_ ends: Mailbox<ReadOutcome>) { self.ends = ends }
          func streamIsReady(_ stream: TCPStream) { if stream.isReadable { ends.put(stream.read(into: ByteBuffer())) } }
        }
        let owner = Ending(ends)
        for client in clients { client.owner = owner }
        listener.resume()
        for _ in clients { _ = await ends.next() }
        let wasShed = listener.shedCount == 3 && listener.acceptedCount == 0 && listener.isPaused
        for client in clients { client.close() }
        for descriptor in hoard { _ = close(descriptor) }
        let again = try await connector.connect(to: [listener.address], timeout: .seconds(9))
        let server = await accepted.next()
        _ = close(server)
        again.close()
        listener.close()
        return wasShed && listener.acceptedCount == 1
      }
      exit(isRight ? 0 : 1)
    }
  }
}
