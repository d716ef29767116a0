package import CausewayRelayCore

/// Executes admin commands on a store. A token that it makes is in the answer's output and nowhere else.
package struct AdminService {
  /// Lines of a list in one answer: bounds what a relay holds for a reader.
  package static let pageRowCount = 500

  private let store: any AccountStore
  private let policy: ReservationPolicy

  package init(_ store: any AccountStore, policy: ReservationPolicy) {
    self.store = store
    self.policy = policy
  }

  /// - Parameter cursor: `next` of the page before; "" for the first, and for all that is no list.
  package func execute(
    _ command: AdminCommand, from cursor: String = "", at now: WallTime, effects: inout [AdminEffect]
  ) -> AdminAnswer {
    do throws(Refusal) {
      switch command {
      case .addAccount(let email): return try addAccount(email, now)
      case .listAccounts: return try listAccounts(cursor)
      case .disableAccount(let email): return try setEnabled(email, false, &effects)
      case .enableAccount(let email): return try setEnabled(email, true, &effects)
      case .removeAccount(let email): return try removeAccount(email, now, &effects)
      case .createToken(let email): return try createToken(email, now)
      case .listTokens(let email): return try listTokens(email, cursor)
      case .revokeToken(let id): return try revokeToken(id, now, &effects)
      case .listNames(let email): return try listNames(email, cursor, now)
      case .releaseName(let name): return try releaseName(name, now, &effects)
      }
    } catch {
      return .refused(error.message, error.exitCode)
    }
  }

  // MARK: Accounts

  private func addAccount(_ email: String, _ now: WallTime) throws(Refusal) -> AdminAnswer {
    let address = try parse(email)
    let token = Token.make()
    try stored { () throws(StoreError) in _ = try store.addAccount(address, token: token.hash, at: now) }
    return AdminAnswer(output: [token.text], notes: ["account \(address) added; this token is shown once"])
  }

  private func listAccounts(_ cursor: String) throws(Refusal) -> AdminAnswer {
    let after = Int64(cursor).map { AccountID(rawValue: $0) }
    let page = try stored { () throws(StoreError) in try store.accounts(after: after, limit: Self.pageRowCount) }
    let lines = page.map { summary in
      Self.columns([
        summary.account.email, summary.account.isEnabled ? "enabled" : "disabled", "tokens=\(summary.tokenCount)",
        "names=\(summary.nameCount)", "created=\(summary.account.created.text)",
      ])
    }
    return AdminAnswer(output: lines, next: Self.next(page) { String($0.account.id.rawValue) })
  }

  private func setEnabled(_ email: String, _ isEnabled: Bool, _ effects: inout [AdminEffect]) throws(Refusal) -> AdminAnswer {
    let account = try find(email)
    try stored { () throws(StoreError) in try store.setEnabled(account.id, isEnabled) }
    if !isEnabled { effects.append(.endSessions(account: account.id)) }
    return AdminAnswer(notes: ["account \(account.email) \(isEnabled ? "enabled" : "disabled")"])
  }

  private func removeAccount(_ email: String, _ now: WallTime, _ effects: inout [AdminEffect]) throws(Refusal) -> AdminAnswer {
    let account = try find(email)
    let names = try stored { () throws(StoreError) in try store.removeAccount(account.id, at: now) }
    effects.append(.endSessions(account: account.id))
    for name in names { effects.append(.nameReleased(name)) }
    return AdminAnswer(notes: ["account \(account.email) removed with its tokens; \(names.count) of its names cool down"])
  }

  // MARK: Tokens

  private func createToken(_ email: String, _ now: WallTime) throws(Refusal) -> AdminAnswer {
    let account = try find(email)
    let token = Token.make()
    try stored { () throws(StoreError) in try store.addToken(token.hash, to: account.id, at: now) }
    return AdminAnswer(output: [token.text], notes: ["token \(token.hash.identifier) of \(account.email) made; it is shown once"])
  }

  private func listTokens(_ email: String?, _ cursor: String) throws(Refusal) -> AdminAnswer {
    let account = try find(email)
    let after = Hexadecimal.bytes(cursor).flatMap { TokenHash(bytes: $0) }
    let page = try stored { () throws(StoreError) in try store.tokens(of: account?.id, after: after, limit: Self.pageRowCount) }
    let lines = page.map { token in
      Self.columns([
        token.hash.identifier, token.email, token.revoked.map { "revoked=\($0.text)" } ?? "valid", "created=\(token.created.text)",
        "used=\(token.lastUsed?.text ?? "never")",
      ])
    }
    return AdminAnswer(output: lines, next: Self.next(page) { $0.hash.hexadecimal })
  }

  private func revokeToken(_ id: String, _ now: WallTime, _ effects: inout [AdminEffect]) throws(Refusal) -> AdminAnswer {
    // What was typed is not repeated: it may have been the token.
    guard id.utf8.count >= TokenHash.minimumDigitCount, Hexadecimal.nibbles(id) != nil else {
      throw Refusal(
        "a token is named by at least \(TokenHash.minimumDigitCount) hexadecimal digits, see 'causeway relay token list', "
          + "or given itself on standard input", AdminAnswer.usage)
    }
    let found = try stored { () throws(StoreError) in try store.tokens(beginningWith: id, limit: 2) }
    guard let token = found.first else { throw Refusal("no token begins with these digits: see 'causeway relay token list'") }
    if found.count > 1 { throw Refusal("several tokens begin with these digits: give more of them") }
    try stored { () throws(StoreError) in try store.revoke(token.hash, at: now) }
    effects.append(.tokenRevoked(token.hash))
    return AdminAnswer(notes: ["token \(token.hash.identifier) of \(token.email) revoked"])
  }

  // MARK: Names

  private func listNames(_ email: String?, _ cursor: String, _ now: WallTime) throws(Refusal) -> AdminAnswer {
    let account = try find(email)
    let after: TunnelName?
    do throws(NameError) { after = try TunnelName(label: cursor) } catch { after = nil }
    let page = try stored { () throws(StoreError) in try store.reservations(of: account?.id, after: after, limit: Self.pageRowCount) }
    var emails: [AccountID: String] = [:]
    var lines: [String] = []
    for row in page {
      if let id = row.account, emails[id] == nil {
        emails[id] = try stored { () throws(StoreError) in try store.account(id) }?.email
      }
      let standing =
        switch policy.standing(of: row, at: now) {
        case .held(let until): "held until=\(until.text)"
        case .coolingDown(let until): "cooling-down until=\(until.text)"
        case .free: "free"
        }
      lines.append(
        Self.columns([
          row.name.text, row.account.flatMap { emails[$0] } ?? "-", row.kind == .requested ? "requested" : "random",
          "port=\(row.tcpPort.map { String($0) } ?? "-")", standing, "used=\(row.lastUsed.text)",
        ]))
    }
    return AdminAnswer(output: lines, next: Self.next(page) { $0.name.text })
  }

  private func releaseName(_ text: String, _ now: WallTime, _ effects: inout [AdminEffect]) throws(Refusal) -> AdminAnswer {
    let name: TunnelName
    do throws(NameError) { name = try TunnelName(label: text) } catch { throw Refusal(error.message, AdminAnswer.usage) }
    let released = try stored { () throws(StoreError) in try store.release(name, at: now) }
    guard released != nil else { throw Refusal("nobody holds the name '\(name)': see 'causeway relay name list'") }
    effects.append(.nameReleased(name))
    return AdminAnswer(notes: ["name \(name) released"])
  }

  // MARK: Help

  private struct Refusal: Error {
    var message: String
    var exitCode: Int32
    init(_ message: String, _ exitCode: Int32 = AdminAnswer.failure) {
      self.message = message
      self.exitCode = exitCode
    }
  }

  private func stored<Value>(_ body: () throws(StoreError) -> Value) throws(Refusal) -> Value {
    do throws(StoreError) { return try body() } catch { throw Refusal(error.message) }
  }

  private func parse(_ email: String) throws(Refusal) -> EmailAddress {
    guard let address = EmailAddress(email) else {
      // A token typed in the wrong place is not repeated.
      let shown = Token.resembles(email) ? "what was given" : "'\(NameError.printable(email))'"
      throw Refusal("\(shown) is no e-mail address: write it like me@example.org", AdminAnswer.usage)
    }
    return address
  }

  private func find(_ email: String) throws(Refusal) -> Account {
    let address = try parse(email)
    guard let account = try stored({ () throws(StoreError) in try store.account(address) }) else {
      throw Refusal("no account '\(address)': see 'causeway relay account list'")
    }
    return account
  }

  private func find(_ email: String?) throws(Refusal) -> Account? {
    guard let email else { return nil }
    return try find(email) as Account
  }

  private static func columns(_ values: [String]) -> String { values.joined(separator: "\t") }

  private static func next<Row>(_ page: [Row], _ cursor: (Row) -> String) -> String? {
    page.count < pageRowCount ? nil : page.last.map(cursor)
  }
}
