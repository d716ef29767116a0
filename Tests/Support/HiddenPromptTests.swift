import CLinux
import CausewaySupport
import Glibc
import Synchronization
import Testing

/// On a real pseudo-terminal. Each prompt runs on a thread of its own, as it blocks.
@Suite struct HiddenPromptTests {
  struct Pair {
    var master: CInt = -1
    var slave: CInt = -1

    init() { unsafe _ = openpty(&master, &slave, nil, nil, nil) }

    var hasEcho: Bool {
      var settings = termios()
      unsafe _ = tcgetattr(slave, &settings)
      return settings.c_lflag & tcflag_t(ECHO) != 0
    }

    /// Reads what the terminal shows until it ends with `text`.
    func shown(until text: String) -> String {
      var bytes: [UInt8] = []
      while !bytes.ends(with: text) {
        var byte: UInt8 = 0
        if unsafe read(master, &byte, 1) != 1 { break }
        bytes.append(byte)
      }
      return String(decoding: bytes, as: UTF8.self)
    }

    func type(_ text: String) {
      let bytes = Array(text.utf8)
      unsafe _ = bytes.withUnsafeBytes { unsafe write(master, $0.baseAddress, $0.count) }
    }
  }

  /// Runs the prompt on a thread; the thread's id comes back at once, the outcome by `join`.
  final class Asked: Sendable {
    let outcome = Mutex<HiddenPrompt.Outcome?>(nil)
    let slave: CInt
    init(_ slave: CInt) { self.slave = slave }

    func start() -> pthread_t {
      var thread = pthread_t()
      let context = unsafe Unmanaged.passRetained(self).toOpaque()
      unsafe pthread_create(
        &thread, nil,
        { context in
          let asked = unsafe Unmanaged<Asked>.fromOpaque(context!).takeRetainedValue()
          // Threads of a pool have signals blocked; a program's first thread has not.
          var none = sigset_t()
          unsafe sigemptyset(&none)
          unsafe pthread_sigmask(SIG_SETMASK, &none, nil)
          let outcome = HiddenPrompt.read("Token: ", from: asked.slave)
          asked.outcome.withLock { $0 = outcome }
          return nil
        }, context)
      return thread
    }

    func join(_ thread: pthread_t) -> HiddenPrompt.Outcome? {
      pthread_join(thread, nil)
      return outcome.withLock { $0 }
    }
  }

  @Test func whatIsTypedIsReadAndNotShown() {
    let pair = Pair()
    #expect(pair.hasEcho)
    let asked = Asked(pair.slave)
    let thread = asked.start()
    #expect(pair.shown(until: "Token: ") == "Token: ")
    #expect(!pair.hasEcho)
    pair.type("s3cret\n")
    #expect(asked.join(thread) == .entered("s3cret"))
    #expect(pair.hasEcho)
    #expect(pair.shown(until: "\n") == "\r\n")
  }

  @Test func controlDEnds() {
    let pair = Pair()
    let asked = Asked(pair.slave)
    let thread = asked.start()
    _ = pair.shown(until: "Token: ")
    pair.type("\u{4}")
    #expect(asked.join(thread) == .ended)
    #expect(pair.hasEcho)
  }

  @Test func aPipeIsNotATerminal() {
    var ends: [CInt] = [0, 0]
    unsafe _ = pipe(&ends)
    #expect(HiddenPrompt.read("Token: ", from: ends[0]) == .notATerminal)
    for end in ends { close(end) }
  }

  @Test func aSignalRestoresTheTerminal() async {
    await #expect(processExitsWith: .success) {
      // Ignored, so that this process lives to look at the terminal afterwards.
      _ = signal(SIGTERM, SIG_IGN)
      let pair = Pair()
      let asked = Asked(pair.slave)
      let thread = asked.start()
      _ = pair.shown(until: "Token: ")
      if pair.hasEcho { exit(2) }
      pthread_kill(thread, SIGTERM)
      if asked.join(thread) != .interrupted(SIGTERM) { exit(3) }
      exit(pair.hasEcho ? 0 : 4)
    }
  }

  @Test func aSignalStillEndsTheProcess() async {
    await #expect(processExitsWith: .signal(SIGINT)) {
      // A test run in the background inherits an ignored SIGINT.
      _ = signal(SIGINT, SIG_DFL)
      let pair = Pair()
      let asked = Asked(pair.slave)
      let thread = asked.start()
      _ = pair.shown(until: "Token: ")
      pthread_kill(thread, SIGINT)
      _ = asked.join(thread)
      exit(0)
    }
  }
}

extension [UInt8] {
  fileprivate func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
