// Names of what a core keeps. Slots are dense and reused last in, first out, so a shell keeps arrays indexed by them.

/// The place of an object in its table. Shells keep what belongs to it at the same index.
public typealias Slot = UInt32

extension Slot {
  /// No slot: the end of a list.
  static var none: Slot { .max }
  /// Instead of a receive: one that took its message only to throw it away.
  static var discarded: Slot { .max - 1 }
}

/// A matching domain: one Server or one Client object.
public struct MailboxID: Hashable, Sendable, BitwiseCopyable {
  public let slot: Slot
  let generation: UInt32
}

/// A connection as its owner names it on the wire: the place in the *receiver's* table and how often that place was given out.
public struct ConnectionID: Hashable, Sendable, BitwiseCopyable {
  /// Most connections of an engine.
  public static let limit = 1 << slotBits
  static let slotBits = 20
  static let generationMask: UInt32 = 0xFFF

  /// Slot in the low 20 bits, generation in the high 12.
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  init(slot: Slot, generation: UInt32) { rawValue = slot | (generation & Self.generationMask) &<< UInt32(Self.slotBits) }

  public var slot: Slot { rawValue & (1 &<< UInt32(Self.slotBits) &- 1) }
  var generation: UInt32 { rawValue &>> UInt32(Self.slotBits) }
}

/// A receive from `receive(…)` until it failed, was cancelled, or `finishReceive`.
public struct ReceiveID: Hashable, Sendable, BitwiseCopyable {
  public let slot: Slot
  let generation: UInt32
}

/// A message that arrived before its receive, from `arrive` until it is matched or released.
public struct MessageID: Hashable, Sendable, BitwiseCopyable {
  public let slot: Slot
  let generation: UInt32
}

/// A send from `send(…)` until both its result was given and its buffer came back.
public struct SendID: Hashable, Sendable, BitwiseCopyable {
  public let slot: Slot
  let generation: UInt32
}

/// A flush from `flush(…)` until its result.
public struct FlushID: Hashable, Sendable, BitwiseCopyable {
  public let slot: Slot
  let generation: UInt32
}
