internal import CausewayBase
internal import CausewayWire

/// Handshakes that one address gets while the device is under load: 20 a second, 5 at once; an IPv6 address counts as its /64.
struct HandshakeRateLimiter {
  private static let costNanoseconds: UInt64 = 1_000_000_000 / 20
  private static let maximumNanoseconds = costNanoseconds * 5
  /// An address is forgotten after this long: its bucket is full again.
  private static let forgetNanoseconds: UInt64 = 1_000_000_000
  /// Addresses known at a time. When all were active within the last second, new ones are refused.
  static let addressLimit = 4096

  private struct Address: Hashable {
    let byteCount: Int
    let value: UInt64
  }

  private struct Bucket {
    var nanoseconds: UInt64
    var updatedAt: Instant
  }

  private var buckets: [Address: Bucket] = [:]
  private var sweptAt = Instant.zero

  /// - Parameter source: Address and port, 6 or 18 bytes.
  mutating func allows(_ source: Span<UInt8>, at now: Instant) -> Bool {
    let address = Self.address(source)
    if var bucket = buckets[address] {
      bucket.nanoseconds = min(Self.maximumNanoseconds, bucket.nanoseconds &+ now.nanoseconds(since: bucket.updatedAt))
      bucket.updatedAt = now
      let allowed = bucket.nanoseconds >= Self.costNanoseconds
      if allowed { bucket.nanoseconds -= Self.costNanoseconds }
      buckets[address] = bucket
      return allowed
    }
    if buckets.count >= Self.addressLimit {
      // At most a sweep each 100 ms, or a flood would buy one with every packet.
      guard now.nanoseconds(since: sweptAt) >= 100_000_000 else { return false }
      sweptAt = now
      buckets = buckets.filter { now.nanoseconds(since: $0.value.updatedAt) < Self.forgetNanoseconds }
      guard buckets.count < Self.addressLimit else { return false }
    }
    buckets[address] = Bucket(nanoseconds: Self.maximumNanoseconds - Self.costNanoseconds, updatedAt: now)
    return true
  }

  private static func address(_ source: Span<UInt8>) -> Address {
    if source.count >= 8 { return Address(byteCount: source.count, value: source.littleEndian(at: 0)) }
    if source.count >= 4 { return Address(byteCount: source.count, value: UInt64(source.littleEndian(at: 0, as: UInt32.self))) }
    return Address(byteCount: source.count, value: 0)
  }
}
