import CLinux
import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct SignalsTests {
  @Test("a blocked signal arrives as an event of the loop, one call for each kind")
  func signals() async throws {
    let seen = try await onLoop { loop in
      let seen = Mailbox<Signal>()
      let signals = try Signals([.windowChanged, .user1], on: loop) { seen.put($0) }
      for signal in [Signal.user1, .windowChanged, .user1] { _ = pthread_kill(pthread_self(), signal.rawValue) }
      let both: Set<Signal> = [await seen.next(), await seen.next()]
      await loop.turnTwice()
      signals.close()
      signals.close()
      return (both, seen.count)
    }
    #expect(seen.0 == [.user1, .windowChanged])
    #expect(seen.1 == 0)
  }
}

@Suite(.timeLimit(.minutes(1))) struct NetworkWatcherTests {
  @Test("a burst of changes is one call", .enabled(if: geteuid() == 0))
  func burst() throws {
    let calls = Shared<Int?>(nil)
    let thread = try Thread(name: "namespace") {
      guard shim_enter_new_network_namespace() == 0, let loop = try? EventLoop() else { return }
      var count = 0
      let settled = LoopTimer(loop) { _ in loop.stop() }
      guard
        let watcher = try? NetworkWatcher(
          on: loop, settling: .milliseconds(20),
          {
            count += 1
            settled.set(after: .milliseconds(60))
          })
      else { return }
      // Brings a link, two addresses and their routes.
      guard bringLoopbackUp() else { return }
      loop.run()
      watcher.close()
      calls.value = count
    }
    thread.join()
    #expect(calls.value == 1)
  }
}

/// In the calling thread's network namespace.
func bringLoopbackUp() -> Bool {
  let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
  defer { _ = close(descriptor) }
  // struct ifreq: 16 bytes of name, then the flags.
  var request = [UInt8](repeating: 0, count: 40)
  request.replaceSubrange(0..<2, with: Array("lo".utf8))
  request[16] = UInt8(IFF_UP)
  return unsafe request.withUnsafeMutableBytes { unsafe ioctl(descriptor, UInt(SIOCSIFFLAGS), $0.baseAddress!) } == 0
}

@Suite struct FilesTests {
  @Test("replacing leaves the new content, the asked mode whatever the umask, and nothing beside it")
  func replace() throws {
    let folder = temporaryFolder()
    let path = folder + "/file"
    try Files.replace(path, with: "one")
    try Files.replace(path, with: "two\n")
    let (content, isPrivate) = (try Files.read(path), try Files.isPrivate(path))
    #expect(content == Array("two\n".utf8))
    #expect(isPrivate)
    try Files.replace(path, with: "open", mode: 0o644)
    let isStillPrivate = try Files.isPrivate(path)
    #expect(!isStillPrivate)
    #expect(unsafe unlink(path) == 0)
    #expect(unsafe rmdir(folder) == 0)  // so nothing else was in it
  }

  @Test("errors name the call and the path")
  func errors() {
    let path = "/nonexistent/x"
    #expect(throws: SystemError(ENOENT, "open /nonexistent/x")) { try Files.read(path) }
    #expect(throws: SystemError(ENOENT, "stat /nonexistent/x")) { try Files.isPrivate(path) }
    #expect(throws: SystemError(EFBIG, "read /etc/passwd")) { try Files.read("/etc/passwd", atMost: 3) }
    #expect(throws: SystemError.self) { try Files.replace(path, with: "") }
  }

  @Test("missing folders are made with the mode, existing ones are left")
  func folders() throws {
    let folder = temporaryFolder()
    try Files.makeFolder(folder + "/a/b/c")
    try Files.makeFolder(folder + "/a/b/c/")
    let isPrivate = try Files.isPrivate(folder + "/a/b")
    #expect(isPrivate)
    try Files.replace(folder + "/a/file", with: "")
    #expect(throws: SystemError.self) { try Files.makeFolder(folder + "/a/file") }
    #expect(throws: SystemError.self) { try Files.makeFolder(folder + "/a/file/b") }
    for name in ["/a/file"] { #expect(unsafe unlink(folder + name) == 0) }
    for name in ["/a/b/c", "/a/b", "/a", ""] { #expect(unsafe rmdir(folder + name) == 0) }
  }

  @Test("the folder of a path", arguments: [("a", "."), ("/a", "/"), ("/a/b", "/a"), ("a/b/", "a"), ("/", "/")])
  func folderOf(_ path: String, _ folder: String) { #expect(Files.folder(of: path) == folder) }
}

@Suite struct FileLockTests {
  @Test("one holder at a time; the other hears who; the end of the holder frees it")
  func lock() throws {
    let folder = temporaryFolder()
    let path = folder + "/lock"
    do {
      let lock = try FileLock(path)
      #expect(throws: FileLock.Failure.held(path: path, pid: getpid())) { _ = try FileLock(path) }
      _ = consume lock
    }
    // A child between fork and exec has the descriptor too, and must not keep the lock.
    var copy: CInt = -1
    do {
      let lock = try FileLock(path)
      copy = dup(lock.descriptor.rawValue)
    }
    _ = try FileLock(path)
    _ = close(copy)
    let content = try Files.read(path)
    #expect(content == Array("\(getpid())\n".utf8))
    _ = try FileLock(path)
    #expect(throws: FileLock.Failure.self) { _ = try FileLock(folder + "/missing/lock") }
    _ = unsafe unlink(path)
    _ = unsafe rmdir(folder)
  }
}

@Suite struct ProcessLimitsTests {
  @Test("the soft limit of descriptors becomes the hard one, and core dumps are off")
  func limits() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit()
      let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
      unsafe getrlimit(resource, &limit)
      limit.rlim_cur = 64
      unsafe setrlimit(resource, &limit)
      let raised = try ProcessLimits.raiseDescriptorLimit()
      unsafe getrlimit(resource, &limit)
      try ProcessLimits.disableCoreDumps()
      var core = rlimit()
      unsafe getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &core)
      // PR_SET_DUMPABLE hands /proc/self to root; as root the file that shows it is `environ`'s owner, so ask the limit.
      exit(raised > 64 && limit.rlim_cur == limit.rlim_max && core.rlim_max == 0 ? 0 : 1)
    }
  }
}
