public import CausewayBase

/// A peer's sessions (§6.3): current for sending, all three for receiving. `next` is a responder's until the initiator has proved by a
/// packet that it has the keys; `previous` lets packets in flight arrive.
///
/// Whatever returns indices has let go of these sessions; give them to `Handshaker.release`.
public struct KeypairSlots {
  public private(set) var previous: TransportKeys?
  public private(set) var current: TransportKeys?
  public private(set) var next: TransportKeys?

  public init() {}

  /// Puts the keys of a finished handshake into their slot.
  public mutating func install(_ keys: TransportKeys) -> [UInt32] {
    var released: [TransportKeys?] = []
    switch keys.role {
    case .initiator:
      released = [previous]
      if let waiting = next {
        // The peer's own handshake crossed ours. It may have begun to send on these keys.
        released.append(current)
        previous = waiting
        next = nil
      } else {
        previous = current
      }
      current = keys
    case .responder:
      released = [next, previous]
      next = keys
      previous = nil
    }
    return released.compactMap { $0?.localIndex }
  }

  /// Call for every opened packet whose keys are `next`: the peer has the keys, so they become current.
  public mutating func confirm() -> [UInt32] {
    guard let confirmed = next else { return [] }
    let released = previous
    previous = current
    current = confirmed
    next = nil
    return released.map { [$0.localIndex] } ?? []
  }

  /// Whether these are the keys that `confirm` is to be called for.
  @inline(__always) public func isUnconfirmed(_ keys: TransportKeys) -> Bool { next === keys }

  /// The session with this local index, without a path.
  public func keys(localIndex: UInt32) -> TransportKeys? {
    if let current, current.localIndex == localIndex { return current }
    if let next, next.localIndex == localIndex { return next }
    if let previous, previous.localIndex == localIndex { return previous }
    return nil
  }

  /// Lets go of sessions past their time.
  public mutating func expire(at now: Instant) -> [UInt32] {
    var released: [UInt32] = []
    func check(_ slot: inout TransportKeys?) {
      guard let keys = slot, !keys.isUsable(at: now) else { return }
      released.append(keys.localIndex)
      slot = nil
    }
    check(&previous)
    check(&current)
    check(&next)
    return released
  }

  /// When `expire` has something to do.
  public var nextExpiry: Instant? { [previous, current, next].compactMap { $0?.rejectedAt }.min() }

  public mutating func erase() -> [UInt32] {
    let released = [previous, current, next].compactMap { $0?.localIndex }
    (previous, current, next) = (nil, nil, nil)
    return released
  }
}
