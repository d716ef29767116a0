import CausewayBase
import Testing

private struct Prefix: Hashable {
  var high: UInt64
  var low: UInt64
  var length: Int

  init(_ high: UInt64, _ low: UInt64, _ length: Int) {
    func ones(_ count: Int) -> UInt64 { count <= 0 ? 0 : count >= 64 ? .max : ~(UInt64.max >> UInt64(count)) }
    self.high = high & ones(length)
    self.low = low & ones(length - 64)
    self.length = length
  }

  func covers(_ high: UInt64, _ low: UInt64) -> Bool { self == Prefix(high, low, length) }
}

@Suite("PrefixTrie")
struct PrefixTrieTests {
  @Test("equals a search through all prefixes", arguments: [UInt64(1), 2, 3, 4, 5, 6])
  func twin(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var trie = PrefixTrie<Int>()
    var naive: [Prefix: Int] = [:]
    // Few distinct bits, so that prefixes nest and meet.
    func key() -> (UInt64, UInt64) {
      let bits = random.next()
      return (bits & 0xC000_0000_8000_0003, random.next() & 0xC000_0000_0000_0003)
    }
    for step in 0..<1500 {
      let (high, low) = key()
      let length = [0, 1, 2, 8, 32, 33, 62, 63, 64, 65, 66, 126, 127, 128][Int(random.next() % 14)]
      if random.next() % 50 == 0 {
        let parity = Int(random.next() % 7)
        trie.removeAll { $0 % 7 == parity }
        naive = naive.filter { $0.value % 7 != parity }
      } else {
        let old = trie.insert(step, for: high, low, length: length)
        let expected = naive.updateValue(step, forKey: Prefix(high, low, length))
        #expect(old == expected)
      }
      #expect(trie.count == naive.count)
      for _ in 0..<4 {
        let (high, low) = key()
        let found = trie.longestMatch(high, low)
        let best = naive.filter { $0.key.covers(high, low) }.max { $0.key.length < $1.key.length }
        #expect(found == best?.value, "step \(step)")
        #expect(trie.value(for: high, low, length: length) == naive[Prefix(high, low, length)])
      }
    }
    var seen: [Prefix: Int] = [:]
    for entry in trie.entries { seen[Prefix(entry.high, entry.low, entry.length)] = entry.value }
    #expect(seen == naive)
    let lengths = trie.entries.map { ($0.high, $0.low, $0.length) }
    #expect(zip(lengths, lengths.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test("an empty trie matches nothing, a default route everything")
  func extremes() {
    var trie = PrefixTrie<String>()
    #expect(trie.longestMatch(1, 2) == nil && trie.isEmpty)
    trie.insert("all", for: .max, .max, length: 0)
    #expect(trie.longestMatch(0, 0) == "all" && trie.longestMatch(.max, .max) == "all")
    trie.insert("one", for: .max, .max, length: 128)
    #expect(trie.longestMatch(.max, .max) == "one" && trie.longestMatch(.max, .max - 1) == "all")
  }
}
