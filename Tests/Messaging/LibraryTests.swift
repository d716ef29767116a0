import CausewayBase
import CausewayLinuxIO
import Glibc
import Testing

@testable import CausewayMessaging

/// Folders with a libucp.so.0 of another UCX than the system's, to run against too: `CAUSEWAY_TEST_UCX`, separated by colons.
let otherFolders = (UCXLibrary.environment("CAUSEWAY_TEST_UCX") ?? "").split(separator: ":").map(String.init)

/// All that there are to run on.
private let everyUCX = ["system"] + otherFolders

@Suite("Which UCX")
struct LibraryTests {
  @Test(
    "the environment chooses",
    arguments: [
      ([:], .automatic), (["CAUSEWAY_UCX": "system"], .system), (["CAUSEWAY_UCX": "wheel"], .wheel),
      (["CAUSEWAY_UCX": "/opt/ucx/lib"], .folder("/opt/ucx/lib")), (["STARWAY_USE_SYSTEM_UCX": "true"], .system),
      (["STARWAY_USE_SYSTEM_UCX": "0"], .wheel), (["CAUSEWAY_UCX": "wheel", "STARWAY_USE_SYSTEM_UCX": "1"], .wheel),
      (["CAUSEWAY_UCX": "", "STARWAY_USE_SYSTEM_UCX": ""], .automatic),
    ] as [([String: String], UCXSource)])
  func environment(_ values: [String: String], _ expected: UCXSource) throws {
    #expect(try UCXSource.fromEnvironment { values[$0] }.get() == expected)
  }

  @Test("a choice that means nothing is refused")
  func nonsense() {
    guard case .failure(let error) = UCXSource.fromEnvironment({ $0 == "CAUSEWAY_UCX" ? "sytem" : nil }) else {
      Issue.record("taken")
      return
    }
    #expect(error.code == .invalidArgument)
  }

  @Test("a folder without UCX is an error that says both ways to get it")
  func missing() throws {
    let peer = try Peer("self-test", environment: ["CAUSEWAY_UCX=/nonexistent"])
    let line = peer.line()
    #expect(line.contains("libucx0"))
    #expect(line.contains("pip install libucx-cu12"))
  }

  @Test("asking for another UCX than the loaded one is an error that names it")
  func otherOneLoaded() throws {
    let loaded = try UCXLibrary.load()
    let error = #expect(throws: MessagingError.self) { _ = try UCXLibrary.load(.folder("/nonexistent")) }
    #expect(error?.code == .ucxUnavailable)
    #expect(error?.description.contains(loaded.path) == true)
  }

  @Test("the system's serves a process of its own")
  func system() throws {
    let peer = try Peer("self-test", environment: ["CAUSEWAY_UCX=system"])
    #expect(!peer.line().isEmpty)
    #expect(peer.line().hasPrefix("1."))
  }

  @Test("another UCX does the same", .enabled(if: !otherFolders.isEmpty, "CAUSEWAY_TEST_UCX names no folder"), arguments: otherFolders)
  func others(_ folder: String) throws {
    for tls in ["posix", "tcp", "posix,cma", "all"] {
      let peer = try Peer("self-test", "tls=\(tls)", environment: ["CAUSEWAY_UCX=\(folder)"])
      let lanes = peer.line()
      #expect(lanes.contains(tls == "tcp" ? "tcp/" : "/"), "\(lanes)")
      #expect(peer.line().contains(folder))
    }
  }

  @Test("on every UCX messages of each kind pass, truncation keeps them, and a killed peer is lost", arguments: ["posix", "tcp"], everyUCX)
  func smoke(_ tls: String, _ ucx: String) throws {
    let one = try Peer("smoke", "tls=\(tls)", environment: ["CAUSEWAY_UCX=\(ucx)"])
    let port = one.line()
    let other = try Peer("obey", "tls=\(tls)", "port=\(port)", environment: ["CAUSEWAY_UCX=\(ucx)"])
    #expect(other.line() == "connected")
    #expect(one.line() == "ready")
    other.kill()
    #expect(one.line() == "peer lost")
  }

  @Test(
    "peers with different UCX are refused, both named", .enabled(if: !otherFolders.isEmpty, "CAUSEWAY_TEST_UCX names no folder"),
    arguments: everyUCX, everyUCX)
  func mixed(_ here: String, _ there: String) throws {
    if here == there { return }
    let server = try Peer("neglect", environment: ["CAUSEWAY_UCX=\(here)"])
    let port = try #require(server.line().split(separator: " ").first)
    let line = try Peer("obey", "port=\(port)", environment: ["CAUSEWAY_UCX=\(there)"]).line()
    #expect(line.contains("version mismatch"))
    for ucx in [here, there] { #expect(line.contains(ucx == "system" ? "/lib" : ucx), "\(line)") }
  }

  @Test("a program's crashes stay its own, unless it asks UCX for them", arguments: ["", "bt"])
  func handlers(_ wanted: String) throws {
    // Swift's own backtraces catch the same signals.
    let environment = ["SWIFT_BACKTRACE=enable=no"] + (wanted.isEmpty ? [] : ["UCX_HANDLE_ERRORS=\(wanted)"])
    let peer = try Peer("neglect", environment: environment)
    #expect(!peer.line().isEmpty)
    let status = String(decoding: try Files.read("/proc/\(peer.identifier)/status", atMost: 1 << 16), as: UTF8.self)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") })
    let caught = try #require(UInt64(line.dropFirst(7).drop { $0 == "\t" }, radix: 16))
    let crashes: UInt64 = [SIGSEGV, SIGBUS, SIGILL, SIGFPE].reduce(0) { $0 | 1 << UInt64($1 - 1) }
    #expect((caught & crashes != 0) == !wanted.isEmpty)
  }

  @Test("an engine tells its UCX, and what that sees")
  func info() throws {
    let engine = try Pair.engine(tls: "posix,tcp")
    let info = try engine.info()
    #expect(info.ucxVersion == engine.library.version)
    #expect(info.transports.contains { $0.name == "posix" })
    #expect(info.transports.contains { $0.name == "tcp" })
    engine.shutdown()
  }
}
