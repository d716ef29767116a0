internal import CLinux
internal import CausewayBase
internal import CausewayMessaging
internal import CausewaySupport
internal import Glibc

/// The other process of a measurement: this program once more, with one end of a socket as descriptor 3. It gets UCX's settings there,
/// answers where to connect, and ends when the socket does, so that it never outlives whoever started it.
struct PeerProcess {
  private static let channel: CInt = 3
  private static let lineLimit = 8192

  private let processID: Int32
  private let socket: CInt
  /// For `Client.connect(toAddress:)`.
  let address: [UInt8]

  /// - Parameter path: The hidden command's words.
  init(_ path: [String], tls: String?) throws(CommandFailure) {
    var pair: [CInt] = [-1, -1]
    // SAFETY: room for both descriptors.
    guard unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
      throw CommandFailure(.failure, "cannot make a socket for the other process: \(unsafe String(cString: strerror(errno)))")
    }
    defer { close(pair[1]) }
    var child: Int32 = 0
    var words = unsafe (["causeway"] + path).map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe words.indices { unsafe free(words[index]) } }
    // SAFETY: the words are freed after the call, environ belongs to the process.
    let result = unsafe shim_spawn("/proc/self/exe", &words, environ, &pair[1], 1, Self.channel, &child)
    guard result >= 0 else {
      close(pair[0])
      throw CommandFailure(.failure, "cannot start the other process: \(unsafe String(cString: strerror(-result)))")
    }
    socket = pair[0]
    processID = child
    Self.write((tls ?? "") + "\n", to: socket)
    let answer = Self.readLine(from: socket)
    guard let answer, answer.hasPrefix("=") else {
      close(socket)
      _ = shim_wait(child, 1)
      guard let answer else { throw CommandFailure(.failure, "the other process did not start") }
      let parts = answer.dropFirst().split(separator: " ", maxSplits: 1)
      let code = parts.first.flatMap { Int32($0) }.flatMap { ExitCode(rawValue: $0) }
      throw CommandFailure(code ?? .failure, "the other process: " + (parts.count > 1 ? String(parts[1]) : answer))
    }
    address = Self.bytes(ofHex: answer.dropFirst())
  }

  /// Ends it and waits for its end.
  func end() {
    close(socket)
    _ = shim_wait(processID, 1)
  }

  // MARK: The other side

  /// What the child does until its parent lets go. Returns whether it ever served.
  static func serve() -> Bool {
    guard let tls = readLine(from: channel) else { return false }
    let started: Result<(Server, [UInt8]), MessagingError> = blockingWait {
      do throws(MessagingError) {
        let server = try Server(on: try Engine(benchOptions(tls.isEmpty ? nil : tls)))
        return .success((server, try await server.listenAddress(tcp: false)))
      } catch {
        return .failure(error)
      }
    }
    switch started {
    case .failure(let error):
      let failure = CommandFailure(messaging: error)
      write("!\(failure.exitCode.rawValue) \(failure.message)\n", to: channel)
      return false
    case .success(let (server, address)):
      let task = Task { await BenchServer(server).run() }
      write("=" + hex(address) + "\n", to: channel)
      _ = readLine(from: channel)
      task.cancel()
      server.engine.shutdown()
      return true
    }
  }

  // MARK: The socket

  private static func write(_ text: String, to descriptor: CInt) {
    var text = text
    // SAFETY: the string's bytes live for the closure. MSG_NOSIGNAL: a peer that is gone is noticed by the read that follows.
    text.withUTF8 { bytes in unsafe _ = send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL)) }
  }

  /// Without its end; nil when there is none.
  private static func readLine(from descriptor: CInt) -> String? {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while line.count < lineLimit {
      let count = unsafe read(descriptor, &byte, 1)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return nil }
      if byte == 0x0A { return String(decoding: line, as: UTF8.self) }
      line.append(byte)
    }
    return nil
  }

  static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  static func bytes(ofHex text: Substring) -> [UInt8] {
    let digits = text.compactMap { $0.hexDigitValue.map { UInt8($0) } }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}

/// An engine of a measurement.
func benchOptions(_ tls: String?) -> Engine.Options {
  var options = Engine.Options()
  options.name = "bench"
  if let tls { options.settings.append(("TLS", tls)) }
  return options
}
