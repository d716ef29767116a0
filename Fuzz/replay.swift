import CausewayBase
import CausewayBondCore

// The input is a program: each three bytes move the newest counter and name one to accept. The window must agree with a set that
// forgets nothing. The same bytes, taken as prefixes, must give a trie that agrees with a search through all.

private struct Prefix: Hashable {
  let high: UInt64
  let low: UInt64
  let length: Int

  init(_ high: UInt64, _ low: UInt64, _ length: Int) {
    func ones(_ count: Int) -> UInt64 { count <= 0 ? 0 : count >= 64 ? .max : ~(UInt64.max >> UInt64(count)) }
    self.high = high & ones(length)
    self.low = low & ones(length - 64)
    self.length = length
  }
}

private func checkWindow(_ bytes: [UInt8], reach: UInt64) {
  var window = ReplayWindow(reach: reach)
  var seen: Set<UInt64> = []
  var newest: UInt64 = 0
  var centre: UInt64 = 0
  for start in stride(from: 0, to: bytes.count - 2, by: 3) {
    let (kind, distance) = (bytes[start] >> 4, UInt64(bytes[start + 1]) << 8 | UInt64(bytes[start + 2]))
    switch kind {
    case 0: centre = WireGuardLimits.rejectAfterMessages - distance
    case 1: centre &+= distance << 20
    case 2: centre &+= distance
    default: centre &+= 1
    }
    let back = kind < 8 ? 0 : distance << UInt64(bytes[start] & 1)
    let counter = centre > back ? centre - back : 0
    let expected =
      counter < WireGuardLimits.rejectAfterMessages && (counter > newest || newest - counter <= reach) && !seen.contains(counter)
    law(window.wouldAccept(counter) == expected, "the window foresees otherwise for \(counter), newest \(newest)")
    law(window.accept(counter) == expected, "the window accepts otherwise: \(counter), newest \(newest)")
    if expected {
      seen.insert(counter)
      newest = max(newest, counter)
    }
    law(window.newest == newest, "another newest counter")
  }
}

private func checkTrie(_ bytes: [UInt8]) {
  var trie = PrefixTrie<Int>()
  var all: [Prefix: Int] = [:]
  for start in stride(from: 0, to: min(bytes.count, 300) - 2, by: 3) {
    // Few bits, spread over both words, so that prefixes nest.
    let high = UInt64(bytes[start] >> 4) << 60 | UInt64(bytes[start] & 15)
    let low = UInt64(bytes[start + 1] >> 4) << 60 | UInt64(bytes[start + 1] & 15)
    let length = Int(bytes[start + 2]) % 129
    let old = trie.insert(start, for: high, low, length: length)
    law(old == all.updateValue(start, forKey: Prefix(high, low, length)), "another old value")
    let (probeHigh, probeLow) = (high ^ UInt64(bytes[start + 2]) << 56, low ^ UInt64(bytes[start + 2] >> 7))
    let best = all.filter { Prefix(probeHigh, probeLow, $0.key.length) == $0.key }.max { $0.key.length < $1.key.length }
    law(trie.longestMatch(probeHigh, probeLow) == best?.value, "another longest prefix")
    law(trie.count == all.count, "another count")
  }
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  checkWindow(bytes, reach: ReplayWindow.stockReach)
  checkWindow(bytes, reach: ReplayWindow.wideReach)
  checkTrie(bytes)
  return 0
}
