/// Values for prefixes of 128-bit keys; a lookup gives the value of the longest prefix. A binary trie whose chains are folded: each node
/// has a value, two children, or both, so a lookup visits at most one node for each stored prefix on its way.
///
/// Keys are two words, the first bit the highest of `high`. Shorter keys (IPv4) use the high bits.
public struct PrefixTrie<Value> {
  @usableFromInline struct Node {
    /// The prefix; bits behind it are zero.
    @usableFromInline var high: UInt64
    @usableFromInline var low: UInt64
    @usableFromInline var length: Int
    /// Below: the prefixes that go on with 0, and with 1; -1 for none.
    @usableFromInline var zero = -1
    @usableFromInline var one = -1
    @usableFromInline var value: Value?

    init(_ high: UInt64, _ low: UInt64, _ length: Int, _ value: Value?) {
      self.high = high
      self.low = low
      self.length = length
      self.value = value
    }
  }

  @usableFromInline var nodes: [Node] = []
  @usableFromInline var root = -1
  public private(set) var count = 0

  public init() {}

  public var isEmpty: Bool { count == 0 }

  /// The value of the longest stored prefix of this key.
  @inlinable public func longestMatch(_ high: UInt64, _ low: UInt64) -> Value? {
    var best: Value?
    var index = root
    while index >= 0 {
      let length = nodes[index].length
      guard Self.commonLength(nodes[index].high ^ high, nodes[index].low ^ low) >= length else { break }
      if let value = nodes[index].value { best = value }
      if length == 128 { break }
      index = Self.bit(high, low, length) ? nodes[index].one : nodes[index].zero
    }
    return best
  }

  /// The value of exactly this prefix.
  public func value(for high: UInt64, _ low: UInt64, length: Int) -> Value? {
    let (high, low) = Self.masked(high, low, length)
    var index = root
    while index >= 0, nodes[index].length <= length {
      let node = nodes[index]
      guard Self.commonLength(node.high ^ high, node.low ^ low) >= node.length else { return nil }
      if node.length == length { return node.value }
      index = Self.bit(high, low, node.length) ? node.one : node.zero
    }
    return nil
  }

  /// - Parameter length: 0...128; bits behind it are ignored.
  /// - Returns: The value that this prefix had.
  @discardableResult public mutating func insert(_ value: Value, for high: UInt64, _ low: UInt64, length: Int) -> Value? {
    precondition((0...128).contains(length), "a prefix of more than 128 bits")
    let (high, low) = Self.masked(high, low, length)
    var parent = -1
    var index = root
    while index >= 0 {
      let node = nodes[index]
      let common = min(Self.commonLength(node.high ^ high, node.low ^ low), min(length, node.length))
      if common < node.length {
        // The new prefix leaves the way to this node: it, or a fork, goes in between.
        let added = make(high, low, length, value)
        if common == length {
          link(added, index)
          replaceChild(of: parent, index, by: added)
        } else {
          let (forkHigh, forkLow) = Self.masked(high, low, common)
          let fork = make(forkHigh, forkLow, common, nil)
          link(fork, index)
          link(fork, added)
          replaceChild(of: parent, index, by: fork)
        }
        count += 1
        return nil
      }
      if node.length == length {
        nodes[index].value = value
        if node.value == nil { count += 1 }
        return node.value
      }
      parent = index
      index = Self.bit(high, low, node.length) ? node.one : node.zero
    }
    let added = make(high, low, length, value)
    if parent < 0 { root = added } else { link(parent, added) }
    count += 1
    return nil
  }

  /// Removes all values that `matches` names. Rebuilds the trie: for changes of configuration.
  public mutating func removeAll(where matches: (Value) -> Bool) {
    var rest = PrefixTrie()
    for entry in entries where !matches(entry.value) { rest.insert(entry.value, for: entry.high, entry.low, length: entry.length) }
    self = rest
  }

  /// All prefixes in order of their bits, shorter ones first.
  public var entries: [(high: UInt64, low: UInt64, length: Int, value: Value)] {
    var found: [(high: UInt64, low: UInt64, length: Int, value: Value)] = []
    var waiting = root < 0 ? [] : [root]
    while let index = waiting.popLast() {
      let node = nodes[index]
      if let value = node.value { found.append((node.high, node.low, node.length, value)) }
      if node.one >= 0 { waiting.append(node.one) }
      if node.zero >= 0 { waiting.append(node.zero) }
    }
    return found
  }

  private mutating func make(_ high: UInt64, _ low: UInt64, _ length: Int, _ value: Value?) -> Int {
    nodes.append(Node(high, low, length, value))
    return nodes.count - 1
  }

  /// Hangs `child` under `parent`, on the side of its next bit.
  private mutating func link(_ parent: Int, _ child: Int) {
    if Self.bit(nodes[child].high, nodes[child].low, nodes[parent].length) {
      nodes[parent].one = child
    } else {
      nodes[parent].zero = child
    }
  }

  private mutating func replaceChild(of parent: Int, _ old: Int, by new: Int) {
    if parent < 0 {
      root = new
    } else if nodes[parent].zero == old {
      nodes[parent].zero = new
    } else {
      nodes[parent].one = new
    }
  }

  /// How many leading bits of a difference are zero, 0...128.
  @inlinable @inline(__always) static func commonLength(_ high: UInt64, _ low: UInt64) -> Int {
    high != 0 ? high.leadingZeroBitCount : 64 &+ low.leadingZeroBitCount
  }

  @inlinable @inline(__always) static func bit(_ high: UInt64, _ low: UInt64, _ position: Int) -> Bool {
    position < 64
      ? high &>> UInt64(truncatingIfNeeded: 63 &- position) & 1 != 0 : low &>> UInt64(truncatingIfNeeded: 127 &- position) & 1 != 0
  }

  private static func masked(_ high: UInt64, _ low: UInt64, _ length: Int) -> (UInt64, UInt64) {
    func ones(_ count: Int) -> UInt64 { count <= 0 ? 0 : count >= 64 ? .max : ~(UInt64.max >> UInt64(count)) }
    return (high & ones(length), low & ones(length - 64))
  }
}
