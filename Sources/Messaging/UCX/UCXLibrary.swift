internal import CLinux
internal import CUCX
internal import Glibc
internal import Synchronization

/// Which UCX a process uses. One for a process: a second copy would fight over signals, memory hooks and threads.
public enum UCXSource: Equatable, Sendable {
  /// What the process has loaded already, else the system's, else the wheel's.
  case automatic
  case system
  /// The `libucx` wheel.
  case wheel
  /// The folder of libucp.so.0.
  case folder(String)

  /// `CAUSEWAY_UCX`, else `STARWAY_USE_SYSTEM_UCX`, else automatic. Nil with the text of a value that means nothing.
  static func fromEnvironment(_ value: (String) -> String?) -> Result<UCXSource, MessagingError> {
    if let choice = value("CAUSEWAY_UCX"), !choice.isEmpty {
      switch choice {
      case "system": return .success(.system)
      case "wheel": return .success(.wheel)
      case _ where choice.hasPrefix("/"): return .success(.folder(choice))
      default:
        return .failure(
          MessagingError(.invalidArgument, "CAUSEWAY_UCX='\(choice)'", cause: "expected 'system', 'wheel' or the folder of libucp.so.0"))
      }
    }
    switch value("STARWAY_USE_SYSTEM_UCX")?.lowercased() {
    case "1", "true", "yes", "on": return .success(.system)
    case "0", "false", "no", "off": return .success(.wheel)
    default: return .success(.automatic)
    }
  }
}

/// The loaded UCX: its functions, and where they came from.
// @unchecked Sendable: the table is written before anybody sees it, and never unloaded.
@safe struct UCXLibrary: @unchecked Sendable {
  let table: UnsafePointer<cucx_library>

  static let oldest = (major: UInt32(1), minor: UInt32(13))
  static let bothWays = "install Debian's 'libucx0' (apt-get install libucx0) or the wheel (pip install libucx-cu12)"

  // SAFETY of every `pointee` here: a table lives for ever.
  var major: UInt32 { unsafe table.pointee.major }
  var minor: UInt32 { unsafe table.pointee.minor }
  var patch: UInt32 { unsafe table.pointee.patch }
  var version: String { unsafe "\(table.pointee.major).\(table.pointee.minor).\(table.pointee.patch)" }
  var path: String {
    unsafe withUnsafeBytes(of: table.pointee.path) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  func text(of status: Int32) -> String { unsafe String(cString: cucx_status_text(table, status)) }

  private static let loaded = Mutex<UCXLibrary?>(nil)

  /// The UCX of this process, loaded at the first call. `source` nil asks the environment. `wheelFolders` are looked into before the
  /// usual places; each holds `libucp.so.0`.
  static func load(_ source: UCXSource? = nil, wheelFolders: [String] = []) throws(MessagingError) -> UCXLibrary {
    let wanted: UCXSource
    if let source { wanted = source } else { wanted = try UCXSource.fromEnvironment(environment).get() }
    let result: Result<UCXLibrary, MessagingError> = loaded.withLock { loaded in
      do throws(MessagingError) {
        let library: UCXLibrary
        if let loaded { library = loaded } else { library = try open(wanted, wheelFolders) }
        try library.check(wanted)
        loaded = library
        return .success(library)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private static func open(_ source: UCXSource, _ wheelFolders: [String]) throws(MessagingError) -> UCXLibrary {
    var reasons: [String] = []
    if let present = attempt("", onlyLoaded: true, &reasons) { return present }
    reasons = []
    switch source {
    case .automatic:
      if let system = attempt("", onlyLoaded: false, &reasons) { return system }
      for folder in wheelFolders + installedWheels() { if let wheel = attempt(folder, onlyLoaded: false, &reasons) { return wheel } }
    case .system:
      if let system = attempt("", onlyLoaded: false, &reasons) { return system }
    case .wheel:
      let folders = wheelFolders + installedWheels()
      if folders.isEmpty { reasons.append("no 'libucx' wheel in the usual site-packages") }
      for folder in folders { if let wheel = attempt(folder, onlyLoaded: false, &reasons) { return wheel } }
    case .folder(let folder):
      if let chosen = attempt(folder, onlyLoaded: false, &reasons) { return chosen }
    }
    throw MessagingError(
      .ucxUnavailable, "cannot load OpenUCX", cause: "\(reasons.first ?? "not found"); \(bothWays), or set CAUSEWAY_UCX to its folder")
  }

  private static func attempt(_ folder: String, onlyLoaded: Bool, _ reasons: inout [String]) -> UCXLibrary? {
    let folder = folder.isEmpty || folder.hasSuffix("/") ? folder : folder + "/"
    var reason = ""
    // SAFETY: the message has the size that the shim asks for, and is terminated by it.
    let table = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CUCX_MESSAGE_LIMIT)) { message in
      unsafe message.initialize(repeating: 0)
      let table = unsafe cucx_open(folder, onlyLoaded ? 1 : 0, message.baseAddress)
      if unsafe table == nil { reason = unsafe String(cString: message.baseAddress!) }
      return unsafe table
    }
    guard let table = unsafe table else {
      reasons.append(reason)
      return nil
    }
    return unsafe UCXLibrary(table: table)
  }

  /// Whether this one may be used, and is the one that was asked for.
  private func check(_ source: UCXSource) throws(MessagingError) {
    guard major == Self.oldest.major, minor >= Self.oldest.minor else {
      throw MessagingError(
        .ucxUnavailable, "OpenUCX \(version) at \(path)", cause: "1.13 or later is needed; \(Self.bothWays)")
    }
    let isWheel = path.contains("/libucx/lib/")
    let isRight =
      switch source {
      case .automatic: true
      case .system: !isWheel
      case .wheel: isWheel
      case .folder(let folder): path.hasPrefix(folder.hasSuffix("/") ? folder : folder + "/") || Self.isSame(folder, path)
      }
    if !isRight {
      throw MessagingError(
        .ucxUnavailable, "the process has loaded OpenUCX \(version) from \(path) already",
        cause: "that is not what was asked for; unset CAUSEWAY_UCX and STARWAY_USE_SYSTEM_UCX to use it, or load ours first")
    }
  }

  /// Whether the folder holds the very file, by another name.
  private static func isSame(_ folder: String, _ path: String) -> Bool {
    var (one, other) = (stat(), stat())
    // SAFETY: both locals outlive the calls.
    guard unsafe stat(folder + "/libucp.so.0", &one) == 0, unsafe stat(path, &other) == 0 else { return false }
    return one.st_ino == other.st_ino && one.st_dev == other.st_dev
  }

  // MARK: Where a wheel may be

  static func environment(_ name: String) -> String? {
    // SAFETY: copied at once.
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }

  /// Folders of `libucx` wheels in the site-packages of the environment's Python, newest Python first. No Python is run.
  static func installedWheels() -> [String] {
    var patterns: [String] = []
    for entry in (environment("PYTHONPATH") ?? "").split(separator: ":") where !entry.isEmpty { patterns.append("\(entry)/libucx/lib") }
    let homes = [environment("VIRTUAL_ENV"), environment("CONDA_PREFIX"), environment("HOME").map { $0 + "/.local" }, "/usr/local", "/usr"]
    for home in homes {
      guard let home, !home.isEmpty else { continue }
      for name in ["site-packages", "dist-packages"] { patterns.append("\(home)/lib/python3*/\(name)/libucx/lib") }
    }
    return patterns.flatMap { matches($0 + "/libucp.so.0").map { String($0.dropLast("/libucp.so.0".count)) }.reversed() }
  }

  private static func matches(_ pattern: String) -> [String] {
    var found = unsafe glob_t()
    defer { unsafe globfree(&found) }
    // SAFETY: a local that is freed above; its paths are copied before.
    guard unsafe glob(pattern, 0, nil, &found) == 0 else { return [] }
    return unsafe (0..<Int(found.gl_pathc)).compactMap { index in unsafe found.gl_pathv[index].map { unsafe String(cString: $0) } }
  }
}
