public import CausewayBase
public import CausewayWire

/// Bounds what guessing a tunnel's password costs a loop. Every wrong password is a key derivation, which stalls all others meanwhile: so
/// each address (an IPv6 network of 64 bits counts as one) has a few failures, and all together have a share of the loop's time.
/// The right password, once known, never comes here.
public struct GuessLimiter: Sendable {
  /// Failures that an address may have at once.
  public static let burst: UInt64 = 20
  /// After so long it may have one more.
  public static let interval = Duration.seconds(3)
  /// Steps of key derivation a second, over all addresses: about a twentieth of a loop's time.
  public static let iterationsPerSecond: UInt64 = 250_000
  /// Steps that may be spent at once.
  public static let iterationBurst: UInt64 = 250_000
  /// Addresses remembered at once; further ones are bounded by the sum only.
  public static let addressLimit = 4096
  /// What a refused visitor is told to wait, in seconds.
  public static let retryAfter: UInt64 = 5

  /// When all failures of an address are forgotten.
  private var forgottenAt: [IPAddress: Instant] = [:]
  /// When all steps are paid off.
  private var paidAt = Instant.zero

  public init() {}

  /// Whether a password from this address may be looked at now.
  public func mayTry(_ address: IPAddress?, at now: Instant) -> Bool {
    let credit = Self.iterationBurst * 1_000_000_000 / Self.iterationsPerSecond
    guard paidAt.nanoseconds <= now.nanoseconds &+ credit else { return false }
    guard let address, let forgotten = forgottenAt[address.countedNetwork] else { return true }
    let interval = UInt64(Self.interval.wholeNanoseconds)
    return forgotten.nanoseconds <= now.nanoseconds &+ interval * (Self.burst - 1)
  }

  /// It was looked at, at a cost of `iterations`.
  public mutating func tried(_ address: IPAddress?, iterations: Int, wasRight: Bool, at now: Instant) {
    let cost = UInt64(max(0, iterations)) * 1_000_000_000 / Self.iterationsPerSecond
    paidAt = Instant(nanoseconds: max(paidAt.nanoseconds, now.nanoseconds) &+ cost)
    guard !wasRight, let key = address?.countedNetwork else { return }
    if forgottenAt[key] == nil, forgottenAt.count >= Self.addressLimit {
      forgottenAt = forgottenAt.filter { $0.value > now }
      if forgottenAt.count >= Self.addressLimit { return }
    }
    forgottenAt[key] = max(forgottenAt[key] ?? now, now) + Self.interval
  }
}
