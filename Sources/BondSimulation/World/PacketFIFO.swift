internal import CausewayBase

/// Packets in order, their bytes behind one another in one buffer: what endpoints keep between two calls.
package final class PacketFIFO {
  private let bytes = ByteBuffer()
  private var lengths: [Int] = []
  private var first = 0

  package init() {}

  package var isEmpty: Bool { first == lengths.count }

  package func append(_ packet: Span<UInt8>) {
    lengths.append(packet.count)
    bytes.append(packet)
  }

  /// Copies the first packet to the start of `buffer`, which must have room, and returns its length.
  package func take(into buffer: inout MutableSpan<UInt8>) -> Int? {
    guard !isEmpty else { return nil }
    let count = lengths[first]
    let held = bytes
    copy(held.bytes.extracting(first: count), to: &buffer)
    consume(count)
    return count
  }

  /// Hands over all packets that are there now.
  package func drain(_ body: (Span<UInt8>) -> Void) {
    while !isEmpty {
      let count = lengths[first]
      let held = bytes
      body(held.bytes.extracting(first: count))
      consume(count)
    }
  }

  private func consume(_ count: Int) {
    bytes.consume(count)
    first += 1
    if first == lengths.count {
      lengths.removeAll(keepingCapacity: true)
      first = 0
    }
  }
}

func copy(_ source: Span<UInt8>, to target: inout MutableSpan<UInt8>) {
  precondition(source.count <= target.count, "a packet longer than its buffer")
  // SAFETY: both spans are live for the call, the length is checked.
  unsafe source.withUnsafeBufferPointer { source in
    unsafe target.withUnsafeMutableBufferPointer { target in
      if let from = source.baseAddress, let to = target.baseAddress { unsafe to.update(from: from, count: source.count) }
    }
  }
}
