internal import CLinux
internal import Glibc

/// Small files: read whole, replaced whole, kept private. Blocks; not for a loop under traffic.
public enum Files {
  /// The whole file. Longer than `limit` bytes is EFBIG.
  public static func read(_ path: String, atMost limit: Int = 1 << 20) throws(SystemError) -> [UInt8] {
    let descriptor = try open(path, O_RDONLY)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: min(limit + 1, 16384))
    while true {
      // SAFETY: the array outlives the call.
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe shim_read(descriptor.rawValue, $0.baseAddress, $0.count) }
      try SystemError.check(count, "read \(path)")
      if count == 0 { return bytes }
      if bytes.count + count > limit { throw SystemError(EFBIG, "read \(path)") }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// Replaces or creates `path` so that a crash at any moment leaves the old content or the new, never a part: a temporary file
  /// beside it, fsync, rename, fsync of the folder. A symbolic link is replaced, not followed.
  public static func replace(_ path: String, with bytes: Span<UInt8>, mode: UInt32 = 0o600) throws(SystemError) {
    let temporary = "\(path).\(getpid()).\(UInt64.random(in: 0 ... .max)).tmp"
    let descriptor = try open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
    do throws(SystemError) {
      // The umask must not take away what was asked for.
      try SystemError.check(shim_result(Int(fchmod(descriptor.rawValue, mode))), "fchmod \(temporary)")
      try write(bytes, to: descriptor.rawValue, temporary)
      try SystemError.check(shim_result(Int(fsync(descriptor.rawValue))), "fsync \(temporary)")
      try SystemError.check(unsafe shim_result(Int(rename(temporary, path))), "rename \(temporary) to \(path)")
    } catch {
      _ = unsafe unlink(temporary)
      throw error
    }
    let folder = try open(folder(of: path), O_RDONLY | O_DIRECTORY)
    try SystemError.check(shim_result(Int(fsync(folder.rawValue))), "fsync \(Self.folder(of: path))")
  }

  /// UTF-8.
  public static func replace(_ path: String, with text: String, mode: UInt32 = 0o600) throws(SystemError) {
    try replace(path, with: Array(text.utf8).span, mode: mode)
  }

  /// Whether only its owner, who is this user or root, can read or write it. Links are followed.
  public static func isPrivate(_ path: String) throws(SystemError) -> Bool {
    let status = try FileStatus.of(path)
    return status.mode & 0o077 == 0 && (status.owner == geteuid() || status.owner == 0)
  }

  /// Makes the folder and those above it that are missing, each with `mode`. An existing one is left as it is.
  public static func makeFolder(_ path: String, mode: UInt32 = 0o700) throws(SystemError) {
    let result = unsafe shim_result(Int(mkdir(path, mode)))
    if result == 0 { return }
    if result == -Int(EEXIST), let status = FileStatus(path: path), status.isFolder { return }
    guard result == -Int(ENOENT) else { throw SystemError(CInt(-result), "mkdir \(path)") }
    let above = folder(of: path)
    guard above != path, above != "." else { throw SystemError(ENOENT, "mkdir \(path)") }
    try makeFolder(above, mode: mode)
    let again = unsafe shim_result(Int(mkdir(path, mode)))
    if again < 0 && again != -Int(EEXIST) { throw SystemError(CInt(-again), "mkdir \(path)") }
  }

  /// The folder that holds `path`: "." for a bare name, "/" for one directly below it.
  public static func folder(of path: String) -> String {
    var rest = path[...]
    while rest.utf8.count > 1 && rest.utf8.last == 0x2F { rest = rest.dropLast() }
    guard let slash = rest.lastIndex(of: "/") else { return "." }
    return slash == rest.startIndex ? "/" : String(rest[..<slash])
  }

  static func open(_ path: String, _ flags: CInt, _ mode: UInt32 = 0) throws(SystemError) -> FileDescriptor {
    FileDescriptor(adopting: CInt(try SystemError.check(unsafe Int(shim_open(path, flags, mode)), "open \(path)")))
  }

  static func write(_ bytes: Span<UInt8>, to descriptor: CInt, _ path: String) throws(SystemError) {
    var offset = 0
    while offset < bytes.count {
      // SAFETY: the span outlives the call; offset < count.
      let count = unsafe bytes.withUnsafeBufferPointer { unsafe shim_write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
      offset += try SystemError.check(count, "write \(path)")
    }
  }
}

/// What stat(2) tells.
struct FileStatus {
  let device: UInt64
  let inode: UInt64
  let mode: UInt32
  let owner: UInt32

  var isSocket: Bool { mode & 0o170000 == 0o140000 }
  var isFolder: Bool { mode & 0o170000 == 0o040000 }

  static func of(_ path: String) throws(SystemError) -> FileStatus {
    var status = shim_file_status()
    try SystemError.check(unsafe Int(shim_file_status(path, -1, &status)), "stat \(path)")
    return FileStatus(device: status.device, inode: status.inode, mode: status.mode, owner: status.owner)
  }

  init?(path: String) {
    guard let status = try? FileStatus.of(path) else { return nil }
    self = status
  }

  private init(device: UInt64, inode: UInt64, mode: UInt32, owner: UInt32) {
    self.device = device
    self.inode = inode
    self.mode = mode
    self.owner = owner
  }
}
