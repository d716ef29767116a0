internal import Glibc

/// Keeps UCX off a /dev/shm that is too small. Its transport "posix" allocates there as unreceived messages pile up, and when there is no
/// room left no version copes: 1.13 makes no worker and loses its peers, 1.22 crashes. "sysv" is as fast and needs no room there.
struct SharedMemoryRoom {
  /// What a worker takes at its start, in bytes; more is for messages that wait.
  static let start = 16 << 20

  var folder: String
  /// Bytes that may still be written there; 0 without such a folder.
  var free: Int

  /// Of the folder that UCX will use.
  init(_ settings: [(name: String, value: String)]) {
    folder = settings.last { $0.name == "POSIX_DIR" }?.value ?? UCXLibrary.environment("UCX_POSIX_DIR") ?? "/dev/shm"
    var figures = statvfs()
    // SAFETY: a local that outlives the call.
    let isThere = unsafe statvfs(folder, &figures) == 0
    free = isThere ? Int(clamping: UInt64(figures.f_bavail).multipliedReportingOverflow(by: UInt64(figures.f_frsize)).partialValue) : 0
  }

  init(folder: String, free: Int) {
    self.folder = folder
    self.free = free
  }

  /// The transports to ask UCX for instead of `transports`, its own list. "posix" stays when there is room for all unreceived messages, or
  /// when it was asked for by name and can start.
  func transports(_ transports: String, unreceivedByteLimit: Int) throws(MessagingError) -> String {
    let hasRoom = free >= Self.start && free - Self.start >= unreceivedByteLimit
    if hasRoom { return transports }
    if transports.hasPrefix("^") {
      return transports.dropFirst().split(separator: ",").contains("posix") ? transports : transports + ",posix"
    }
    let names = transports.split(separator: ",").map(String.init)
    if names.contains("posix") && free >= Self.start { return transports }
    if names.contains("all") { return "^posix" }
    var left: [String] = []
    for name in names {
      switch name {
      case "posix": break
      case "sm", "shm", "mm": left += ["sysv", "cma"].filter { !left.contains($0) && !names.contains($0) }
      default: left.append(name)
      }
    }
    // What is left carries nothing by itself.
    if left.allSatisfy({ ["cma", "self"].contains($0) }) && names.contains("posix") {
      throw MessagingError(
        .limitReached, "cannot use the transport posix",
        cause: "\(folder) has \(free >> 10) KiB left, and it needs \(Self.start >> 10); enlarge it, or allow sysv or tcp")
    }
    return left.joined(separator: ",")
  }
}
