import CausewayBase
import Testing

@testable import CausewayLinuxIO

@Suite struct SocketAddressTests {
  @Test(
    "text and address agree both ways",
    arguments: [
      ("1.2.3.4:80", "1.2.3.4", 80, false), ("127.0.0.1:0", "127.0.0.1", 0, true), ("127.255.255.254:1", "127.255.255.254", 1, true),
      ("128.0.0.1:65535", "128.0.0.1", 65535, false), ("[::1]:443", "::1", 443, true), ("[::]:1", "::", 1, false),
      ("[2001:db8::5]:8080", "2001:db8::5", 8080, false), ("[fe80::1%1]:5", "fe80::1%1", 5, false),
    ] as [(String, String, UInt16, Bool)])
  func text(_ text: String, host: String, port: UInt16, isLoopback: Bool) throws {
    let address = try #require(SocketAddress(text))
    #expect(address.description == text)
    #expect(address.host == host)
    #expect(address.port == port)
    #expect(address.isLoopback == isLoopback)
    #expect(address == SocketAddress(literal: host, port: port))
    let buffer = ByteBuffer()
    address.appendHost(to: buffer)
    let written = buffer.count
    #expect(written == host.utf8.count)
  }

  @Test(
    "what is no address is nil",
    arguments: [
      "", ":80", "1.2.3.4", "1.2.3:80", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4: 1", "::1:80", "[::1]", "[::1:80", "[]:1",
      "[1.2.3.4]:1",
      "example.org:80", "01.2.3.4:80", "1.2.3.4:８０", "[::1%]:1", "[::1%nosuchlink]:1", "unix:", "\0:1",
      "1111111111111111111111111111111111111111111111111111111111111111111111111111111111:1",
    ])
  func malformed(_ text: String) { #expect(SocketAddress(text) == nil) }

  @Test("a mapped IPv4 address shows as IPv4, and is equal to it once unmapped")
  func mapped() throws {
    let mapped = SocketAddress.ipv6(high: 0, low: 0xFFFF_7F00_0001, port: 80)
    #expect(mapped.description == "127.0.0.1:80")
    #expect(mapped.isLoopback)
    #expect(mapped.ipv4 == 0x7F00_0001)
    #expect(mapped != .loopback4(port: 80))
    #expect(mapped.unmapped == .loopback4(port: 80))
    #expect(SocketAddress.loopback6(port: 1).unmapped == .loopback6(port: 1))
    #expect(SocketAddress.loopback6(port: 1).ipv4 == nil)
    #expect(SocketAddress.any4(port: 1).isAny && SocketAddress.any6(port: 1).isAny && !mapped.isAny)
    let bytes = SocketAddress.ipv4(0x0102_0304, port: 0).mappedBytes
    #expect((0..<16).map { bytes[$0] } == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4])
  }

  @Test(
    "a host with its port reads back, in brackets where it has colons",
    arguments: [("a.example", "a.example:80"), ("1.2.3.4", "1.2.3.4:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80")])
  func withPort(_ host: String, _ expected: String) { #expect(SocketAddress.text(host: host, port: 80) == expected) }

  @Test("a unix path is at most 107 bytes, not empty, without NUL")
  func unix() {
    #expect(SocketAddress("unix:/run/x")?.path == "/run/x")
    #expect(SocketAddress.unix("/run/x")?.description == "unix:/run/x")
    #expect(SocketAddress.unix("/run/x")?.isLoopback == true)
    #expect(SocketAddress.unix(String(repeating: "a", count: 107)) != nil)
    #expect(SocketAddress.unix(String(repeating: "a", count: 108)) == nil)
    #expect(SocketAddress.unix("") == nil)
    #expect(SocketAddress.unix("a\0b") == nil)
  }
}
