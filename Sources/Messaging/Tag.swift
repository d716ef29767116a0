/// A message's 64-bit tag; all its bits belong to the user.
public struct Tag: RawRepresentable, Hashable, Sendable, BitwiseCopyable, ExpressibleByIntegerLiteral {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable public init(_ value: UInt64) { rawValue = value }
  @inlinable public init(integerLiteral value: UInt64) { rawValue = value }
}

/// Which bits of a tag a receive compares.
public struct TagMask: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// The very tag.
  public static let exact = TagMask(rawValue: .max)
  /// Any tag.
  public static let any = TagMask(rawValue: 0)
}
