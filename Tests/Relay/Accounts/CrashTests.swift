import CausewayRelayCore
import Foundation
import Synchronization
import Testing

@testable import CausewayRelay

@Suite struct CrashTests {
  /// The child acknowledges each commit in a file, and is killed by SIGKILL a few hundred microseconds after a number of them that
  /// differs from round to round.
  @Test("SIGKILL at any moment loses nothing acknowledged and needs no repair", arguments: 1...6)
  func survivesKill(_ round: Int) async throws {
    let folder = TemporaryFolder()
    let data = folder.data
    let path = data.path
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, round = round as Int] in
      let data = DataDirectory(path: path)
      try data.prepare()
      let lock = try data.lock()
      let store = try data.openStore(lock)
      let acknowledged = Progress()
      let file = unsafe open(path + "/acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
      Thread.detachNewThread {
        while acknowledged.count.load(ordering: .relaxed) < 20 * round { usleep(50) }
        usleep(UInt32(137 * round))
        kill(getpid(), SIGKILL)
      }
      func acknowledge(_ line: String) {
        let bytes = [UInt8]((line + "\n").utf8)
        let count = unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
        precondition(count == bytes.count)
        acknowledged.count.add(1, ordering: .relaxed)
      }
      for index in 0..<1_000_000 {
        let account = try store.addAccount(email("a\(index)@example.org"), token: TokenHash(of: "t\(index)"), at: start)
        acknowledge("account \(index)")
        let request = NameRequest(account: account.id, name: .exactly(try name("n\(index)")), port: index < 900 ? .any : .none)
        let reservation = try store.reserve(request, ReservationPolicy(), at: start, seed: UInt64(index))
        acknowledge("name \(index) \(reservation.tcpPort ?? 0)")
        if index.isMultiple(of: 3) {
          try store.revoke(TokenHash(of: "t\(index)"), at: start)
          acknowledge("revoked \(index)")
        }
      }
    }

    // The lock went with its holder; the database opens as it is.
    let lock = try data.lock()
    let store = try data.openStore(lock)
    #expect(try store.database.row("PRAGMA integrity_check") { $0.text(0) } == "ok")
    let lines = String(decoding: try #require(contents(of: path + "/acknowledged")), as: UTF8.self).split(separator: "\n")
    #expect(lines.count >= 20 * round)
    let revoked = Set(lines.filter { $0.hasPrefix("revoked") }.map { $0.split(separator: " ")[1] })
    for line in lines {
      let words = line.split(separator: " ")
      switch words[0] {
      case "account":
        let account = try store.account(email("a\(words[1])@example.org"))
        #expect(account != nil, "\(line)")
        // The last one may have been revoked without having said so.
        if line != lines.last && !revoked.contains(words[1]) && Int(words[1])!.isMultiple(of: 3) == false {
          #expect(try store.authenticate(TokenHash(of: "t\(words[1])")) == .accepted(try #require(account), usedAt: nil), "\(line)")
        }
      case "name": #expect(try store.reservation(of: try name("n\(words[1])"))?.tcpPort.map(Int.init) ?? 0 == Int(words[2]), "\(line)")
      default: #expect(try store.authenticate(TokenHash(of: "t\(words[1])")) == .revokedToken, "\(line)")
      }
    }
    // Account and first token are one transaction: there is never one without the other.
    let alone = "SELECT count(*) FROM accounts WHERE id NOT IN (SELECT account FROM tokens)"
    #expect(try store.database.row(alone) { $0.integer(0) } == 0)
  }
}

private final class Progress: Sendable {
  let count = Atomic(0)
}
