internal import CUCX
internal import Glibc

/// Which UCX an engine uses, and what it sees.
public struct EngineInfo: Equatable, Sendable {
  public var ucxVersion: String
  /// libucp's file.
  public var ucxPath: String
  /// Transports and devices that this context may use.
  public var transports: [Transport]
}

extension Engine {
  public func info() throws(MessagingError) -> EngineInfo {
    try checkFork("info")
    let driver = driver
    let text: String = driver.asGuest {
      driver.isShutDown ? "" : unsafe Self.printed { unsafe driver.table.pointee.context_print_info(driver.context, $0) }
    }
    return EngineInfo(ucxVersion: library.version, ucxPath: library.path, transports: Self.resources(text))
  }

  /// Which UCX would be used, without an engine.
  public static func ucx(_ source: UCXSource? = nil, wheelFolders: [String] = []) throws(MessagingError) -> (version: String, path: String)
  {
    let library = try UCXLibrary.load(source, wheelFolders: wheelFolders)
    return (library.version, library.path)
  }

  /// Lines like `#            resource 4  :  md 2  dev 3  flags -- posix/memory`, the part behind the last blank.
  static func resources(_ text: String) -> [Transport] {
    var found: [Transport] = []
    for line in text.split(separator: "\n") where line.contains("resource") {
      guard let word = line.split(separator: " ").last else { continue }
      let parts = word.split(separator: "/", maxSplits: 1)
      if parts.count == 2 { found.append(Transport(name: String(parts[0]), device: String(parts[1]))) }
    }
    return found
  }

  static func printed(_ body: (UnsafeMutablePointer<FILE>) -> Void) -> String {
    var text: UnsafeMutablePointer<CChar>?
    var count = 0
    guard let stream = unsafe open_memstream(&text, &count) else { return "" }
    unsafe body(stream)
    unsafe fclose(stream)
    defer { unsafe free(text) }
    return unsafe text.map { unsafe String(cString: $0) } ?? ""
  }
}
