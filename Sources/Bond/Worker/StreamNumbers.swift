/// Names of TCP connections in routes: a place in a table and how often it was used, so that a route which outlives its connection never
/// means another one. UDP sockets have the numbers below `first`.
struct StreamNumbers {
  /// Connections of one thread, strangers included; beyond it new ones are refused.
  static let limit = 1024
  /// The smallest number of a connection.
  static let first: UInt32 = 1 << 16

  private var uses = [UInt16](repeating: 0, count: limit)
  private var free = Array((0..<limit).reversed())

  /// nil when all are in use.
  mutating func take() -> UInt32? {
    guard let place = free.popLast() else { return nil }
    uses[place] = uses[place] == .max ? 1 : uses[place] + 1
    return UInt32(uses[place]) << 16 | UInt32(place)
  }

  mutating func give(_ number: UInt32) {
    precondition(isCurrent(number), "a connection's number is given back once")
    free.append(Self.place(number))
  }

  /// Whether the number is not of an earlier use of its place.
  func isCurrent(_ number: UInt32) -> Bool { Self.place(number) < Self.limit && UInt32(uses[Self.place(number)]) == number >> 16 }

  static func place(_ number: UInt32) -> Int { Int(number & 0xFFFF) }
}
