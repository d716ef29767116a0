/// Both sides' credit of one connection, in units of `MessageCost.unit`. Totals wrap; differences are far below half their range.
///
/// As sender: what we charged never exceeds what the peer has freed by more than its grant, whatever order its reports come in.
/// As receiver: what the peer has charged and we have not freed is what it makes us keep.
struct CreditLedger: BitwiseCopyable {
  // As sender.
  private(set) var charged: UInt32
  /// The newest total that the peer freed.
  private(set) var returned: UInt32
  private(set) var peerGrant: UInt32 = 0
  /// The total that the peer was last asked to report.
  private var asked: UInt32
  private var hasAsked = false

  // As receiver.
  private(set) var accepted: UInt32
  private(set) var freed: UInt32
  private(set) var reported: UInt32
  /// What the peer knows (or is being told) of its grant.
  private(set) var announcedGrant: UInt32
  /// The greatest grant ever announced: a shrink never makes what the peer charged before it wrong.
  private(set) var greatestGrant: UInt32
  private var wanted: UInt32
  private var isWanted = false

  init(grant: UInt32, start: UInt32) {
    charged = start
    returned = start
    asked = start
    accepted = start
    freed = start
    reported = start
    wanted = start
    announcedGrant = grant
    greatestGrant = grant
  }

  // MARK: As sender

  /// The peer's greatest grant that counts, so that differences of totals stay meaningful.
  static let grantLimit: UInt32 = 1 << 26

  mutating func setPeerGrant(_ grant: UInt32) { peerGrant = min(grant, Self.grantLimit) }

  /// Negative when the grant shrank below what is out.
  var available: Int64 { Int64(peerGrant) - Int64(charged &- returned) }

  @inline(__always) func fits(_ cost: UInt32) -> Bool { available >= Int64(cost) }

  @inline(__always) mutating func charge(_ cost: UInt32) { charged &+= cost }

  /// Takes a header's credit in. Late and impossible ones change nothing. Returns whether there is more than before.
  @inline(__always) mutating func takeReport(_ total: UInt32) -> Bool {
    let advance = total &- returned
    if advance == 0 || advance > charged &- returned { return false }
    returned = total
    return true
  }

  /// The total the peer must have freed before `cost` fits, once for each such total; nil when it was asked before.
  mutating func ask(for cost: UInt32) -> UInt32? {
    let total = charged &+ cost &- peerGrant
    if hasAsked && asked == total { return nil }
    hasAsked = true
    asked = total
    return total
  }

  /// Nobody waits any more.
  mutating func stopAsking() { hasAsked = false }

  var askedTotal: UInt32 { asked }

  // MARK: As receiver

  var held: UInt32 { accepted &- freed }

  @inline(__always) func accepts(_ cost: UInt32) -> Bool { UInt64(held) + UInt64(cost) <= UInt64(greatestGrant) }

  @inline(__always) mutating func accept(_ cost: UInt32) { accepted &+= cost }

  /// Returns whether the peer should be told in a message of its own: a quarter of its grant, or it waits for this.
  @inline(__always) mutating func free(_ cost: UInt32) -> Bool {
    freed &+= cost
    return isReportDue
  }

  @inline(__always) var isReportDue: Bool {
    freed &- reported >= announcedGrant &>> 2 || (isWanted && Int32(bitPattern: freed &- wanted) >= 0)
  }

  /// The peer waits until `total` is freed. Returns whether to tell it at once.
  mutating func want(_ total: UInt32) -> Bool {
    isWanted = Int32(bitPattern: reported &- total) < 0
    wanted = total
    return isWanted && isReportDue
  }

  /// A header with `freed` goes out.
  @inline(__always) mutating func report() -> UInt32 {
    reported = freed
    if isWanted && Int32(bitPattern: freed &- wanted) >= 0 { isWanted = false }
    return freed
  }

  mutating func announce(_ grant: UInt32) {
    announcedGrant = grant
    greatestGrant = max(greatestGrant, grant)
  }
}
