import CausewaySupport
import CausewayWire
import Testing

@testable import CausewayBond

@Suite struct NameServersTests {
  @Test("resolvconf before resolvectl; neither is an error that says what to install")
  func choice() throws {
    #expect(try NameServers.choose { $0 == "/usr/sbin/resolvconf" || $0 == "/usr/bin/resolvectl" } == .resolvconf)
    #expect(try NameServers.choose { $0 == "/usr/bin/resolvectl" } == .resolvectl)
    do throws(CommandFailure) {
      _ = try NameServers.choose { _ in false }
      Issue.record("chosen")
    } catch { #expect(error.message.contains("apt install openresolv")) }
  }

  @Test(
    "Debian's resolvconf orders by the first wildcard of its list",
    arguments: [
      ("lo.inet6\nlo.@(dhclient|pump)\n@(br)*([^.])\ntun*\nppp*\n", "tun.wg0"), ("lo\neth0\n", "wg0"), ("", "wg0"), ("*\n", "wg0"),
    ])
  func order(_ text: String, _ name: String) { #expect(NameServers.resolvconfName("wg0", order: text) == name) }

  @Test("a journal's entry reads back, whatever it undoes")
  func entries() throws {
    let entries = [
      UndoEntry(commands: ["a \"b\"\n", "c"]), UndoEntry(.link), UndoEntry(DefaultRouteRule(.suppressDefault, .v6, table: 51820)),
      UndoEntry(.resolvectl as DNSTool), UndoEntry(control: "ipv4/conf/all/rp_filter", value: "1"),
    ]
    for entry in entries {
      let again = try UndoEntry(json: try JSONValue(parsing: entry.jsonText))
      #expect(again == entry && !entry.jsonText.contains("\n"))
    }
  }
}
