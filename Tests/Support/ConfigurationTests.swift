import CausewaySupport
import Glibc
import Testing

@Suite struct ConfigurationTests {
  @Test func writesAndReadsItself() throws {
    var configuration = ClientConfiguration()
    configuration.server = "https://relay.example.com"
    configuration.setToken("t: #1", for: "https://relay.example.com")
    configuration.setToken("two", for: "http://127.0.0.1:8080")
    #expect(
      configuration.yaml
        == "server: \"https://relay.example.com\"\ntokens:\n  \"https://relay.example.com\": \"t: #1\"\n  \"http://127.0.0.1:8080\": \"two\"\n"
    )
    #expect(try ClientConfiguration(parsing: Array(configuration.yaml.utf8), file: "f") == configuration)
    #expect(configuration.token(for: "http://127.0.0.1:8080") == "two")
    #expect(configuration.token(for: "http://127.0.0.1") == nil)
    configuration.setToken(nil, for: "http://127.0.0.1:8080")
    #expect(configuration.token(for: "http://127.0.0.1:8080") == nil)
    #expect(ClientConfiguration().yaml == "")
  }

  @Test(
    "a broken file never shows a token",
    arguments: [
      ("tokens: S3CRET", "f:1:9: key 'tokens': expected a mapping (key: value), got 'S3CRET'"),
      ("tokens: {S3CRET}", "f:1:10: key 'tokens': expected SERVER-URL: TOKEN"),
      ("tokens: {\"https://a\": [S3CRET]}", "f:1:10: key 'tokens': expected SERVER-URL: TOKEN"),
      ("tokens: [S3CRET]", "f:1:9: key 'tokens': expected a mapping (key: value), got a list"),
      ("sever: x", "f:1:1: key 'sever': unknown key, did you mean 'server'?"),
    ])
  func brokenTokens(_ text: String, _ message: String) {
    let error = #expect(throws: YAMLError.self) { try ClientConfiguration(parsing: Array(text.utf8), file: "f") }
    #expect(error?.description == message.replacing("got 'S3CRET'", with: "got something else (not shown)"))
  }

  @Test func secretFilesMustBePrivate() throws {
    let folder = TemporaryFolder()
    #expect(try PrivateFile.read(folder.path + "/none", isSecret: true) == nil)
    #expect(try PrivateFile.read(folder.path + "/none/none", isSecret: true) == nil)
    let file = folder.write("config", "x", mode: 0o640)
    let error = #expect(throws: FileError.self) { try PrivateFile.read(file, isSecret: true) }
    #expect(error?.description == "\(file): holds secrets and others can read it; run: chmod 600 '\(file)'")
    #expect(try PrivateFile.read(file, isSecret: false) == [0x78])
    folder.write("config", "y", mode: 0o600)
    #expect(try PrivateFile.read(file, isSecret: true) == [0x79])
    #expect(throws: FileError.self) { try PrivateFile.read(folder.path, isSecret: false) }
  }

  @Test func updateMakesFoldersAndKeepsModes() throws {
    let folder = TemporaryFolder()
    let path = folder.path + "/a/b/config.yaml"
    try PrivateFile.update(path) { (present) throws(FileError) in
      #expect(present == nil)
      return Array("one".utf8)
    }
    try PrivateFile.update(path) { (present) throws(FileError) in (present ?? []) + Array(" two".utf8) }
    #expect(folder.read("a/b/config.yaml") == "one two")
    #expect(folder.mode("a/b/config.yaml") == "600")
    #expect(folder.mode("a") == "700")
    // A change that fails leaves everything as it was.
    #expect(throws: (any Error).self) {
      try PrivateFile.update(path) { (_) throws(FileError) in throw FileError(path: "x", reason: "no") }
    }
    #expect(folder.read("a/b/config.yaml") == "one two")
    #expect(shell("ls -A \(folder.path)/a/b | sort").output == "config.yaml\nconfig.yaml.lock\n")
  }

  @Test func updatesOfManyThreadsAllArrive() async throws {
    let folder = TemporaryFolder()
    let path = folder.path + "/counter"
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<20 {
        group.addTask { try? PrivateFile.update(path) { (present) throws(FileError) in (present ?? []) + [0x78] } }
      }
    }
    #expect(folder.read("counter") == String(repeating: "x", count: 20))
  }

  @Test(
    "XDG folders",
    arguments: [
      (["HOME": "/h"], "/h/.config/causeway/config.yaml", "/h/.local/state/causeway/relay"),
      (["HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"], "/c/causeway/config.yaml", "/s/causeway/relay"),
      (
        ["HOME": "/h", "XDG_CONFIG_HOME": "relative", "XDG_STATE_HOME": ""], "/h/.config/causeway/config.yaml",
        "/h/.local/state/causeway/relay"
      ),
      (["HOME": "/"], "/.config/causeway/config.yaml", "/.local/state/causeway/relay"),
    ] as [([String: String], String, String)])
  func folders(_ variables: [String: String], _ config: String, _ state: String) {
    let folders = XDGFolders(.fixed(variables))
    #expect(folders.clientConfiguration == config)
    #expect(folders.relayData == state)
  }
}
