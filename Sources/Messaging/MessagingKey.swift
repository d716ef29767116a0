internal import CausewayCrypto
internal import CausewayLinuxIO

/// A secret that both sides know: strangers and mistakes stay out. It does not encrypt.
public struct MessagingKey: Sendable {
  public static let minimumByteCount = 16
  let secret: SecretKey

  public init(_ bytes: Span<UInt8>) throws(MessagingError) {
    guard bytes.count >= Self.minimumByteCount else {
      throw MessagingError(
        .invalidArgument, "messaging key", cause: "it has \(bytes.count) bytes and needs at least \(Self.minimumByteCount)")
    }
    secret = SecretKey(copying: bytes)
  }

  public init(_ bytes: [UInt8]) throws(MessagingError) { try self.init(bytes.span) }

  /// The content of a file, without white space at its end.
  public init(file path: String) throws(MessagingError) {
    let content: [UInt8]
    do throws(SystemError) {
      content = try Files.read(path, atMost: 4096)
    } catch {
      throw MessagingError(.invalidArgument, "messaging key '\(path)'", cause: error.message)
    }
    let count = content.lastIndex { $0 != 0x0A && $0 != 0x0D && $0 != 0x20 && $0 != 0x09 }.map { $0 + 1 } ?? 0
    try self.init(Array(content[..<count]))
  }
}
