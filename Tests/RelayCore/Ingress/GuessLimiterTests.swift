import CausewayBase
import CausewayWire
import Testing

@testable import CausewayRelayCore

@Suite struct GuessLimiterTests {
  private let one = IPAddress("192.0.2.1")
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  /// Tries until refused, at most `limit` times.
  private func guesses(_ limiter: inout GuessLimiter, _ address: IPAddress?, at now: Instant, iterations: Int = 1, limit: Int = 10_000)
    -> Int
  {
    var count = 0
    while count < limit, limiter.mayTry(address, at: now) {
      limiter.tried(address, iterations: iterations, wasRight: false, at: now)
      count += 1
    }
    return count
  }

  @Test("an address has a burst of failures, then one for each interval; others have their own")
  func perAddress() {
    var limiter = GuessLimiter()
    #expect(guesses(&limiter, one, at: start) == Int(GuessLimiter.burst))
    #expect(guesses(&limiter, one, at: start + GuessLimiter.interval) == 1)
    #expect(guesses(&limiter, one, at: start + .seconds(3600)) == Int(GuessLimiter.burst))
    #expect(guesses(&limiter, IPAddress("192.0.2.2"), at: start + .seconds(3600)) == Int(GuessLimiter.burst))
  }

  @Test("an IPv6 network of 64 bits is one address, a mapped IPv4 address is itself")
  func networks() {
    var limiter = GuessLimiter()
    #expect(guesses(&limiter, IPAddress("2001:db8::1"), at: start) == Int(GuessLimiter.burst))
    #expect(guesses(&limiter, IPAddress("2001:db8::2"), at: start) == 0)
    #expect(guesses(&limiter, IPAddress("2001:db8:0:1::2"), at: start) == Int(GuessLimiter.burst))
    #expect(guesses(&limiter, one, at: start) == Int(GuessLimiter.burst))
    #expect(guesses(&limiter, IPAddress("::ffff:192.0.2.1"), at: start) == 0)
  }

  @Test("a right password is no failure")
  func right() {
    var limiter = GuessLimiter()
    for _ in 0..<100 { limiter.tried(one, iterations: 1, wasRight: true, at: start) }
    #expect(guesses(&limiter, one, at: start) == Int(GuessLimiter.burst))
  }

  @Test("all together spend a share of the loop's time, whatever the cost of one", arguments: [1000, 100_000])
  func inAll(_ iterations: Int) {
    var limiter = GuessLimiter()
    let atOnce = guesses(&limiter, nil, at: start, iterations: iterations)
    #expect(atOnce == Int(GuessLimiter.iterationBurst) / iterations + 1)
    var later = 0
    for second in 1...100 { later += guesses(&limiter, nil, at: start + .seconds(second), iterations: iterations) }
    let share = 100 * Int(GuessLimiter.iterationsPerSecond) / iterations
    #expect(abs(later - share) <= 1)
  }

  @Test("more addresses than can be remembered are still bounded by the sum")
  func manyAddresses() {
    var limiter = GuessLimiter()
    var count = 0
    for index in 0..<20_000 {
      let address = IPAddress(ipv4: UInt32(0x0B00_0000 + index))
      count += guesses(&limiter, address, at: start, iterations: 1000)
    }
    #expect(count == Int(GuessLimiter.iterationBurst) / 1000 + 1)
  }
}
