internal import CLinux
internal import Glibc

/// Asks for a secret on a terminal without showing it.
package enum HiddenPrompt {
  package enum Outcome: Equatable, Sendable {
    /// Without the line end.
    case entered(String)
    /// Ctrl-D, or the terminal is gone.
    case ended
    /// This signal arrived; the terminal is restored and the signal was raised again. Seen only when the process ignores it.
    case interrupted(CInt)
    case notATerminal
  }

  /// Signals that would leave the terminal without echo.
  private static let signals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP]

  /// Blocks the calling thread. `prompt` and a line end afterwards go to the terminal itself, so that stdout stays clean. While it waits the
  /// five signals are blocked in this thread and read from a descriptor: no handler, no race.
  /// - Parameter descriptor: The terminal; 0 for standard input.
  package static func read(_ prompt: String, from descriptor: CInt = 0) -> Outcome {
    var original = termios()
    guard unsafe tcgetattr(descriptor, &original) == 0 else { return .notATerminal }
    var blocked = sigset_t()
    var before = sigset_t()
    // SAFETY: the sets live for the calls.
    unsafe sigemptyset(&blocked)
    for signal in signals { unsafe sigaddset(&blocked, signal) }
    unsafe pthread_sigmask(SIG_BLOCK, &blocked, &before)
    defer { unsafe _ = pthread_sigmask(SIG_SETMASK, &before, nil) }
    let signalDescriptor = unsafe signalfd(-1, &blocked, CInt(SFD_CLOEXEC))
    defer { if signalDescriptor >= 0 { close(signalDescriptor) } }

    var line: [UInt8] = []
    // SAFETY: the array is ours; explicit_bzero isn't optimised away.
    defer { unsafe line.withUnsafeMutableBytes { if let base = $0.baseAddress { unsafe explicit_bzero(base, $0.count) } } }
    line.reserveCapacity(4096)
    while true {
      hideEcho(descriptor, original)
      StandardStreams.write(prompt, to: descriptor)
      let signal = waitForLine(descriptor, signalDescriptor)
      if signal == 0 { break }
      restore(descriptor, original)
      StandardStreams.write("\n", to: descriptor)
      // Delivered now, with its usual effect; after SIGTSTP and `fg` the question is asked again.
      unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
      raise(signal)
      unsafe pthread_sigmask(SIG_BLOCK, &blocked, nil)
      if signal != SIGTSTP { return .interrupted(signal) }
    }
    let outcome = readLine(descriptor, &line)
    restore(descriptor, original)
    StandardStreams.write("\n", to: descriptor)
    return outcome
  }

  private static func hideEcho(_ descriptor: CInt, _ original: termios) {
    var hidden = original
    hidden.c_lflag &= ~tcflag_t(ECHO)
    unsafe _ = tcsetattr(descriptor, TCSAFLUSH, &hidden)
  }

  private static func restore(_ descriptor: CInt, _ original: termios) {
    var original = original
    // TCSAFLUSH would eat what was typed ahead for the next program.
    unsafe _ = tcsetattr(descriptor, TCSADRAIN, &original)
  }

  /// The signal that came first, or 0 when a line (or the end) can be read.
  private static func waitForLine(_ descriptor: CInt, _ signalDescriptor: CInt) -> CInt {
    while true {
      var watched = [
        pollfd(fd: signalDescriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
      ]
      // SAFETY: the array lives for the call.
      let count = unsafe poll(&watched, 2, -1)
      if count < 0 && errno != EINTR { return 0 }
      if count <= 0 { continue }
      if watched[0].revents & Int16(POLLIN) != 0 {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        if unsafe Glibc.read(signalDescriptor, &info, size) == size { return CInt(info.ssi_signo) }
      }
      if watched[1].revents != 0 { return 0 }
    }
  }

  private static func readLine(_ descriptor: CInt, _ line: inout [UInt8]) -> Outcome {
    while line.count < 4096 {
      var byte: UInt8 = 0
      let count = unsafe Glibc.read(descriptor, &byte, 1)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return line.isEmpty ? .ended : .entered(String(decoding: line, as: UTF8.self)) }
      if byte == 0x0A || byte == 0x0D { break }
      line.append(byte)
    }
    return .entered(String(decoding: line, as: UTF8.self))
  }
}
