internal import Glibc
internal import Synchronization

/// Forms lines and hands them to a closure: for a live panel that prints them above itself, and for tests.
package struct LineSink: LogSink {
  private let format: LogFormat
  private let output: @Sendable (String) -> Void

  /// - Parameter output: Gets whole lines, their end included, from any thread.
  package init(_ format: LogFormat, _ output: @escaping @Sendable (String) -> Void) {
    self.format = format
    self.output = output
  }

  package func write(_ record: LogRecord) { output(format.line(record)) }
}

/// Writes lines to a descriptor that someone else owns: 2 for stderr. A line is one write(2), so threads don't mix theirs; what a full
/// non-blocking descriptor doesn't take is lost.
package struct DescriptorSink: LogSink {
  private let format: LogFormat
  private let descriptor: CInt

  package init(_ format: LogFormat, descriptor: CInt = 2) {
    self.format = format
    self.descriptor = descriptor
  }

  package func write(_ record: LogRecord) { writeWhole(format.line(record), to: descriptor) }
}

/// Appends lines to a file of mode 0600 and can open it anew after a rotation.
package final class FileSink: LogSink {
  /// Why the file can't be written, in one line.
  package struct OpenError: Error, Equatable, Sendable, CustomStringConvertible {
    package var description: String
  }

  package let path: String
  private let format: LogFormat
  private let descriptor: Mutex<CInt>

  /// Creates the file if it is missing; an existing one keeps its content and becomes 0600.
  package init(_ format: LogFormat, path: String) throws(OpenError) {
    self.format = format
    self.path = path
    descriptor = Mutex(try Self.open(path))
  }

  deinit { descriptor.withLock { _ = Glibc.close($0) } }

  package func write(_ record: LogRecord) {
    let line = format.line(record)
    // The lock spans the write, so that `reopen` can't close the descriptor under it.
    descriptor.withLock { writeWhole(line, to: $0) }
  }

  /// For SIGHUP: opens the path again. When that fails the old file stays in use.
  package func reopen() throws(OpenError) {
    let fresh = try Self.open(path)
    descriptor.withLock { descriptor in
      Glibc.close(descriptor)
      descriptor = fresh
    }
  }

  private static func open(_ path: String) throws(OpenError) -> CInt {
    let descriptor = unsafe Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o600)
    if descriptor < 0 {
      throw unsafe OpenError(description: "cannot write the log file \(path): \(String(cString: strerror(errno)))")
    }
    fchmod(descriptor, 0o600)
    return descriptor
  }
}

private func writeWhole(_ text: String, to descriptor: CInt) {
  var text = text
  text.withUTF8 { bytes in
    var offset = 0
    while offset < bytes.count {
      // SAFETY: the string's bytes live for the closure; offset < count.
      let count = unsafe write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return }
      offset += count
    }
  }
}
