internal import CausewayBase
internal import CausewayCrypto
internal import CausewayMessagingCore

/// The proof that a side knows the key, over everything that was said.
struct Transcript {
  var client: BootstrapMessage.Hello
  var server: BootstrapMessage.Challenge

  enum Role: UInt8 {
    case client = 1
    case server = 2
  }

  /// HMAC-SHA256 over the label, the role, both versions, both nonces, both names of shared memory, both worker addresses, both connection ids and both places in
  /// memory. The client, who proves first, knows nothing of the server's yet: an empty address and zeros stand for them.
  func code(_ key: MessagingKey, _ role: Role, client: BootstrapMessage.Introduction, server: BootstrapMessage.Introduction?) -> [UInt8] {
    let text = ByteBuffer()
    text.append("causeway messaging 1")
    text.append(role.rawValue)
    for version in [self.client.version, self.server.version] {
      for number in [version.proto, version.ucxMajor, version.ucxMinor, version.ucxPatch] { text.appendBigEndian(number) }
    }
    text.append(self.client.nonce.span)
    text.append(self.server.nonce.span)
    text.append(self.client.server.span)
    text.append(self.client.sharing.span)
    text.append(self.server.sharing.span)
    for introduction in [client, server] {
      let worker = introduction?.worker ?? []
      text.appendBigEndian(UInt32(worker.count))
      text.append(worker.span)
      text.appendBigEndian(introduction?.connection.identifier ?? 0)
      text.appendBigEndian(introduction?.connection.check ?? 0)
      text.appendBigEndian(introduction?.connection.grant ?? 0)
      BootstrapMessage.append(introduction?.memory, text)
      text.append(introduction?.readsPeer == true ? 1 : 0)
    }
    let code = HMACSHA256.authenticate(text.bytes, key: key.secret)
    return code.indices.map { code[$0] }
  }

  static func isSame(_ one: [UInt8], _ other: [UInt8]) -> Bool { constantTimeEqual(one.span, other.span) }
}
