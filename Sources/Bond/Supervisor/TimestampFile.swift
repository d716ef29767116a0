package import CausewayLinuxIO
internal import CausewayWire

/// The greatest TAI64N that a bond ever sent, 24 hexadecimal digits in a line: peers take no handshake with a smaller one, so a clock that
/// was set back (or that a device without battery lost) must not lead below it.
package struct TimestampFile: Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  /// Empty when there is none. A damaged file counts as none: the worst that follows is that peers refuse until the clock is right.
  package func read() -> [UInt8] {
    guard let bytes = try? Files.read(path, atMost: 64) else { return [] }
    let digits = bytes.prefix { $0 != 0x0A }.map { $0 }
    guard let value = Hexadecimal.decode(digits.span), value.count == WorkerMessage.timestampByteCount else { return [] }
    return value
  }

  package func write(_ timestamp: [UInt8]) throws(SystemError) {
    try Files.replace(path, with: Hexadecimal.encode(timestamp.span) + "\n")
  }
}
