internal import CausewayLinuxIO
package import CausewaySupport
internal import Glibc

/// The command line's side of a bond's control socket. Blocks.
package enum ControlClient {
  /// Between two bytes of a running bond; a reload resolves names first.
  static let timeLimitSeconds = 20
  static let maximumAnswerByteCount = WorkerMessage.maximumLineByteCount + 4096

  /// nil: no such bond runs.
  package static func ask(_ question: ControlQuestion, of name: String, in folders: BondFolders) throws(CommandFailure) -> ControlAnswer? {
    let path = folders.socket(name)
    let answer: [UInt8]
    do throws(SystemError) {
      let socket = try UnixSocket.connect(to: path, timeoutSeconds: timeLimitSeconds)
      answer = try exchange(socket.rawValue, ControlCodec.encode(question))
    } catch {
      if [ENOENT, ENOTDIR, ECONNREFUSED].contains(error.code) { return nil }
      if error.code == EACCES { throw CommandFailure(.failure, "\(path): only root and who started the bond may ask it") }
      if error.code == EAGAIN { throw CommandFailure(.temporary, "the bond \(name) doesn't answer: look at its log") }
      throw CommandFailure(.failure, "cannot reach the bond at \(path): \(error.message)")
    }
    guard answer.last == 0x0A, let json = try? JSONValue(parsing: answer.span), let record = try? ControlAnswer(json: json) else {
      throw CommandFailure(.temporary, "the bond \(name) ended before it answered")
    }
    return record
  }

  private static func exchange(_ socket: CInt, _ question: [UInt8]) throws(SystemError) -> [UInt8] {
    // SAFETY: the array outlives the call; so few bytes go out whole.
    let sent = unsafe question.withUnsafeBytes { unsafe send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
    if sent != question.count { throw SystemError(errno, "send") }
    var answer: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while answer.count <= maximumAnswerByteCount {
      // SAFETY: the array outlives the call.
      let count = unsafe piece.withUnsafeMutableBytes { unsafe recv(socket, $0.baseAddress, $0.count, 0) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 { throw SystemError(errno, "recv") }
      if count == 0 { break }
      answer += piece[..<count]
    }
    return answer
  }
}
