internal import CausewayBase
package import CausewaySupport
internal import Glibc

/// A configuration's text with what decides whether it may be believed: whose it is, and who else could read or change it. All of it is
/// asked of the open descriptor, so that nobody can swap the file in between.
package struct ConfigurationFile: Sendable {
  package let path: String
  package let bytes: [UInt8]
  /// Permission bits; 0 for a pipe.
  package let mode: UInt32
  package let owner: UInt32

  package init(path: String, bytes: [UInt8], mode: UInt32 = 0o600, owner: UInt32 = 0) {
    self.path = path
    self.bytes = bytes
    self.mode = mode
    self.owner = owner
  }

  package init(reading path: String) throws(CommandFailure) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    if descriptor < 0 { throw Self.failure(path, errno) }
    defer { close(descriptor) }
    var status = stat()
    if unsafe fstat(descriptor, &status) < 0 { throw Self.failure(path, errno) }
    if status.st_mode & S_IFMT == S_IFDIR { throw CommandFailure(.configuration, "\(path.printable): is a folder") }
    do throws(FileError) { bytes = try PrivateFile.readAll(descriptor, path) } catch { throw CommandFailure(error) }
    self.path = path
    mode = status.st_mode & S_IFMT == S_IFREG ? status.st_mode & 0o7777 : 0
    owner = status.st_uid
  }

  private static func failure(_ path: String, _ code: CInt) -> CommandFailure {
    unsafe CommandFailure(.configuration, "cannot read \(path.printable): \(String(cString: strerror(code)))")
  }

  /// Its group or others can read it.
  package var isReadableByOthers: Bool { mode & 0o044 != 0 }
  /// Only root, or this user, can have written it: commands in it may run.
  package func mayHoldCommands(user: UInt32 = geteuid()) -> Bool { (owner == 0 || owner == user) && mode & 0o022 == 0 }
  package var isJSON: Bool { path.lowercased().hasSuffix(".json") }

  // MARK: Look-up

  package static let folders = ["/etc/causeway", "/etc/wireguard"]

  /// The file that a user means: a path (it has a slash or ends in .conf or .json), or a name in `folders`.
  package static func locate(
    _ word: String, folders: [String] = folders, exists: (String) -> Bool = { unsafe access($0, F_OK) == 0 }
  ) throws(CommandFailure) -> String {
    if word.contains("/") || word.hasSuffix(".conf") || word.hasSuffix(".json") { return word }
    guard InterfaceName.isValid(word) else { throw .usage("'\(word.printable)' is neither a file nor a name: \(InterfaceName.rule)") }
    let candidates = folders.flatMap { ["\($0)/\(word).conf", "\($0)/\(word).json"] }
    guard let found = candidates.first(where: exists) else {
      throw CommandFailure(
        .configuration,
        "no configuration named '\(word)': looked for \(candidates.joined(separator: ", ")); give a path with a slash for others")
    }
    return found
  }

  /// `/etc/wireguard/wg0.conf`: `wg0`.
  package static func baseName(_ path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return name.hasSuffix(".conf") || name.hasSuffix(".json") ? String(name.dropLast(5)) : name
  }
}

/// What Linux and wg-quick take for an interface's name.
package enum InterfaceName {
  package static let rule = "an interface name has 1-15 of the characters a-z, A-Z, 0-9, _ = + . -"

  package static func isValid(_ name: String) -> Bool {
    guard (1...BondConfiguration.maximumNameByteCount).contains(name.utf8.count), name != ".", name != ".." else { return false }
    return name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F, 0x3D, 0x2B, 0x2E, 0x2D: true
      default: false
      }
    }
  }
}
