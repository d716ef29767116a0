internal import Glibc

/// stdout carries the answer, stderr the story. Direct writes: nothing waits in a buffer when the process is killed.
package enum StandardStreams {
  /// Writes text to stdout as it is. False when nobody reads it any more, or the disk is full.
  @discardableResult
  package static func answer(_ text: String) -> Bool { write(text, to: STDOUT_FILENO) }

  /// Writes `causeway: LINE` to stderr.
  package static func complain(_ line: String) { write("causeway: \(line)\n", to: STDERR_FILENO) }

  @discardableResult
  static func write(_ text: String, to descriptor: CInt) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
      var offset = 0
      while offset < bytes.count {
        // SAFETY: the string's bytes live for the closure; offset < count.
        let count = unsafe Glibc.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return false }
        offset += count
      }
      return true
    }
  }
}
