internal import CausewayBase
internal import CausewayCrypto
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc

/// Who has links: a server or a client. The engine's thread only.
protocol LinkOwner: AnyObject {
  /// The handshake is over; `link.connection` may be used.
  func linkWasEstablished(_ link: Link)
  /// It ended: before or after that. Told once.
  func linkEnded(_ link: Link, _ error: MessagingError)
}

/// One bootstrap socket: the handshake, and then the watch over the peer. The engine's thread only.
// @unchecked Sendable: see above.
final class Link: TCPStreamOwner, ConnectionOwner, @unchecked Sendable {
  enum Role {
    case client(expected: ServerID)
    case server(ServerID)
  }
  private enum State { case awaitingHello, awaitingProof, awaitingChallenge, awaitingWelcome, established, ended }

  static let handshakeLimit = Duration.seconds(5)

  let engine: Engine
  /// What errors call it.
  let subject: String
  private(set) var connection: ConnectionID?
  let facts: ConnectionFacts
  /// The public object of an established one.
  var endpoint: Endpoint?
  private let stream: TCPStream
  private let role: Role
  private let key: MessagingKey?
  private let mailbox: MailboxID
  private weak var owner: (any LinkOwner)?
  private var state: State
  private let input = ByteBuffer()
  /// Bytes of messages that were read.
  private var taken = 0
  private let output = ByteBuffer()
  private var hello: BootstrapMessage.Hello?
  private var challenge: BootstrapMessage.Challenge?
  private var ours: BootstrapMessage.Introduction?
  /// The count of workers when the peer was told of ours.
  private var introducedWorker: UInt32 = 0
  private var timer: LoopTimer?
  /// Where the peer, when it is on this host, finds its own nonce; until it has said so or the end.
  private var place: NoncePlace?

  private var driver: Driver { engine.driver }
  var isEstablished: Bool { state == .established }

  init(
    _ descriptor: consuming FileDescriptor, _ role: Role, subject: String, engine: Engine, mailbox: MailboxID, key: MessagingKey?,
    owner: any LinkOwner, deadline: Instant
  ) throws(SystemError) {
    self.engine = engine
    self.subject = subject
    self.role = role
    self.key = key
    self.mailbox = mailbox
    self.owner = owner
    if case .client = role { state = .awaitingChallenge } else { state = .awaitingHello }
    facts = ConnectionFacts(local: SocketAddress.local(of: descriptor.rawValue), remote: SocketAddress.peer(of: descriptor.rawValue))
    stream = try TCPStream(adopting: descriptor, on: engine.driver.loop)
    stream.owner = self
    let timer = LoopTimer(engine.driver.loop) { [unowned self] _ in
      end(MessagingError(.deadlineExceeded, subject, cause: "the handshake was not over in time"))
    }
    timer.set(at: deadline)
    self.timer = timer
    if case .client(let expected) = role { greet(expected) }
  }

  private func greet(_ server: ServerID) {
    let hello = BootstrapMessage.Hello(
      version: version, nonce: Self.nonce(), server: server.bytes, sharing: engine.sharing, hasKey: key != nil)
    self.hello = hello
    send(.hello(hello))
  }

  private var version: BootstrapMessage.Version {
    let library = engine.library
    return BootstrapMessage.Version(
      proto: BootstrapMessage.protocolVersion, ucxMajor: UInt16(clamping: library.major), ucxMinor: UInt16(clamping: library.minor),
      ucxPatch: UInt16(clamping: library.patch), path: library.path)
  }

  private static func nonce() -> [UInt8] {
    let bytes = SecureRandom.bytes(InlineArray<32, UInt8>.self)
    return bytes.indices.map { bytes[$0] }
  }

  // MARK: The socket

  func streamIsReady(_ stream: TCPStream) {
    flushOutput()
    while state != .ended && stream.isReadable {
      let room = state == .established ? 4096 : BootstrapMessage.frameLimit + 4 - taken - input.count
      if room <= 0 { return end(garbage) }
      switch stream.read(into: input, atMost: room) {
      case .bytes: parse()
      case .wouldBlock: return
      case .end: return peerWentAway("it closed the connection")
      case .failed(let error): return peerWentAway(error.message)
      }
    }
  }

  private func parse() {
    while state != .ended {
      let input = input
      let parsed = BootstrapMessage.parse(input.bytes)
      switch parsed {
      case .incomplete: return
      case .garbage: return end(garbage)
      case .message(let message, let count):
        input.consume(count)
        taken += count
        take(message)
      }
    }
  }

  private var garbage: MessagingError { MessagingError(.protocolViolation, subject, cause: "what it says is no messaging handshake") }

  private func send(_ message: BootstrapMessage) {
    message.encode(into: output)
    flushOutput()
  }

  private func flushOutput() {
    while !output.isEmpty && stream.isOpen {
      let output = output
      let outcome = stream.write(output.bytes)
      guard case .bytes(let count) = outcome, count > 0 else { return }
      output.consume(count)
    }
  }

  private func peerWentAway(_ why: String) {
    guard state == .established else {
      let cause = "it closed the connection during the handshake (\(why)); is it a messaging server, with the same key?"
      return end(MessagingError(.notConnected, subject, cause: cause))
    }
    // What it sent before its end may be in memory still.
    driver.progressToEnd()
    driver.watchQueue()
    end(MessagingError(.peerLost, subject, cause: why))
  }

  // MARK: The handshake

  private func take(_ message: BootstrapMessage) {
    switch (state, message) {
    case (.awaitingHello, .hello(let hello)): answer(hello)
    case (.awaitingChallenge, .challenge(let challenge)): prove(challenge)
    case (.awaitingProof, .proof(let introduction)): accept(introduction)
    case (.awaitingWelcome, .welcome(let introduction)): finish(introduction)
    case (.awaitingChallenge, .refusal(let refusal)), (.awaitingWelcome, .refusal(let refusal)):
      end(MessagingError(refusal.code, subject, cause: refusal.text))
    case (.established, .reading):
      guard case .server = role, place != nil, let connection else { return end(garbage) }
      place = nil
      driver.peerReads(connection)
    case (.established, .goodbye):
      driver.progressToEnd()
      end(MessagingError(.peerLost, subject, cause: "it closed the connection"))
    default: end(garbage)
    }
  }

  private func refuse(_ code: MessagingError.Code, _ text: String) {
    send(.refusal(BootstrapMessage.Refusal(code: code, text: text)))
    end(MessagingError(code, subject, cause: text))
  }

  /// Server: who comes?
  private func answer(_ hello: BootstrapMessage.Hello) {
    guard case .server(let id) = role else { return end(garbage) }
    self.hello = hello
    guard hello.version.fits(version) else {
      return refuse(.versionMismatch, "server: \(version.text); client: \(hello.version.text). Both sides need the same major.minor of UCX")
    }
    guard hello.server == id.bytes || hello.server == ServerID.none.bytes else {
      return refuse(.notConnected, "another server listens there than the one whose address was given")
    }
    if key != nil && !hello.hasKey { return refuse(.authenticationFailed, "the server wants a key and the client has none") }
    if key == nil && hello.hasKey { return refuse(.authenticationFailed, "the client wants a key and the server has none") }
    let challenge = BootstrapMessage.Challenge(version: version, nonce: Self.nonce(), sharing: engine.sharing, wantsKey: key != nil)
    self.challenge = challenge
    state = .awaitingProof
    send(.challenge(challenge))
  }

  /// Client: that is how we prove ourselves.
  private func prove(_ challenge: BootstrapMessage.Challenge) {
    guard challenge.version.fits(version) else {
      let text = "client: \(version.text); server: \(challenge.version.text). Both sides need the same major.minor of UCX"
      return end(MessagingError(.versionMismatch, subject, cause: text))
    }
    if challenge.wantsKey != (key != nil) {
      return end(MessagingError(.authenticationFailed, subject, cause: "one side has a key and the other has none"))
    }
    self.challenge = challenge
    guard var introduction = introduce(repeating: challenge.nonce), let hello else { return }
    if let key { introduction.code = Transcript(client: hello, server: challenge).code(key, .client, client: introduction, server: nil) }
    ours = introduction
    state = .awaitingWelcome
    send(.proof(introduction))
  }

  /// Opens the connection and says how it is called.
  /// - Parameter nonce: The peer's.
  private func introduce(repeating nonce: [UInt8]) -> BootstrapMessage.Introduction? {
    let check = UInt16.random(in: 0 ... .max, using: &engine.registry.random)
    guard let id = unsafe driver.core.pointee.openConnection(in: mailbox, check: check) else {
      refuse(.limitReached, "the server has no room for another connection")
      return nil
    }
    connection = id
    introducedWorker = unsafe driver.work.pointee.renewals
    var introduction = BootstrapMessage.Introduction(
      code: [], connection: unsafe driver.core.pointee.address(of: id),
      worker: unsafe sharesMemory ? driver.work.pointee.addresses.all : driver.work.pointee.addresses.network)
    if engine.readsMemory && MemoryPlace.isLocal(facts.local, facts.remote) {
      let place = NoncePlace(nonce)
      self.place = place
      introduction.memory = MemoryPlace(
        host: MemoryPlace.thisHost, process: UInt32(getpid()), descriptor: UInt32(stream.fileDescriptor), address: place.address)
    }
    return introduction
  }

  /// Both sides can attach each other's shared memory. UCX would try that with anybody on its host, and have no way back.
  private var sharesMemory: Bool { hello?.sharing == challenge?.sharing }

  /// The peer's memory, if this engine may and can read it.
  private func memory(_ theirs: MemoryPlace?, nonce: [UInt8]) -> ProcessMemory? {
    place == nil ? nil : theirs?.open(socket: stream.fileDescriptor, nonce: nonce)
  }

  /// Server: let it in.
  private func accept(_ theirs: BootstrapMessage.Introduction) {
    guard let hello, let challenge else { return end(garbage) }
    let transcript = Transcript(client: hello, server: challenge)
    if let key, !Transcript.isSame(theirs.code, transcript.code(key, .client, client: theirs, server: nil)) {
      return refuse(.authenticationFailed, "the client's key is another one")
    }
    guard var introduction = introduce(repeating: hello.nonce) else { return }
    let memory = memory(theirs.memory, nonce: challenge.nonce)
    introduction.readsPeer = memory != nil
    if let key { introduction.code = transcript.code(key, .server, client: theirs, server: introduction) }
    guard establish(theirs, memory) else { return }
    send(.welcome(introduction))
    owner?.linkWasEstablished(self)
  }

  /// Client: we are in.
  private func finish(_ theirs: BootstrapMessage.Introduction) {
    guard let hello, let challenge, let ours else { return end(garbage) }
    if let key {
      let expected = Transcript(client: hello, server: challenge).code(key, .server, client: ours, server: theirs)
      guard Transcript.isSame(theirs.code, expected) else {
        return end(MessagingError(.authenticationFailed, subject, cause: "the server does not know the key"))
      }
    }
    let memory = memory(theirs.memory, nonce: hello.nonce)
    guard establish(theirs, memory) else { return }
    if memory != nil { send(.reading) }
    if theirs.readsPeer, place != nil, let connection { driver.peerReads(connection) }
    place = nil
    owner?.linkWasEstablished(self)
  }

  private func establish(_ theirs: BootstrapMessage.Introduction, _ memory: ProcessMemory?) -> Bool {
    guard let connection else { return false }
    guard introducedWorker == (unsafe driver.work.pointee.renewals) else {
      refuse(.notConnected, "the worker was renewed during the handshake; connect again")
      return false
    }
    let status = driver.connect(connection, peer: theirs.connection, address: theirs.worker.span, memory: memory, owner: self)
    guard status == 0 else {
      let hint =
        sharesMemory
        ? "do both sides have a transport in common? (`TLS`, `NET_DEVICES`)"
        : "the peer is on another host, or of another user or container here: both need a network transport (`TLS`, `NET_DEVICES`)"
      let cause = "no endpoint: \(engine.library.text(of: status)); \(hint)"
      refuse(.ucxFailed, cause)
      return false
    }
    state = .established
    timer = nil
    forgetHandshake()
    // Silence, and then probes that nobody answers, a second apart: at most three.
    let seconds = max(2, engine.options.hostTimeout.components.seconds)
    let probes = min(3, seconds - 1)
    stream.setKeepAlive(idle: .seconds(seconds - probes), interval: .seconds(1), count: Int(probes))
    return true
  }

  /// A connection that does nothing holds no buffers.
  private func forgetHandshake() {
    hello = nil
    challenge = nil
    ours = nil
    input.trim()
    output.trim()
  }

  // MARK: The end

  /// UCX says so.
  func connectionWasLost() {
    if state != .ended { driver.watchQueue() }
    end(MessagingError(.peerLost, subject, cause: "the connection was lost"))
  }

  /// On our own wish, after a flush or without.
  func close() {
    if state == .established { send(.goodbye) }
    end(MessagingError(.closed, subject, cause: "closed here"))
  }

  private func end(_ error: MessagingError) {
    guard state != .ended else { return }
    state = .ended
    timer = nil
    if let connection {
      noteFigures(of: connection)
      if error.code == .closed || endpoint == nil && error.code != .peerLost {
        driver.close(connection)
      } else {
        driver.fail(connection)
        driver.settle()
      }
    }
    stream.close()
    input.removeAll()
    output.removeAll()
    forgetHandshake()
    let owner = owner
    owner?.linkEnded(self, error)
    endpoint = nil
  }

  /// For those who ask when the core knows the connection no longer.
  private func noteFigures(of connection: ConnectionID) {
    var figures = unsafe driver.core.pointee.counters(of: connection)
    figures.sendsInFlight = 0
    figures.sendsQueued = 0
    figures.unreceivedMessages = 0
    figures.unreceivedByteCount = 0
    figures.creditByteCount = 0
    facts.final = figures
  }
}
