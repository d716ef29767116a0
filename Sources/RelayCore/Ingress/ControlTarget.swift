internal import CausewayBase
public import CausewayWire

/// What is asked for on the relay's own host.
public enum ControlTarget: Equatable, Sendable {
  /// The tunnel endpoint, `/api/v1/ws/tunnel`.
  case tunnel
  case root
  case health
  case other

  /// Repeated slashes count as one: joined base URLs make them. A query does not matter.
  public init(_ bytes: Span<UInt8>, path: ByteRange) {
    let end = bytes.firstIndex(of: UInt8(ascii: "?"), in: path.range) ?? Int(path.end)
    let target = Int(path.start)..<end
    if Self.matches(bytes, target, "/api/v1/ws/tunnel") {
      self = .tunnel
    } else if Self.matches(bytes, target, "/healthz") {
      self = .health
    } else {
      self = target.isEmpty || Self.matches(bytes, target, "/") ? .root : .other
    }
  }

  private static func matches(_ bytes: Span<UInt8>, _ range: Range<Int>, _ path: StaticString) -> Bool {
    var position = 0
    var previousIsSlash = false
    for index in range {
      let isSlash = bytes[index] == UInt8(ascii: "/")
      if isSlash && previousIsSlash { continue }
      previousIsSlash = isSlash
      // SAFETY: `position` is below the static string's count.
      guard position < path.utf8CodeUnitCount, unsafe path.utf8Start[position] == bytes[index] else { return false }
      position += 1
    }
    return position == path.utf8CodeUnitCount
  }
}
