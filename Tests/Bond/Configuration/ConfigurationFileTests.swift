import CausewaySupport
import Testing

@testable import CausewayBond

@Suite struct ConfigurationFileTests {
  @Test("a word with a slash or an ending is a path, another is looked up in order")
  func locates() throws {
    let present: Set<String> = ["/b/wg0.conf", "/a/wg0.json", "/b/wg1.conf"]
    func find(_ word: String) throws -> String {
      try ConfigurationFile.locate(word, folders: ["/a", "/b"]) { present.contains($0) }
    }
    #expect(try find("./x") == "./x")
    #expect(try find("x.conf") == "x.conf")
    #expect(try find("wg0") == "/a/wg0.json")
    #expect(try find("wg1") == "/b/wg1.conf")
    #expect(throws: CommandFailure.self) { try find("wg2") }
    #expect(throws: CommandFailure.self) { try find("no name") }
  }

  @Test(
    "commands run only from a file that nobody else can have written",
    arguments: [
      (0, 0o644, true), (1000, 0o600, true), (1001, 0o600, false), (0, 0o664, false), (1000, 0o602, false), (1000, 0, true),
    ] as [(UInt32, UInt32, Bool)])
  func commands(_ owner: UInt32, _ mode: UInt32, _ may: Bool) {
    let file = ConfigurationFile(path: "f", bytes: [], mode: mode, owner: owner)
    #expect(file.mayHoldCommands(user: 1000) == may)
  }

  @Test(
    "rates have a unit and are powers of 1000",
    arguments: [
      ("1kbit", 1000), ("20mbit", 20_000_000), ("2.5Mbit", 2_500_000), ("1gbit", 1_000_000_000), ("64000bit", 64000), ("20", nil),
      ("mbit", nil),
      ("-1mbit", nil), ("1.mbit", nil), ("1e3mbit", nil), ("999bit", nil), ("1001gbit", nil), ("", nil), ("20mbyte", nil),
    ] as [(String, UInt64?)])
  func rates(_ text: String, _ rate: UInt64?) { #expect(Rate.parse(text) == rate) }

  @Test("a check explains every path, the scheduler and what is odd, and shows no private key")
  func explains() throws {
    let bond = try wireGuard(
      """
      [Interface]
      PrivateKey = \(privateKeyText)
      Address = 10.0.0.2/24
      PostUp = echo %i
      Scheduler = redundant
      [Peer]
      PublicKey = \(publicKeyText)
      AllowedIPs = 0.0.0.0/0
      Path = box:1 via eth0 rate=20mbit/5mbit
      Path = box:1 via wwan0 tcp backup weight=3
      """, mode: 0o644)
    let lines = Explanation.lines(bond)
    let text = lines.joined(separator: "\n")
    for part in [
      "makes the interface wg0", "Scheduler redundant: every packet goes over every path",
      "eth0: UDP to box:1, out of eth0 only, at most 20 Mbit/s up",
      "wwan0: TCP to box:1", "weight 3, only when no other path works", "Becomes the default route", "bash runs: echo wg0",
      "warning: wg0.conf: holds private keys",
    ] { #expect(text.contains(part), "\(part) in\n\(text)") }
    #expect(!text.contains(privateKeyText))
  }
}
