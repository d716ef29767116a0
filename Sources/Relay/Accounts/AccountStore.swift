package import CausewayRelayCore

/// Somebody with tunnels.
package struct Account: Equatable, Sendable {
  package var id: AccountID
  package var email: String
  package var isEnabled: Bool
  package var created: WallTime
}

/// A token as lists show it.
package struct TokenRecord: Equatable, Sendable {
  package var hash: TokenHash
  package var account: AccountID
  package var email: String
  package var created: WallTime
  /// To the hour; nil when it was never used.
  package var lastUsed: WallTime?
  package var revoked: WallTime?
}

/// An account with what it has, for lists.
package struct AccountSummary: Equatable, Sendable {
  package var account: Account
  /// Not revoked.
  package var tokenCount: Int
  /// Names in the store, cooling ones included.
  package var nameCount: Int
}

/// What became of a sign-in. The peer hears one answer for all refusals; the reason is for the relay's own log.
package enum Authentication: Equatable, Sendable {
  /// `usedAt` is when the token's use was last written down.
  case accepted(Account, usedAt: WallTime?)
  case unknownToken, revokedToken, disabledAccount
}

/// Where accounts, tokens and names live: SQLite in the relay's folder today. Calls block, and a change is on the disk when its call
/// returns; `StoreThread` keeps them off the event loops. Not for two threads at once.
package protocol AccountStore: AnyObject {
  // Signing in
  /// The same look-ups whether the token is known or not. Also asked at a resume.
  func authenticate(_ token: TokenHash) throws(StoreError) -> Authentication
  /// Writes down a use; nothing when the last one is less than `TokenUse.granularitySeconds` old.
  func noteUse(of token: TokenHash, at now: WallTime) throws(StoreError)

  // Names
  /// Gives a name (and a port), kept on disk. `seed` is the chance that random names and ports are drawn from.
  func reserve(_ request: NameRequest, _ policy: ReservationPolicy, at now: WallTime, seed: UInt64) throws(StoreError) -> Reservation
  /// Keeps names of live tunnels from running out; names that are no longer held by anyone stay as they are.
  func noteUse(of names: [TunnelName], at now: WallTime) throws(StoreError)
  func reservation(of name: TunnelName) throws(StoreError) -> Reservation?
  /// In the order of names, after `name`; of one account or of all.
  func reservations(of account: AccountID?, after name: TunnelName?, limit: Int) throws(StoreError) -> [Reservation]
  /// Ends the reservation; the name cools down. Returns it as it was, or nil when nobody holds such a name.
  func release(_ name: TunnelName, at now: WallTime) throws(StoreError) -> Reservation?
  /// Forgets names that are free again and tokens revoked long ago. Returns the number of rows that went.
  func purge(_ policy: ReservationPolicy, at now: WallTime) throws(StoreError) -> Int

  // Accounts
  /// With a first token, or none.
  func addAccount(_ email: EmailAddress, token: TokenHash?, at now: WallTime) throws(StoreError) -> Account
  func account(_ email: EmailAddress) throws(StoreError) -> Account?
  func account(_ id: AccountID) throws(StoreError) -> Account?
  /// In the order of their making, after `id`.
  func accounts(after id: AccountID?, limit: Int) throws(StoreError) -> [AccountSummary]
  func setEnabled(_ account: AccountID, _ isEnabled: Bool) throws(StoreError)
  /// Removes it with its tokens; its names cool down without an owner and are returned.
  func removeAccount(_ account: AccountID, at now: WallTime) throws(StoreError) -> [TunnelName]

  // Tokens
  func addToken(_ token: TokenHash, to account: AccountID, at now: WallTime) throws(StoreError)
  /// In the order of hashes, after `token`; of one account or of all.
  func tokens(of account: AccountID?, after token: TokenHash?, limit: Int) throws(StoreError) -> [TokenRecord]
  /// At most `limit` tokens whose hash begins with these hexadecimal digits.
  func tokens(beginningWith digits: String, limit: Int) throws(StoreError) -> [TokenRecord]
  func revoke(_ token: TokenHash, at now: WallTime) throws(StoreError)
}

/// Named times of tokens.
package enum TokenUse {
  /// A use is written down again only when the last one is older.
  package static let granularitySeconds: Int64 = 3600
  /// Revoked tokens stay in lists for so long.
  package static let revokedSeconds: Int64 = 30 * 86_400
  /// Valid tokens of one account at most.
  package static let limitPerAccount = 100
}
