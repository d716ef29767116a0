/// A peer of this device, numbered by whoever configures it.
public struct PeerID: Hashable, Sendable, Comparable, BitwiseCopyable, CustomStringConvertible {
  public let rawValue: UInt32

  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public static func < (a: PeerID, b: PeerID) -> Bool { a.rawValue < b.rawValue }
  public var description: String { String(rawValue) }
}
