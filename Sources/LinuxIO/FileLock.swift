internal import CLinux
internal import Glibc

/// An exclusive lock on a file (flock(2)) that ends with the process, however it ends. The holder's pid stands inside.
///
/// The file stays when the lock ends: removing it would let two processes hold "the" lock.
public struct FileLock: ~Copyable, Sendable {
  public enum Failure: Error, Equatable, CustomStringConvertible {
    /// Somebody else holds it; the pid is what the file says, and may be missing for a moment.
    case held(path: String, pid: Int32?)
    case system(SystemError)

    public var description: String {
      switch self {
      case .held(let path, let pid?): "\(path) is locked by process \(pid)"
      case .held(let path, nil): "\(path) is locked by another process"
      case .system(let error): error.description
      }
    }
  }

  let descriptor: FileDescriptor

  /// Takes the lock or fails at once. The file is made with mode 0600.
  public init(_ path: String) throws(Failure) {
    let descriptor: FileDescriptor
    do throws(SystemError) { descriptor = try Files.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600) } catch { throw .system(error) }
    let result = shim_lock_exclusively(descriptor.rawValue)
    if result == -EWOULDBLOCK { throw .held(path: path, pid: Self.holder(descriptor.rawValue)) }
    if result < 0 { throw .system(SystemError(-result, "flock \(path)")) }
    do throws(SystemError) {
      try SystemError.check(shim_result(Int(ftruncate(descriptor.rawValue, 0))), "ftruncate \(path)")
      try Files.write(Array("\(getpid())\n".utf8).span, to: descriptor.rawValue, path)
    } catch { throw .system(error) }
    self.descriptor = descriptor
  }

  // Closing alone would leave the lock with a child between fork and exec, which has the descriptor too.
  deinit { _ = flock(descriptor.rawValue, LOCK_UN) }

  private static func holder(_ descriptor: CInt) -> Int32? {
    var text = [UInt8](repeating: 0, count: 16)
    // SAFETY: the array outlives the call.
    let count = unsafe text.withUnsafeMutableBytes { unsafe shim_read(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return nil }
    return Int32(String(decoding: text[..<count].prefix { $0 >= 0x30 && $0 <= 0x39 }, as: UTF8.self))
  }
}
