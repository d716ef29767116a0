internal import CLinux
internal import Glibc

/// Owns one descriptor and closes it at the end of its life. Errors of `close(2)` are of no use on sockets and are ignored.
public struct FileDescriptor: ~Copyable, Sendable {
  public let rawValue: CInt

  public init(adopting rawValue: CInt) { self.rawValue = rawValue }

  /// Gives the descriptor away without closing it.
  public consuming func release() -> CInt {
    let rawValue = self.rawValue
    discard self
    return rawValue
  }

  public consuming func close() {}

  deinit { _ = Glibc.close(rawValue) }
}
