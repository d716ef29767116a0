package import CausewayRelayCore

/// What the relay's owner asks for on the command line, executed by `AdminService` inside the relay or, when none runs, by the command
/// itself. Arguments are as typed; the service checks them.
package enum AdminCommand: Equatable, Sendable {
  case addAccount(email: String)
  case listAccounts
  case disableAccount(email: String)
  case enableAccount(email: String)
  case removeAccount(email: String)
  case createToken(email: String)
  /// Of one account or of all.
  case listTokens(email: String?)
  /// By the first digits of its hash (at least 6), as lists show them, or by all 64.
  case revokeToken(id: String)
  case listNames(email: String?)
  case releaseName(String)

  /// Revokes the token that somebody gave on standard input; it goes no further than its hash.
  package static func revokeToken(secret: String) -> AdminCommand { .revokeToken(id: TokenHash(of: secret).hexadecimal) }
}

/// What came of a command, or of one page of a list.
package struct AdminAnswer: Equatable, Sendable {
  /// Exit codes: see the table of all commands in docs/.
  package static let failure: Int32 = 1
  package static let usage: Int32 = 2
  package static let temporary: Int32 = 75

  /// Lines for standard output.
  package var output: [String] = []
  /// Lines for standard error.
  package var notes: [String] = []
  package var exitCode: Int32 = 0
  /// Where the next page of the list begins; nil at its end.
  package var next: String?

  package init(output: [String] = [], notes: [String] = [], exitCode: Int32 = 0, next: String? = nil) {
    self.output = output
    self.notes = notes
    self.exitCode = exitCode
    self.next = next
  }

  package static func refused(_ message: String, _ exitCode: Int32 = failure) -> AdminAnswer {
    AdminAnswer(notes: [message], exitCode: exitCode)
  }
}

/// What a running relay must do after a command, in this order and before it answers.
package enum AdminEffect: Equatable, Sendable {
  /// Ends the account's sessions and forbids their resume.
  case endSessions(account: AccountID)
  /// Ends the sessions that signed in with this token and forbids their resume.
  case tokenRevoked(TokenHash)
  /// Ends the tunnel that uses the name, if one does, and forgets what is kept for its return.
  case nameReleased(TunnelName)
}
