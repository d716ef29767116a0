// Frames: what two of ours say to each other inside an encrypted payload. All integers are little-endian; the first byte tells the
// kind and is never 4x or 6x, so a payload of frames is no IP packet. 0x00 is padding to the end of the payload. Control frames may
// share a payload; DATA, FRAGMENT and REPAIR come last, because they reach to its end. Start with FrameReader.

/// The first byte of a frame.
package enum FrameKind {
  /// 0xC0...0xC7: the low three bits are `DataFlags`.
  static let data: UInt8 = 0xC0
  static let fragment: UInt8 = 0xC8
  static let acknowledgement: UInt8 = 0xD0
  static let probe: UInt8 = 0xD1
  static let echo: UInt8 = 0xD2
  static let paths: UInt8 = 0xD3
  static let skip: UInt8 = 0xD4
  static let parameters: UInt8 = 0xD5
  static let repair: UInt8 = 0xD6
  static let suspect: UInt8 = 0xD7
  static let capacity: UInt8 = 0xD8
  static let hello: UInt8 = 0xDE
  static let helloAcknowledgement: UInt8 = 0xDF

  /// Whether a payload that begins with `byte` holds frames, and not an IP packet. A stock peer never sends one.
  @inline(__always) package static func isFrame(_ byte: UInt8) -> Bool { byte & 0xE0 == 0xC0 }
}

/// Why a payload was refused. It came from an authenticated peer, so it is a fault or an attack, never damage.
package enum FrameError: UInt8, Error, Equatable, Sendable, CaseIterable {
  /// A frame ends behind the payload.
  case truncated
  /// A field holds what it never may.
  case outOfRange
  /// The first byte is neither padding nor in 0xC0...0xDF.
  case notAFrame
  /// DATA without an IP packet of a plausible length.
  case badPacket
  /// More than `FrameReader.frameLimit` frames in one payload.
  case tooManyFrames
}
