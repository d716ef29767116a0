import CausewayPaths
import CausewayWire

/// The first thing two of ours say on new keys, and its answer. A peer that never answers is a stock one.
/// ```
///  0               1               2               3
/// +---------------+---------------+---------------+---------------+
/// | 0xDE or 0xDF  |    version    |  min version  |  features ...
/// +---------------+---------------+---------------+---------------+
///    features: 32 | boot id: 64   | max paths: 8  |   shards: 8   |
/// +---------------+---------------+---------------+---------------+
/// ```
package struct Hello: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 1 + 1 + 4 + 8 + 1 + 1
  package static let currentVersion: UInt8 = 1
  package static let shardLimit = 8

  /// Unknown bits are ignored: what a later version adds must work without an answer.
  package struct Features: OptionSet, Sendable, BitwiseCopyable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let repair = Features(rawValue: 1)
    package static let fragments = Features(rawValue: 2)
    package static let checksumPartial = Features(rawValue: 4)
    package static let capacity = Features(rawValue: 8)
  }

  package var version: UInt8
  /// The oldest version the sender still speaks.
  package var minimumVersion: UInt8
  package var features: Features
  /// Random, new at each start of the process: a change means that the peer forgot everything.
  package var bootID: UInt64
  /// Path ids the sender can tell apart, 1...64.
  package var pathLimit: UInt8
  /// Threads, each with its own paths and sequence space, 1...8.
  package var shardCount: UInt8

  package init(
    version: UInt8 = currentVersion, minimumVersion: UInt8 = currentVersion, features: Features, bootID: UInt64,
    pathLimit: UInt8 = UInt8(PathID.limit), shardCount: UInt8 = 1
  ) {
    self.version = version
    self.minimumVersion = minimumVersion
    self.features = features
    self.bootID = bootID
    self.pathLimit = pathLimit
    self.shardCount = shardCount
  }

  init(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) {
    guard payload.count - offset >= Self.byteCount else { throw .truncated }
    version = payload[offset + 1]
    minimumVersion = payload[offset + 2]
    features = Features(rawValue: payload.littleEndian(at: offset + 3))
    bootID = payload.littleEndian(at: offset + 7)
    pathLimit = payload[offset + 15]
    shardCount = payload[offset + 16]
    guard version >= 1, minimumVersion >= 1, minimumVersion <= version, pathLimit >= 1, Int(pathLimit) <= PathID.limit, shardCount >= 1,
      Int(shardCount) <= Self.shardLimit
    else { throw .outOfRange }
  }

  @discardableResult package func write(isAcknowledgement: Bool, into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount else { return nil }
    out.append(isAcknowledgement ? FrameKind.helloAcknowledgement : FrameKind.hello)
    out.append(version)
    out.append(minimumVersion)
    out.appendFrameInteger(features.rawValue)
    out.appendFrameInteger(bootID)
    out.append(pathLimit)
    out.append(shardCount)
    return Self.byteCount
  }
}
