internal import CLinux
internal import Glibc

// SAFETY of every call below that only takes a path: Swift hands over a NUL-terminated copy for the length of the call.

/// Unix-domain stream sockets by path: what a control socket needs of unix(7).
public enum UnixSocket {
  /// Bytes of a path that fit into `sockaddr_un` with its NUL.
  public static let maximumPathByteCount = 107
  public static let backlog: CInt = 16

  /// Listens at `path` with mode 0600, in place of a socket that a killed process left there. Non-blocking.
  public static func listen(at path: String) throws(SystemError) -> FileDescriptor {
    let socket = try make()
    let folder = try openFolder(of: path)
    if unsafe unlink(path) != 0 && errno != ENOENT { throw SystemError(errno, "unlink \(path)") }
    // The new file takes the socket's mode (less the umask): it is never open to others, not even for a moment.
    if fchmod(socket.rawValue, 0o600) != 0 { throw SystemError(errno, "fchmod") }
    let reachable = try reachablePath(path, folder.rawValue)
    var address = shim_address(family: UInt16(AF_UNIX), port: 0, scope: 0, high: 0, low: 0)
    let result = unsafe shim_bind(socket.rawValue, &address, reachable, reachable.utf8.count)
    if result < 0 { throw SystemError(-result, "bind \(path)") }
    if unsafe chmod(path, 0o600) != 0 { throw SystemError(errno, "chmod \(path)") }
    if Glibc.listen(socket.rawValue, backlog) != 0 { throw SystemError(errno, "listen \(path)") }
    return socket
  }

  /// Connects to `path`. Blocking, each read and write for so long at most.
  public static func connect(to path: String, timeoutSeconds: Int) throws(SystemError) -> FileDescriptor {
    let socket = try make()
    _ = fcntl(socket.rawValue, F_SETFL, 0)
    var limit = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    // SAFETY: `limit` outlives both calls, which read its size.
    unsafe _ = setsockopt(socket.rawValue, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    unsafe _ = setsockopt(socket.rawValue, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let folder = try openFolder(of: path)
    let reachable = try reachablePath(path, folder.rawValue)
    var address = shim_address(family: UInt16(AF_UNIX), port: 0, scope: 0, high: 0, low: 0)
    let result = unsafe shim_connect(socket.rawValue, &address, reachable, reachable.utf8.count)
    if result < 0 { throw SystemError(-result, "connect") }
    return socket
  }

  private static func make() throws(SystemError) -> FileDescriptor {
    let result = shim_socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    if result < 0 { throw SystemError(-result, "socket") }
    return FileDescriptor(adopting: result)
  }

  private static func openFolder(of path: String) throws(SystemError) -> FileDescriptor {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let result = unsafe open(folder, O_DIRECTORY | O_CLOEXEC)
    if result < 0 { throw SystemError(errno, "open \(folder)") }
    return FileDescriptor(adopting: result)
  }

  /// A long path is reached through its open folder: /proc/self/fd/N/NAME.
  private static func reachablePath(_ path: String, _ folder: CInt) throws(SystemError) -> String {
    if path.utf8.count <= maximumPathByteCount { return path }
    let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    let short = "/proc/self/fd/\(folder)/\(name)"
    if short.utf8.count > maximumPathByteCount { throw SystemError(ENAMETOOLONG, "socket \(path)") }
    return short
  }
}
