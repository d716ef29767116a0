/// Why a command ends: the verdict, and one line that says what is wrong, where, and what to do. Never a secret.
package struct CommandFailure: Error, Equatable, Sendable, CustomStringConvertible {
  package var exitCode: ExitCode
  package var message: String

  package init(_ exitCode: ExitCode, _ message: String) {
    self.exitCode = exitCode
    self.message = message
  }

  package static func usage(_ message: String) -> CommandFailure { CommandFailure(.usage, message) }

  package init(_ error: PlacedError) { self.init(.usage, error.description) }
  package init(_ error: YAMLError) { self.init(.usage, error.description) }
  /// A file that cannot be read.
  package init(_ error: FileError) { self.init(.configuration, error.description) }

  package var description: String { message }
}
