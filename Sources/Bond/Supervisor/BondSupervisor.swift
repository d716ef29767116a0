internal import CausewayBase
package import CausewayLinuxIO
package import CausewaySupport
package import CausewayTelemetry
internal import CausewayWire
internal import Glibc

/// The parent: keeps root, runs hooks, name servers, routes and clean-up, and reads nothing from the network. The packets and keys are the
/// child's. One bond, one event loop, one thread; start with `run`.
package final class BondSupervisor {
  /// For the child to bind its sockets, and to say goodbye.
  static let startLimit = Duration.seconds(15)
  static let stopLimit = Duration.seconds(3)
  /// For an answer of the child.
  static let statusLimit = Duration.seconds(3)
  static let reloadLimit = Duration.seconds(10)

  let loop: EventLoop
  let system: any BondSystem
  let folders: BondFolders
  let log: Logger
  private let startWorker: ([CInt]) throws(CommandFailure) -> WorkerProcess
  private let reread: () throws(CommandFailure) -> BondConfiguration
  let manager: ServiceManager
  private let timestamps: TimestampFile

  var bond: BondConfiguration
  private var mark: UInt32?
  private var dnsTool: DNSTool?
  private var queues: (descriptors: [CInt], offloads: UInt32) = ([], 0)
  private var journal: UndoJournal?
  private var channel: WorkerChannel?
  private var worker: WorkerProcess?
  private var control: ControlServer?
  private var timer: LoopTimer?
  private var readiness: WorkerReadiness?
  private var queueCount = 1
  private var hasTimedOut = false
  /// Set once the bond must end.
  private var verdict: (code: ExitCode, reason: String)?
  private var greatestTimestamp: [UInt8] = []
  private var nextStatusID: UInt32 = 0
  private var pendingStatus: [(id: UInt32, deadline: Instant, answer: (ControlAnswer) -> Void)] = []
  private var pendingReload: (bond: BondConfiguration, plan: ReloadPlan, deadline: Instant, answer: (ControlAnswer) -> Void)?

  /// - Parameters:
  ///   - reread: Reads the configuration anew, for a reload.
  ///   - startWorker: Gets the child's descriptors.
  package init(
    _ bond: BondConfiguration, system: any BondSystem, folders: BondFolders, on loop: EventLoop, log: Logger,
    manager: ServiceManager = ServiceManager(), reread: @escaping () throws(CommandFailure) -> BondConfiguration,
    startWorker: @escaping ([CInt]) throws(CommandFailure) -> WorkerProcess = WorkerProcess.start
  ) {
    self.bond = bond
    self.system = system
    self.folders = folders
    self.loop = loop
    self.log = log
    self.manager = manager
    self.reread = reread
    self.startWorker = startWorker
    timestamps = TimestampFile(folders.timestamp(bond.name))
  }

  /// Brings the bond up, keeps it until `end`, and takes everything back. `ready` is called when packets flow.
  package func run(ready: () -> Void) throws(CommandFailure) {
    try folders.prepare()
    let lock: FileLock
    do throws(FileLock.Failure) { lock = try FileLock(folders.lock(bond.name)) } catch {
      guard case .held(_, let pid) = error else { throw CommandFailure(.failure, error.description) }
      throw CommandFailure(.failure, "the bond \(bond.name) runs already" + (pid.map { ", as process \($0)" } ?? ""))
    }
    try run(lock, ready)
  }

  private func run(_ lock: borrowing FileLock, _ ready: () -> Void) throws(CommandFailure) {
    try cleanUpAfterKill()
    // Everything that can be refused is refused before the first change.
    if !bond.dns.isEmpty { dnsTool = try system.chooseDNSTool() }
    mark = try chooseMark()
    greatestTimestamp = timestamps.read()
    timer = LoopTimer(loop) { [unowned self] now in timePassed(now) }
    do throws(CommandFailure) {
      let isStrict = system.control("ipv4/conf/all/rp_filter") == "1"
      for step in bond.steps(mark: mark, dns: dnsTool, strictFilter: isStrict) { try take(step) }
      try listen()
      let addresses = bond.addresses.map(\.description).joined(separator: ", ")
      log.info(
        "up", ["interface": .string(bond.name), "addresses": .string(addresses), "port": .integer(readiness?.udpPort ?? 0)])
      if let host = bond.metrics?.host, let port = readiness?.metricsPort {
        log.info("metrics", ["url": .string("http://\(HostPort(host: host, port: port))/metrics")])
      }
      manager.ready("\(bond.name) is up")
      ready()
      while verdict == nil { loop.run() }
    } catch {
      verdict = (error.exitCode, error.message)
    }
    takeDown()
    guard let verdict, verdict.code != .ok else { return }
    throw CommandFailure(verdict.code, verdict.reason)
  }

  /// Ends the bond: a signal, or `causeway bond down`.
  package func end(_ reason: String) { end(.ok, reason) }

  private func end(_ code: ExitCode, _ reason: String) {
    if verdict == nil { verdict = (code, reason) }
    loop.stop()
  }

  // MARK: Up

  private func cleanUpAfterKill() throws(CommandFailure) {
    var journal = try UndoJournal(reading: folders.undo(bond.name))
    if !journal.entries.isEmpty {
      log.warning("the last run was killed: taking back what it left", ["steps": .integer(journal.entries.count)])
      journal.replay(undo) { log.warning($0) }
    }
    self.journal = try UndoJournal(reading: folders.undo(bond.name))
  }

  private func chooseMark() throws(CommandFailure) -> UInt32? {
    let families = bond.defaultRouteFamilies
    if families.isEmpty { return bond.firewallMark }
    if let mark = bond.firewallMark { return mark }
    for table in BondConfiguration.firstDefaultTable..<BondConfiguration.firstDefaultTable + 1000 {
      var isFree = true
      for family in families where isFree { isFree = try system.isTableFree(table, family) }
      if isFree { return table }
    }
    throw CommandFailure(.failure, "no routing table from \(BondConfiguration.firstDefaultTable) on is free for the default route")
  }

  /// Writes down how the step is taken back, then takes it.
  private func take(_ step: BringUpStep) throws(CommandFailure) {
    let name = bond.name
    switch step {
    case .promise(let commands): try journal?.append(UndoEntry(commands: commands))
    case .hooks(let commands):
      for command in commands {
        log.info("runs \(command.replacing("%i", with: name))")
        try system.runHook(command, on: name)
      }
    case .openTunnel:
      // Undoing removes the interface: it must be ours.
      if try system.hasLink(name) {
        throw CommandFailure(.failure, "an interface named \(name) exists already: choose another name, or remove it")
      }
      try journal?.append(UndoEntry(.link))
      let processors = BondConfiguration.processorCount
      if let note = bond.threadNote(processors: processors) { log.info(note) }
      queues = try system.openTunnel(name, queueCount: bond.threadCount(processors: processors))
    case .startWorker: try startChild()
    case .network(let operation):
      if case .addRule(let rule) = operation { try journal?.append(UndoEntry(rule)) }
      try system.perform(operation, on: name)
    case .nameServers(let tool):
      try journal?.append(UndoEntry(tool))
      try system.setNameServers(bond.dns, tool, on: name)
    case .control(let path, let value):
      guard let present = system.control(path), present != value else { return }
      try journal?.append(UndoEntry(control: path, value: present))
      try system.setControl(path, value)
    }
  }

  private func startChild() throws(CommandFailure) {
    do throws(SystemError) {
      let ends = try WorkerChannel.makePair()
      channel = try WorkerChannel(
        adopting: FileDescriptor(adopting: ends.parent), on: loop, received: { [unowned self] in received($0) },
        ended: { [unowned self] in workerEnded($0) })
      defer {
        close(ends.child)
        for descriptor in queues.descriptors { close(descriptor) }
        queues.descriptors = []
      }
      let count = queues.descriptors.count
      do throws(CommandFailure) { worker = try startWorker([ends.child] + queues.descriptors) } catch {
        throw SystemError(ECHILD, error.message)
      }
      channel?.send(.configure(configuration(of: bond, queueCount: count), timestamp: greatestTimestamp))
    } catch { throw CommandFailure(.failure, "cannot start the packet process: \(error)") }
    wait(atMost: Self.startLimit) { readiness != nil || verdict != nil }
    if let verdict { throw CommandFailure(verdict.code == .ok ? .failure : verdict.code, verdict.reason) }
    if readiness == nil { throw CommandFailure(.failure, "the packet process did not get ready in time") }
  }

  /// Runs the loop until `isDone`; each event that may be the one ends a run.
  private func wait(atMost limit: Duration, until isDone: () -> Bool) {
    hasTimedOut = false
    timer?.set(after: limit)
    while !isDone() && !hasTimedOut { loop.run() }
    timer?.cancel()
  }

  private func configuration(of bond: BondConfiguration, queueCount: Int) -> WorkerConfiguration {
    self.queueCount = queueCount
    return WorkerConfiguration(
      bond, firewallMark: mark ?? 0, queueCount: queueCount, offloads: queues.offloads, logLevel: log.level.name)
  }

  private func listen() throws(CommandFailure) {
    do throws(SystemError) {
      control = try ControlServer(at: folders.socket(bond.name), on: loop) { [unowned self] in answer($0, $1) }
    } catch { throw CommandFailure(.failure, "cannot listen on the control socket: \(error)") }
  }

  // MARK: Down

  private func takeDown() {
    manager.stopping()
    if let verdict, verdict.code == .ok { log.info("goes down", ["reason": .string(verdict.reason)]) }
    control?.close()
    for pending in pendingStatus { pending.answer(.failure("the bond is ending", .temporary)) }
    pendingStatus = []
    pendingReload?.answer(.failure("the bond is ending", .temporary))
    pendingReload = nil
    journal?.replay(undo) { log.warning($0) }
    stopChild()
    control = nil
  }

  private func undo(_ entry: UndoEntry) throws(CommandFailure) {
    if entry.kind == .link { stopChild() }
    for command in entry.commands { log.info("runs \(command.replacing("%i", with: bond.name))") }
    try Self.undo(entry, bond.name, system) { log.warning($0) }
  }

  /// Asks the child to end, and ends it when it doesn't in time.
  private func stopChild() {
    guard let worker else { return }
    if let channel, channel.isOpen {
      channel.send(.stop)
      wait(atMost: Self.stopLimit) { !channel.isOpen }
      if channel.isOpen { log.warning("the packet process did not end in time") }
      channel.close()
    }
    worker.kill()
    _ = worker.wait()
    self.worker = nil
    channel = nil
  }

  private func workerEnded(_ problem: String?) {
    // While it is being stopped this is what was waited for.
    if verdict != nil { return loop.stop() }
    if let problem { return end(.failure, "the packet process broke the protocol: \(problem)") }
    let code = worker?.wait() ?? 0
    worker = nil
    end(.failure, "the packet process ended by itself: " + (code > 128 ? "signal \(code - 128)" : "exit code \(code)"))
  }

  // MARK: The child's messages

  private func received(_ message: WorkerMessage) {
    switch message {
    case .ready(let readiness):
      self.readiness = readiness
      loop.stop()
    case .failed(let text): end(.failure, text.printable)
    case .reloaded(let text): reloaded(text.printable)
    case .status(let id, let status):
      guard let index = pendingStatus.firstIndex(where: { $0.id == id }) else { return }
      let pending = pendingStatus.remove(at: index)
      pending.answer(ControlAnswer(status: status))
    case .timestamp(let bytes): keep(bytes)
    case .log(let line):
      let fields = line.fields.reduce(LogFields()) { $0 + [$1.name: .string($1.value)] }
      log.log(LogLevel(name: line.level) ?? .info, line.text, fields)
    case .pathEvent(let event):
      log.log(
        event.to == "lost" ? .warning : .info, "path \(event.name): \(event.from) to \(event.to)",
        ["peer": .string(event.peer), "path": .integer(event.pathID), "reason": .string(event.reason)])
    case .configure, .reload, .statusRequest, .stop: end(.failure, "the packet process broke the protocol: it sent a question")
    }
  }

  private func keep(_ timestamp: [UInt8]) {
    guard greatestTimestamp.isEmpty || greatestTimestamp.lexicographicallyPrecedes(timestamp) else { return }
    greatestTimestamp = timestamp
    do throws(SystemError) { try timestamps.write(timestamp) } catch {
      log.warning("cannot keep the time of the last handshake: after a clock that goes back peers may refuse us: \(error)")
    }
  }

  private func timePassed(_ now: Instant) {
    if readiness == nil || verdict != nil {
      hasTimedOut = true
      return loop.stop()
    }
    for pending in pendingStatus where pending.deadline <= now {
      pending.answer(.failure("the packet process doesn't answer", .temporary))
    }
    pendingStatus.removeAll { $0.deadline <= now }
    if let reload = pendingReload, reload.deadline <= now {
      pendingReload = nil
      finish(reload.answer, .failure("the packet process doesn't answer; what it did is unknown", .temporary))
    }
    armTimer()
  }

  private func armTimer() {
    let deadlines = pendingStatus.map(\.deadline) + (pendingReload.map { [$0.deadline] } ?? [])
    if let next = deadlines.min() { timer?.set(at: next) }
  }

  // MARK: Questions

  private func answer(_ question: ControlQuestion, _ answer: @escaping (ControlAnswer) -> Void) {
    switch question {
    case .status:
      nextStatusID &+= 1
      pendingStatus.append((nextStatusID, loop.now + Self.statusLimit, answer))
      armTimer()
      channel?.send(.statusRequest(id: nextStatusID))
    case .down:
      answer(ControlAnswer())
      end("asked by 'causeway bond down'")
    case .reload: reload(answer)
    }
  }

  /// Reads the configuration anew and applies what can change; `answer` is told when it is in force, or why nothing was changed.
  package func reload(_ answer: @escaping (ControlAnswer) -> Void) {
    if pendingReload != nil { return answer(.failure("a reload is under way", .temporary)) }
    manager.reloading()
    do throws(CommandFailure) {
      let fresh = try reread()
      let plan = try ReloadPlan(from: bond, to: fresh, threads: queueCount)
      pendingReload = (fresh, plan, loop.now + Self.reloadLimit, answer)
      armTimer()
      channel?.send(.reload(configuration(of: fresh, queueCount: queueCount)))
    } catch {
      log.warning("reload refused: \(error.message)")
      finish(answer, .failure(error.message, error.exitCode))
    }
  }

  private func reloaded(_ problem: String) {
    guard let reload = pendingReload else { return }
    pendingReload = nil
    var result = ControlAnswer()
    if problem.isEmpty {
      // The interface forgot the old networks already, and knows the new ones.
      let table = reload.bond.routeTable
      for network in reload.plan.removedRoutes { change(.removeRoute(network, table: table), &result) }
      for network in reload.plan.addedRoutes { change(.addRoute(network, table: table), &result) }
      bond = reload.bond
      result.notes += bond.warnings
      log.info("reloaded", ["peers": .integer(bond.peers.count)])
    } else {
      result = .failure(problem)
      log.warning("reload failed: \(problem)")
    }
    finish(reload.answer, result)
  }

  private func change(_ operation: NetworkOperation, _ result: inout ControlAnswer) {
    do throws(CommandFailure) { try system.perform(operation, on: bond.name) } catch { result.notes.append(error.message) }
  }

  private func finish(_ answer: (ControlAnswer) -> Void, _ result: ControlAnswer) {
    manager.ready("\(bond.name) is up")
    answer(result)
  }
}
