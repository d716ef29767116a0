internal import CausewayLinuxIO
package import CausewayRelayCore
internal import Glibc

/// The command line's side: asks the running relay, or opens the database itself under the lock when there is none. Blocks.
package enum AdminClient {
  /// How long a relay may hold the lock without answering (it is starting or ending) before the command gives up.
  package static let patienceMilliseconds = 5000
  /// Between two bytes of a running relay.
  static let replyTimeLimitSeconds = 10
  static let pauseMilliseconds = 20

  /// Does `command` whole, all pages of a list. `output` belongs on standard output as it is, `notes` on standard error, and the
  /// process ends with `exitCode`. `policy` and `clock` count only when no relay runs.
  package static func run(
    _ command: AdminCommand, in directory: DataDirectory, policy: ReservationPolicy = ReservationPolicy(),
    clock: () -> WallTime = { .current }
  ) -> AdminAnswer {
    var waited = 0
    while true {
      if let answer = askRelay(command, directory) { return answer }
      do throws(DataDirectoryError) {
        try directory.prepare()
        let lock = try directory.lock()
        return useDatabase(command, directory, lock, policy, clock)
      } catch {
        guard case .locked(_, let pid) = error else { return .refused(error.message) }
        if waited >= patienceMilliseconds {
          let holder = pid.map { "process \($0)" } ?? "a process"
          return .refused("\(holder) holds \(directory.path) and does not answer: wait for it, or end it", AdminAnswer.temporary)
        }
      }
      usleep(UInt32(pauseMilliseconds) * 1000)
      waited += pauseMilliseconds
    }
  }

  /// Collects the pages that `ask` gives.
  private static func collect(_ ask: (_ cursor: String) -> AdminAnswer) -> AdminAnswer {
    var whole = AdminAnswer()
    var cursor = ""
    while true {
      let page = ask(cursor)
      whole.output += page.output
      whole.notes += page.notes
      whole.exitCode = page.exitCode
      guard page.exitCode == 0, let next = page.next, next != cursor else { return whole }
      cursor = next
    }
  }

  private static func useDatabase(
    _ command: AdminCommand, _ directory: DataDirectory, _ lock: borrowing DataDirectoryLock, _ policy: ReservationPolicy,
    _ clock: () -> WallTime
  ) -> AdminAnswer {
    do throws(StoreError) {
      let service = AdminService(try directory.openStore(lock), policy: policy)
      var effects: [AdminEffect] = []  // for a relay; there is none
      return collect { service.execute(command, from: $0, at: clock(), effects: &effects) }
    } catch {
      return .refused(error.message)
    }
  }

  /// Nil when nobody listens.
  private static func askRelay(_ command: AdminCommand, _ directory: DataDirectory) -> AdminAnswer? {
    var isFirst = true
    var isAbsent = false
    let answer = collect { cursor in
      defer { isFirst = false }
      do throws(SystemError) {
        let socket = try UnixSocket.connect(to: directory.socketPath, timeoutSeconds: replyTimeLimitSeconds)
        return exchange(socket.rawValue, AdminCodec.encode(command, from: cursor), directory)
      } catch {
        isAbsent = isFirst && [ENOENT, ENOTDIR, ECONNREFUSED].contains(error.code)
        return .refused("cannot reach the relay at \(directory.socketPath): \(error.message)")
      }
    }
    return isAbsent ? nil : answer
  }

  private static func exchange(_ socket: CInt, _ question: [UInt8], _ directory: DataDirectory) -> AdminAnswer {
    var sent = 0
    while sent < question.count {
      // SAFETY: the span lies inside the array, which outlives the call.
      let count = unsafe question.withUnsafeBytes {
        unsafe send(socket, $0.baseAddress! + sent, $0.count - sent, CInt(MSG_NOSIGNAL))
      }
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      sent += count
    }
    var answer: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16 * 1024)
    while answer.count <= AdminCodec.maximumAnswerByteCount {
      // SAFETY: the array outlives the call.
      let count = unsafe piece.withUnsafeMutableBytes { unsafe recv(socket, $0.baseAddress, $0.count, 0) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 {
        return .refused("the relay does not answer at \(directory.socketPath): look at its log, then try again", AdminAnswer.temporary)
      }
      if count == 0 { break }
      answer += piece[..<count]
    }
    return AdminCodec.answer(answer)
      ?? .refused("the relay ended before it answered: look with 'list' what was done, then try again", AdminAnswer.temporary)
  }
}

extension WallTime {
  /// The system's clock.
  package static var current: WallTime { WallTime(seconds: Int64(time(nil))) }
}
