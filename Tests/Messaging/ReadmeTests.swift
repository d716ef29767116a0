import Glibc
import Testing

/// The README's example is a program of the tests, byte for byte.
@Suite struct ReadmeTests {
  static let repository = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

  static func text(_ path: String) throws -> String {
    let file = unsafe fopen("\(repository)/\(path)", "r")
    guard let file = unsafe file else { throw Failed(errno) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = unsafe fgetc(file), byte >= 0 { bytes.append(UInt8(byte)) }
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test("the README's Swift is the example's, in ten lines")
  func text() throws {
    let blocks = try Self.text("README.md").split(separator: "```swift\n").dropFirst().compactMap { $0.split(separator: "```").first }
    let example = try Self.text("Tests/MessagingExample/main.swift")
    #expect(blocks.map(String.init) == [example])
    #expect(example.split(separator: "\n", omittingEmptySubsequences: false).count <= 11)
  }

  @Test("the example runs and prints what it sent")
  func runs() throws {
    let peer = try Peer(program: "messaging-example")
    #expect(peer.line() == "7 5 hello")
  }
}
