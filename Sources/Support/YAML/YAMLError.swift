/// What is wrong with a YAML file, at its place: `causeway.yml:3:14: key 'tunnels[0].local_port': expected a port 1-65535, got 'abc'`.
package struct YAMLError: Error, Equatable, Sendable, CustomStringConvertible {
  package var file: String
  /// 1-based.
  package var line: Int
  /// 1-based, in characters.
  package var column: Int
  /// The path of the key, or empty when the file itself is at fault.
  package var key: String
  package var reason: String

  package var description: String {
    "\(file):\(line):\(column): " + (key.isEmpty ? "" : "key '\(key)': ") + reason
  }
}
