import CausewayBase
import CausewayLinuxIO
import CausewaySupport
import CausewayTelemetry
import CausewayWire
import Foundation
import Testing

@testable import CausewayBond

/// Remembers what was asked of the machine, in order; fails where a test says so.
private final class FakeSystem: BondSystem {
  var calls: [String] = []
  var failing = ""
  var controls = ["ipv4/conf/all/src_valid_mark": "0", "ipv4/conf/all/rp_filter": "1"]
  var links: Set<String> = []
  /// The journal's text when a call was made.
  var journal: () -> String = { "" }
  var journalAt: [String: String] = [:]

  private func call(_ text: String) throws(CommandFailure) {
    calls.append(text)
    journalAt[text] = journal()
    if text == failing { throw CommandFailure(.failure, "no: \(text)") }
  }

  func openTunnel(_ name: String, queueCount: Int) throws(CommandFailure) -> (descriptors: [CInt], offloads: UInt32) {
    try call("tunnel \(name) \(queueCount)")
    links.insert(name)
    return ([], 7)
  }
  func hasLink(_ name: String) throws(CommandFailure) -> Bool { links.contains(name) }
  func perform(_ operation: NetworkOperation, on name: String) throws(CommandFailure) {
    switch operation {
    case .addAddress(let address, let length): try call("address \(address)/\(length)")
    case .setUp(let mtu, _): try call("up \(mtu)")
    case .addRoute(let network, let table): try call("route \(network) \(table ?? 0)")
    case .removeRoute(let network, let table): try call("unroute \(network) \(table ?? 0)")
    case .addRule(let rule): try call("rule \(rule.kind.rawValue) \(rule.family) \(rule.table)")
    case .removeRule(let rule): try call("unrule \(rule.kind.rawValue) \(rule.family) \(rule.table)")
    case .removeLink:
      try call("unlink")
      links.remove(name)
    }
  }
  func runHook(_ command: String, on name: String) throws(CommandFailure) { try call("hook \(command)") }
  func chooseDNSTool() throws(CommandFailure) -> DNSTool {
    try call("choose")
    return .resolvectl
  }
  func setNameServers(_ dns: BondConfiguration.DNS, _ tool: DNSTool, on name: String) throws(CommandFailure) { try call("dns") }
  func unsetNameServers(_ tool: DNSTool, on name: String) throws(CommandFailure) { try call("undns") }
  func control(_ path: String) -> String? { controls[path] }
  func setControl(_ path: String, _ value: String) throws(CommandFailure) {
    try call("control \(path) \(value)")
    controls[path] = value
  }
  func isTableFree(_ table: UInt32, _ family: IPAddress.Family) throws(CommandFailure) -> Bool { table != 51820 }
}

/// A supervisor with a child that lives on the same loop.
private final class Stand {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bond-\(UUID().uuidString.prefix(8))").path
  let folders: BondFolders
  let loop: EventLoop
  let system = FakeSystem()
  var bond: BondConfiguration
  var reread: () throws(CommandFailure) -> BondConfiguration
  var child: WorkerChannel?
  var configurations: [WorkerConfiguration] = []
  var timestamp: [UInt8] = []
  var isKilled = false
  /// What the child does with a message; the default is a good child.
  var behave: ((WorkerMessage, WorkerChannel) -> Bool)?
  private(set) lazy var supervisor = BondSupervisor(
    bond, system: system, folders: folders, on: loop, log: .disabled, manager: ServiceManager(.fixed([:])),
    reread: { [unowned self] () throws(CommandFailure) in try reread() },
    startWorker: { [unowned self] (descriptors: [CInt]) throws(CommandFailure) in try start(descriptors) })

  init(_ text: String) throws {
    folders = BondFolders(runtime: folder + "/run", state: folder + "/state")
    loop = try EventLoop()
    let bond = try wireGuard(text)
    self.bond = bond
    reread = { () throws(CommandFailure) in bond }
    system.journal = { [folders] in (try? String(contentsOfFile: folders.undo("wg0"), encoding: .utf8)) ?? "" }
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func start(_ descriptors: [CInt]) throws(CommandFailure) -> WorkerProcess {
    system.calls.append("worker")
    let end = dup(descriptors[0])
    do throws(SystemError) {
      child = try WorkerChannel(adopting: FileDescriptor(adopting: end), on: loop) { [unowned self] in
        take($0)
      } ended: { _ in
      }
    } catch { throw CommandFailure(.failure, error.description) }
    return WorkerProcess(wait: { 0 }, kill: { [unowned self] in isKilled = true })
  }

  private func take(_ message: WorkerMessage) {
    guard let child else { return }
    if behave?(message, child) == true { return }
    switch message {
    case .configure(let configuration, let timestamp):
      configurations.append(configuration)
      self.timestamp = timestamp
      child.send(.ready(WorkerReadiness()))
    case .reload(let configuration):
      configurations.append(configuration)
      child.send(.reloaded(""))
    case .statusRequest(let id):
      var status = BondStatus()
      status.name = "wg0"
      child.send(.status(id: id, status))
    case .stop:
      system.calls.append("stop")
      child.close()
    default: break
    }
  }

  var journalExists: Bool { FileManager.default.fileExists(atPath: folders.undo("wg0")) }
}

private let plain = """
  [Interface]
  PrivateKey = \(privateKeyText)
  Address = 10.0.0.1/24, fd00::1/64
  Threads = 1
  DNS = 1.1.1.1
  PreUp = a
  PostUp = b
  PostUp = c
  PreDown = d
  PostDown = e
  PostDown = f
  [Peer]
  PublicKey = \(publicKeyText)
  AllowedIPs = 10.0.0.0/24, 10.9.0.0/16, 10.8.1.0/24, fd00:1::/64

  """

private let defaultRoute = """
  [Interface]
  PrivateKey = \(privateKeyText)
  Threads = 2
  [Peer]
  PublicKey = \(publicKeyText)
  AllowedIPs = 0.0.0.0/0, ::/0

  """

@Suite struct SupervisorTests {
  @Test("up and down follow wg-quick's order, and every step's undoing is on disk before the step")
  func order() throws {
    let stand = try Stand(plain)
    try stand.supervisor.run { stand.supervisor.end("test") }
    #expect(
      stand.system.calls == [
        "choose", "hook a", "tunnel wg0 1", "worker", "address 10.0.0.1/24", "address fd00::1/64", "up 1400", "dns", "route fd00:1::/64 0",
        "route 10.8.1.0/24 0", "route 10.9.0.0/16 0", "hook b", "hook c",
        // and back
        "hook d", "undns", "stop", "unlink", "hook e", "hook f",
      ])
    #expect(stand.system.journalAt["hook a"]?.contains("\"f\"") == true)
    #expect(stand.system.journalAt["tunnel wg0 1"]?.contains("\"undo\":\"link\"") == true)
    #expect(stand.system.journalAt["dns"]?.contains("resolvectl") == true)
    #expect(stand.system.journalAt["hook b"]?.contains("\"d\"") == true)
    #expect(!stand.journalExists && stand.isKilled)
    #expect(stand.configurations.count == 1 && stand.configurations[0].offloads == 7)
  }

  @Test("a default route gets a free table, its rules and controls, and all of them go again")
  func policyRouting() throws {
    let stand = try Stand(defaultRoute)
    try stand.supervisor.run { stand.supervisor.end("test") }
    #expect(
      stand.system.calls == [
        "tunnel wg0 2", "worker", "up 1400", "route 0.0.0.0/0 51821", "rule unmarked v4 51821", "rule suppress_default v4 51821",
        "control ipv4/conf/all/src_valid_mark 1", "control ipv4/conf/all/rp_filter 2", "route ::/0 51821", "rule unmarked v6 51821",
        "rule suppress_default v6 51821",
        // and back
        "unrule suppress_default v6 51821", "unrule unmarked v6 51821", "control ipv4/conf/all/rp_filter 1",
        "control ipv4/conf/all/src_valid_mark 0", "unrule suppress_default v4 51821", "unrule unmarked v4 51821", "stop", "unlink",
      ])
    #expect(stand.configurations[0].firewallMark == 51821)
  }

  @Test(
    "a step that fails takes everything back, and its reason is the verdict", arguments: ["hook a", "tunnel wg0 1", "up 1400", "hook c"])
  func failingStep(_ step: String) throws {
    let stand = try Stand(plain)
    stand.system.failing = step
    #expect(throws: CommandFailure(.failure, "no: \(step)")) { try stand.supervisor.run { Issue.record("ready") } }
    #expect(stand.system.calls.suffix(2) == ["hook e", "hook f"])
    #expect(stand.system.calls.contains("unlink") == (step != "hook a"))
    #expect(stand.system.calls.contains("hook d") == (step == "hook c"))
    #expect(!stand.journalExists)
  }

  @Test("without a tool for name servers nothing is changed; nor when the interface exists")
  func refusedBefore() throws {
    let stand = try Stand(plain)
    stand.system.failing = "choose"
    #expect(throws: CommandFailure.self) { try stand.supervisor.run {} }
    #expect(stand.system.calls == ["choose"])
    let other = try Stand(defaultRoute)
    other.system.links = ["wg0"]
    #expect(throws: CommandFailure.self) { try other.supervisor.run {} }
    #expect(other.system.calls.isEmpty)
  }

  @Test("after a kill the next start takes back what the journal holds, then begins")
  func afterKill() throws {
    let stand = try Stand(defaultRoute)
    try stand.folders.prepare()
    var journal = try UndoJournal(reading: stand.folders.undo("wg0"))
    try journal.append(UndoEntry(commands: ["x"]))
    try journal.append(UndoEntry(.link))
    try journal.append(UndoEntry(DefaultRouteRule(.unmarked, .v6, table: 7)))
    // A line that was cut is a step that was not taken.
    let file = try #require(FileHandle(forWritingAtPath: stand.folders.undo("wg0")))
    file.seekToEndOfFile()
    file.write(Data("{\"undo\":\"li".utf8))
    try stand.supervisor.run { stand.supervisor.end("test") }
    #expect(Array(stand.system.calls.prefix(4)) == ["unrule unmarked v6 7", "unlink", "hook x", "tunnel wg0 2"])
  }

  @Test("a bond runs once")
  func locked() throws {
    let stand = try Stand(defaultRoute)
    try stand.folders.prepare()
    let lock = try FileLock(stand.folders.lock("wg0"))
    do throws(CommandFailure) {
      try stand.supervisor.run {}
      Issue.record("ran twice")
    } catch { #expect(error.message.contains("runs already, as process \(getpid())")) }
    #expect(stand.system.calls.isEmpty)
    _ = consume lock
  }

  @Test("a child that fails, ends or talks nonsense ends the bond, with its reason")
  func badChild() throws {
    let behaviours: [((WorkerChannel) -> Void, String)] = [
      ({ $0.send(.failed("port 51820 is \u{1B}taken")) }, "port 51820 is \\x1btaken"),
      ({ $0.close() }, "the packet process ended by itself: exit code 0"),
      ({ $0.send(.stop) }, "the packet process broke the protocol: it sent a question"),
    ]
    for (behaviour, reason) in behaviours {
      let stand = try Stand(plain)
      stand.behave = { message, child in
        guard case .configure = message else { return false }
        behaviour(child)
        return true
      }
      #expect(throws: CommandFailure(.failure, reason)) { try stand.supervisor.run { Issue.record("ready") } }
      #expect(stand.system.calls.suffix(3) == ["unlink", "hook e", "hook f"])
    }
  }

  @Test("the greatest timestamp is kept over a restart, a smaller one changes nothing")
  func timestamps() throws {
    let stand = try Stand(defaultRoute)
    stand.behave = { message, child in
      guard case .configure = message else { return false }
      for byte: UInt8 in [5, 9, 3] { child.send(.timestamp([0x40] + [UInt8](repeating: byte, count: 11))) }
      return false
    }
    try stand.supervisor.run { stand.supervisor.end("test") }
    #expect(stand.timestamp.isEmpty)
    #expect(TimestampFile(stand.folders.timestamp("wg0")).read() == [0x40] + [UInt8](repeating: 9, count: 11))
    let again = try Stand(defaultRoute)
    try again.folders.prepare()
    try FileManager.default.removeItem(atPath: again.folders.state)
    try FileManager.default.copyItem(atPath: stand.folders.state, toPath: again.folders.state)
    try again.supervisor.run { again.supervisor.end("test") }
    #expect(again.timestamp == [0x40] + [UInt8](repeating: 9, count: 11))
  }

  @Test("status, reload and down go through the control socket")
  func control() async throws {
    let stand = try Stand(plain)
    stand.reread = { [unowned stand] () throws(CommandFailure) in
      var fresh = stand.bond
      fresh.peers[0].allowedIPs.removeAll { $0.description == "10.9.0.0/16" }
      fresh.peers[0].allowedIPs.append(IPNetwork(masking: IPAddress("10.7.0.0")!, prefixLength: 16))
      fresh.scheduler = .redundant
      return fresh
    }
    let folders = stand.folders
    let answers = Answers()
    var asking: Foundation.Thread?
    try stand.supervisor.run {
      asking = Foundation.Thread {
        for question in [ControlQuestion.status, .reload, .down] {
          answers.add(try? ControlClient.ask(question, of: "wg0", in: folders))
        }
      }
      asking?.start()
    }
    answers.wait(for: 3)
    let got = answers.all
    #expect(got.count == 3 && got[0]?.status.name == "wg0" && got.allSatisfy { $0?.error == "" })
    #expect(stand.system.calls.contains("unroute 10.9.0.0/16 0") && stand.system.calls.contains("route 10.7.0.0/16 0"))
    #expect(stand.system.calls.filter { $0.hasPrefix("hook") } == ["hook a", "hook b", "hook c", "hook d", "hook e", "hook f"])
    #expect(stand.configurations.last?.scheduler == .redundant)
    #expect(try ControlClient.ask(.status, of: "wg0", in: folders) == nil)
    _ = asking
  }

  @Test("a reload that asks for what can't change names it and changes nothing")
  func refusedReload() throws {
    let old = try wireGuard(plain)
    for (from, to, name) in [
      ("10.0.0.1/24", "10.0.0.2/24", "Address"), ("Threads = 1", "Threads = 2", "Threads"), ("DNS = 1.1.1.1", "MTU = 1300", "MTU, DNS"),
      ("10.9.0.0/16", "0.0.0.0/0", "a default route"),
    ] {
      let new = try wireGuard(plain.replacing(from, with: to))
      do throws(CommandFailure) {
        _ = try ReloadPlan(from: old, to: new, threads: 1)
        Issue.record("taken: \(to)")
      } catch { #expect(error.message.contains(name + " ") || error.message.contains(name), "\(error.message)") }
    }
    let paths = plain + (1...4).map { "Path = 192.0.2.1:\($0)\n" }.joined()
    let many = try wireGuard(paths.replacing("Threads = 1", with: ""))
    #expect(throws: CommandFailure.self) { try ReloadPlan(from: many, to: many, threads: 8) }
    #expect(throws: Never.self) { try ReloadPlan(from: many, to: many, threads: 7) }
    #expect(try ReloadPlan(from: old, to: wireGuard(plain.replacing("PostUp = b", with: "PostUp = z")), threads: 1).addedRoutes.isEmpty)
  }
}

private final class Answers: @unchecked Sendable {
  // @unchecked: `condition` guards `answers`.
  private let condition = NSCondition()
  private var answers: [ControlAnswer?] = []
  func add(_ answer: ControlAnswer??) {
    condition.lock()
    answers.append(answer ?? nil)
    condition.signal()
    condition.unlock()
  }
  func wait(for count: Int) {
    condition.lock()
    while answers.count < count { condition.wait() }
    condition.unlock()
  }
  var all: [ControlAnswer?] { condition.withLock { answers } }
}
