internal import CLinux
internal import CausewayBase
package import CausewayLinuxIO
package import CausewayRelayCore

/// The relay's side of `admin.sock`, on one event loop. Questions are answered by the store's thread; what they entail is applied on
/// the loop before the answer leaves, so that a command that ended has taken effect.
package final class AdminSocket: EventHandler {
  /// Conversations at a time; more wait in the kernel's backlog.
  package static let connectionLimit = 8
  /// From accept to the last byte of the answer.
  package static let connectionTimeLimit = Duration.seconds(10)
  static let acceptPause = Duration.milliseconds(100)

  let loop: EventLoop
  let thread: StoreThread
  let policy: ReservationPolicy
  private let clock: @Sendable () -> WallTime
  private let apply: ([AdminEffect]) -> Void
  private let path: String
  private var listener: FileDescriptor?
  private var registration: EventLoop.Registration?
  private var connections: [ObjectIdentifier: AdminConnection] = [:]
  private var isPaused = false
  private var resumption: LoopTimer?

  /// Listens in the locked folder. `apply` is called on the loop, also when the asker has gone meanwhile.
  package init(
    in directory: DataDirectory, _ lock: borrowing DataDirectoryLock, on loop: EventLoop, _ thread: StoreThread,
    policy: ReservationPolicy, clock: @escaping @Sendable () -> WallTime, apply: @escaping ([AdminEffect]) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.thread = thread
    self.policy = policy
    self.clock = clock
    self.apply = apply
    path = directory.socketPath
    let listener = try UnixSocket.listen(at: path)
    let number = listener.rawValue
    self.listener = consume listener
    registration = try loop.register(number, self, levelTriggered: true)
    resumption = LoopTimer(loop) { [unowned self] _ in updatePause() }
  }

  package func handle(_ readiness: Readiness) {
    for _ in 0..<Self.connectionLimit {
      guard connections.count < Self.connectionLimit, let accepted = accept() else { break }
      // Same user or root: the folder keeps others out already, this holds also if somebody opened it.
      guard let peer = try? PeerCredentials(of: accepted.rawValue), peer.isSameUserOrRoot else { continue }
      do throws(SystemError) {
        let connection = try AdminConnection(accepted, self)
        connections[ObjectIdentifier(connection)] = connection
      } catch {}  // no room in epoll: the command sees a closed connection and says so
    }
    updatePause()
  }

  /// Stops listening and drops conversations; the file goes too.
  package func close() {
    if let registration { loop.deregister(registration) }
    registration = nil
    resumption?.cancel()
    // SAFETY: a NUL-terminated copy for the length of the call.
    if listener != nil { unsafe _ = unlink(path) }
    listener = nil
    for connection in connections.values { connection.close() }
  }

  func closed(_ connection: AdminConnection) {
    connections[ObjectIdentifier(connection)] = nil
    updatePause()
  }

  /// Has the store's thread answer; false when its queue is full.
  func ask(_ command: AdminCommand, _ cursor: String, for connection: AdminConnection) -> Bool {
    let parties = LoopBound((self, connection), loop)
    let (clock, policy) = (clock, policy)
    return thread.submit(on: loop) { store in
      var effects: [AdminEffect] = []
      let answer = AdminService(store, policy: policy).execute(command, from: cursor, at: clock(), effects: &effects)
      return (answer, effects)
    } _: { (answer: AdminAnswer, effects: [AdminEffect]) in
      let (socket, connection) = parties.value
      if !effects.isEmpty { socket.apply(effects) }
      connection.send(answer)
    }
  }

  private func accept() -> FileDescriptor? {
    guard let number = listener?.rawValue else { return nil }
    var address = shim_address()
    let result = unsafe shim_accept(number, &address)
    if result >= 0 { return FileDescriptor(adopting: result) }
    // Out of descriptors or memory: a level-triggered listener would spin.
    if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(-result) { resumption?.set(after: Self.acceptPause) }
    return nil
  }

  private func updatePause() {
    guard let registration else { return }
    let mustPause = connections.count >= Self.connectionLimit || resumption?.deadline != nil
    if mustPause != isPaused { loop.setPaused(registration, mustPause) }
    isPaused = mustPause
  }
}

/// Carries what belongs to a loop's thread through another thread that doesn't look at it.
// @unchecked Sendable: `value` traps off the loop's thread.
struct LoopBound<Value>: @unchecked Sendable {
  private let held: Value
  private let loop: EventLoop

  init(_ value: Value, _ loop: EventLoop) {
    held = value
    self.loop = loop
  }

  var value: Value {
    precondition(loop.isCurrent, "opened off its event loop")
    return held
  }
}
