internal import CausewayBase
internal import CausewayCrypto
package import CausewaySupport
package import CausewayTunnelCore

/// `-a`: what visitors must bring, as the salted hash that the relay checks. The password stays in this process and in no message.
package enum VisitorPassword {
  /// - Parameters:
  ///   - text: `USER:PASS`, or `@FILE` with one such line.
  ///   - place: What messages call it.
  ///   - folder: What a relative FILE is relative to; nil for the working folder.
  /// - Returns: The hash, and a warning when the file is open to others.
  package static func hash(
    _ text: String, _ place: String, folder: String? = nil
  ) throws(CommandFailure) -> (auth: TunnelRequest.BasicAuth, warning: String?) {
    guard text.hasPrefix("@") else { return (try hash(credential: text, place), nil) }
    var path = String(text.dropFirst())
    if path.isEmpty { throw .usage("\(place): no file behind '@'") }
    if let folder, !path.hasPrefix("/") { path = folder + "/" + path }
    let content: [UInt8]?
    do throws(FileError) { content = try PrivateFile.read(path, isSecret: false) } catch {
      throw CommandFailure(.configuration, "\(place): \(error)")
    }
    guard let content else { throw CommandFailure(.configuration, "\(place): \(path.printable): no such file") }
    guard let line = SecretText.firstLine(of: content) else {
      throw .usage("\(path.printable): more than one line, where USER:PASS is expected")
    }
    return (try hash(credential: line, path.printable), SecretText.warning(aboutFile: path))
  }

  static func hash(credential: String, _ place: String) throws(CommandFailure) -> TunnelRequest.BasicAuth {
    guard let colon = credential.firstIndex(of: ":") else { throw .usage("\(place): expected USER:PASS, got no colon") }
    guard colon != credential.startIndex, credential.index(after: colon) != credential.endIndex else {
      throw .usage("\(place): expected USER:PASS, got an empty user or password")
    }
    guard credential.utf8.count <= PasswordVerifier.maximumCredentialByteCount else {
      throw .usage("\(place): longer than \(PasswordVerifier.maximumCredentialByteCount) bytes")
    }
    // RFC 7617 §2: browsers cannot send them.
    guard credential.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw .usage("\(place): control characters in USER:PASS") }
    let salt: InlineArray<16, UInt8> = SecureRandom.bytes()
    let bytes = Array(credential.utf8)
    let verifier = PasswordVerifier(credential: bytes.span, salt: salt)
    return TunnelRequest.BasicAuth(
      salt: salt.indices.map { salt[$0] }, iterations: verifier.iterations, hash: verifier.hash.indices.map { verifier.hash[$0] })
  }
}
