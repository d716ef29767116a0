import CausewayBase
import CausewaySupport
import Testing

@testable import CausewayBond

/// Broken input of every kind: an error or a value, never a trap, and never a secret in an error.
@Suite struct MutationTests {
  static func mutated(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
      let index = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes.remove(at: index)
      case 2: bytes.insert(contentsOf: bytes[index..<min(bytes.count, index + 20)], at: index)
      default: bytes.removeLast(min(bytes.count, Int.random(in: 1...30, using: &random)))
      }
    }
    return bytes
  }

  static let file = """
    [Interface]
    PrivateKey = \(privateKeyText)
    Address = 10.0.0.1/24, fd00::1/64
    FwMark = 0x1f
    DNS = 1.1.1.1, corp.example
    PostUp = echo %i
    Threads = 1
    [Peer]
    PublicKey = \(publicKeyText)
    AllowedIPs = 10.0.0.0/8, ::/0
    PersistentKeepalive = 25
    Path = box.example:51820 via eth0 rate=50mbit/10mbit name=a weight=7
    Path = [2001:db8::7]:443 backup tcp via 2001:db8::1
    """

  @Test("configurations", arguments: [UInt64(1), 2, 3])
  func configurations(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var taken = 0
    for _ in 0..<1500 {
      let ini = ConfigurationFile(path: "wg0.conf", bytes: Self.mutated(Array(Self.file.utf8), &random))
      do throws(PlacedError) {
        let bond = try WireGuardReader.read(ini)
        _ = Explanation.lines(bond)
        _ = bond.steps(mark: 1, dns: .resolvectl, strictFilter: true)
        taken += 1
      } catch { #expect(!error.description.contains(privateKeyText.prefix(20)), "\(error)") }
      let json = ConfigurationFile(path: "m.json", bytes: Self.mutated(Array(MultipathReaderTests.client.utf8), &random))
      do throws(PlacedError) { _ = try MultipathReader.read(json) { _, _, _ in .forTests(7) } } catch {
        #expect(!error.description.contains(MultipathReaderTests.secret.prefix(20)), "\(error)")
      }
    }
    #expect(taken > 0 && taken < 1500)
  }

  @Test("messages between parent and child", arguments: [UInt64(1), 2])
  func messages(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let lines = [
      WorkerMessageTests.line(.configure(try WorkerMessageTests.configuration(), timestamp: [UInt8](repeating: 1, count: 12))),
      WorkerMessageTests.line(.status(id: 1, StatusTests.status)),
    ]
    for _ in 0..<1500 {
      for line in lines {
        let broken = Self.mutated(line, &random)
        if case .status(_, let status)? = try? WorkerMessage(line: broken.span) {
          _ = StatusTable.lines(status, history: StatusHistory())
          _ = BondMetrics.text(status)
        }
      }
    }
  }
}
