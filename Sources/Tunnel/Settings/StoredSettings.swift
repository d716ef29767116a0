internal import CausewayBase
package import CausewaySupport
internal import CausewayWire

/// The client's own file for the commands that show and change it.
package enum StoredSettings {
  /// The server as a client would choose it, without a causeway.yml.
  package static func server(_ flag: Sourced<String>?, _ environment: Environment, path: String) throws(CommandFailure) -> ServerChoice {
    var candidates = [flag, environment["CAUSEWAY_SERVER"].map { Sourced($0, from: .environment("CAUSEWAY_SERVER")) }]
    if !candidates.contains(where: { $0 != nil }) {
      candidates.append(try ClientConfiguration.load(path).sourcedServer)
    }
    return try ServerChoice(candidates)
  }

  /// Changes the file under its lock; what it held besides stays, comments aside.
  package static func update(_ path: String, _ change: (inout ClientConfiguration) -> Void) throws(CommandFailure) {
    do throws(PrivateFile.UpdateError<YAMLError>) {
      try PrivateFile.update(path) { (content: [UInt8]?) throws(YAMLError) -> [UInt8] in
        var configuration =
          try content.map { content throws(YAMLError) in try ClientConfiguration(parsing: content, file: path) } ?? ClientConfiguration()
        change(&configuration)
        return Array(configuration.yaml.utf8)
      }
    } catch {
      switch error {
      case .file(let error): throw CommandFailure(error)
      case .change(let error): throw CommandFailure(error)
      }
    }
  }

  /// `causeway config` without arguments.
  package static func report(_ configuration: ClientConfiguration, _ server: ServerChoice, path: String, json isJSON: Bool) -> String {
    let origin =
      switch server.origin {
      case .file: "configuration"
      default: server.origin.description
      }
    let hasToken = configuration.token(of: server.url) != nil
    guard isJSON else {
      var text = "file: \(path)\nserver: \(server.url.origin) (\(origin))\n"
      for entry in configuration.tokens { text += "token: stored for \(entry.origin.printable)\n" }
      if !hasToken { text += "token: none for \(server.url.origin)\n" }
      return text
    }
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    json.object { json in
      json.member("file", path)
      json.member("server", server.url.origin)
      json.member("server_from", origin)
      json.key("tokens_for")
      json.array { json in for entry in configuration.tokens { json.value(entry.origin) } }
    }
    json.finishLine()
    // SAFETY: the bytes live for the closure.
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
