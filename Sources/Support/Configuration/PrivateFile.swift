internal import CLinux
internal import CausewayBase
internal import Glibc

/// Why a file could not be used: the path, and a reason that says what to do.
package struct FileError: Error, Equatable, Sendable, CustomStringConvertible {
  package var path: String
  package var reason: String

  package init(path: String, reason: String) {
    self.path = path
    self.reason = reason
  }

  package var description: String { "\(path.printable): \(reason)" }

  static func errno(_ code: CInt, _ action: String, _ path: String) -> FileError {
    unsafe FileError(path: path, reason: "cannot \(action): " + String(cString: strerror(code)))
  }
}

/// Small files, read whole; those with secrets only when nobody else can read them, and replaced by rename so that a crash leaves the old or
/// the new content, never half of one.
package enum PrivateFile {
  package static let maximumByteCount = 1 << 20

  /// - Parameter isSecret: Refuse a file that its group or others can read, or that belongs to another user.
  /// - Returns: nil when there is no such file.
  package static func read(_ path: String, isSecret: Bool) throws(FileError) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    if descriptor < 0 {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw .errno(errno, "read", path)
    }
    defer { close(descriptor) }
    var status = stat()
    if unsafe fstat(descriptor, &status) < 0 { throw .errno(errno, "read", path) }
    if status.st_mode & S_IFMT == S_IFDIR { throw FileError(path: path, reason: "is a folder") }
    if isSecret && status.st_mode & S_IFMT == S_IFREG {
      if status.st_mode & 0o077 != 0 {
        throw FileError(path: path, reason: "holds secrets and others can read it; run: chmod 600 '\(path.printable)'")
      }
      if status.st_uid != geteuid() { throw FileError(path: path, reason: "holds secrets and belongs to another user") }
    }
    return try readAll(descriptor, path)
  }

  /// Reads a descriptor to its end, as for a token on standard input.
  package static func readAll(_ descriptor: CInt, _ path: String) throws(FileError) -> [UInt8] {
    var content: [UInt8] = []
    while true {
      var piece = [UInt8](repeating: 0, count: 16384)
      // SAFETY: the array lives for the call.
      let count = unsafe piece.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 { throw .errno(errno, "read", path) }
      if count == 0 { return content }
      content += piece[..<count]
      if content.count > maximumByteCount { throw FileError(path: path, reason: "is larger than \(maximumByteCount >> 20) MiB") }
    }
  }

  /// Replaces `path` by a 0600 file with the result of `change`, under an exclusive lock beside it; folders are made 0700 as needed.
  /// - Parameter change: Gets the present content (nil: no file).
  package static func update<E: Error>(_ path: String, _ change: ([UInt8]?) throws(E) -> [UInt8]) throws(UpdateError<E>) {
    do throws(FileError) { try makeFolder(folder(of: path)) } catch { throw .file(error) }
    let lock = unsafe open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if lock < 0 { throw .file(.errno(errno, "lock", path)) }
    defer { close(lock) }
    while flock(lock, LOCK_EX) < 0 { if errno != EINTR { throw .file(.errno(errno, "lock", path)) } }
    let present: [UInt8]?
    do throws(FileError) { present = try read(path, isSecret: true) } catch { throw .file(error) }
    let content: [UInt8]
    do throws(E) { content = try change(present) } catch { throw .change(error) }
    do throws(FileError) { try replace(path, by: content) } catch { throw .file(error) }
  }

  package enum UpdateError<Change: Error>: Error {
    case file(FileError)
    case change(Change)
  }

  private static func replace(_ path: String, by content: [UInt8]) throws(FileError) {
    // The lock makes the name ours; a leftover of a crash is in the way only once.
    let temporary = path + ".new"
    unsafe unlink(temporary)
    let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor < 0 { throw .errno(errno, "write", path) }
    do throws(FileError) {
      defer { close(descriptor) }
      var offset = 0
      while offset < content.count {
        // SAFETY: the array lives for the call, offset < count.
        let count = unsafe content.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
        if count < 0 && errno != EINTR { throw FileError.errno(errno, "write", path) }
        offset += max(0, count)
      }
      if fchmod(descriptor, 0o600) < 0 || fsync(descriptor) < 0 { throw FileError.errno(errno, "write", path) }
      if unsafe rename(temporary, path) < 0 { throw FileError.errno(errno, "write", path) }
    } catch {
      unsafe unlink(temporary)
      throw error
    }
    let parent = unsafe open(folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if parent >= 0 {
      fsync(parent)
      close(parent)
    }
  }

  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Makes a folder and what is missing above it, each 0700.
  package static func makeFolder(_ path: String) throws(FileError) {
    if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return }
    if errno == ENOENT, folder(of: path) != path {
      try makeFolder(folder(of: path))
      if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return }
    }
    throw .errno(errno, "make the folder", path)
  }
}
