/// One field line of a head: where its name and its value are, and what the parser knows about it.
public struct FieldLine: Hashable, Sendable {
  public let name: ByteRange
  /// Without the optional white space around it; may be empty.
  public let value: ByteRange
  public let known: KnownField
  var flags: Flags

  struct Flags: OptionSet, Hashable, Sendable {
    let rawValue: UInt8
    static let hopByHop = Flags(rawValue: 1)
    static let namedByConnection = Flags(rawValue: 2)
    static let shadowsKnown = Flags(rawValue: 4)
  }

  /// Must not be forwarded: hop by hop of its own (§3.3 of the contract) or named by `Connection`.
  public var isHopByHop: Bool { flags.contains(.hopByHop) }

  /// `Connection` names this field. Never true for the fields of `KnownField.isGuarded`: such names are ignored.
  public var isNamedByConnection: Bool { flags.contains(.namedByConnection) }

  /// The name has underscores and is a known name when they are hyphens: behind CGI rules an origin would see both as one
  /// variable, so it must not be forwarded (`X_Forwarded_For`).
  public var shadowsKnown: Bool { flags.contains(.shadowsKnown) }
}
