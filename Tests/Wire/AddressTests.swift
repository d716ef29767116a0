import CausewayBase
import CausewayWire
import Testing

@Test(
  "addresses have one canonical text (RFC 5952)",
  arguments: [
    ("1.2.3.4", "1.2.3.4"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
    ("2001:0db8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"), ("2001:db8::0:1", "2001:db8::1"),
    ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
    ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:DB8::ABCD", "2001:db8::abcd"),
    ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::ffff:c000:201", "::ffff:192.0.2.1"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ("fe80::1", "fe80::1"),
    ("0:0:1::", "0:0:1::"),
  ])
func canonicalAddresses(_ text: String, _ expected: String) throws {
  let address = try #require(IPAddress(text))
  #expect(address.description == expected)
  #expect(IPAddress(expected) == address)
  let buffer = ByteBuffer()
  address.append(to: buffer)
  let bytes = buffer.array
  let back = IPAddress(bytes: bytes.span)
  #expect(back == address)
}

@Test(
  "what is no address is refused",
  arguments: [
    "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "01.2.3.4", "1.2.3.04", "0x1.2.3.4", "1.2.3.4 ", " 1.2.3.4",
    "1.2.3.-4",
    ":", ":::", "::1::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::", "1:",
    ":1", "::1:", "1:::2",
    "fe80::1%eth0", "[::1]", "::1.2.3", "::1.2.3.4:5", "::256.1.1.1", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::",
  ])
func refusesAddresses(_ text: String) {
  #expect(IPAddress(text) == nil)
}

@Test("random addresses survive their text", arguments: UInt64(1)...20)
func addressLaw(_ seed: UInt64) {
  var random = SeededRandom(seed: seed)
  for _ in 0..<100 {
    var words: [UInt64] = [0, 0]
    for i in 0..<8 where Bool.random(using: &random) { words[i / 4] |= (random.next() & 0xFFFF) << UInt64(16 * (i % 4)) }
    let address = IPAddress(ipv6High: words[0], low: words[1])
    #expect(IPAddress(address.description) == address)
  }
  let v4 = IPAddress(ipv4: UInt32(truncatingIfNeeded: random.next()))
  #expect(IPAddress(v4.description) == v4)
}

@Test(
  "networks contain what their prefix says",
  arguments: [
    ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false),
    ("1.2.3.4", "1.2.3.4", true), ("1.2.3.4/32", "1.2.3.5", false), ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("::/0", "1.2.3.4", false),
    ("fd00::/8", "fd12::1", true), ("fd00::/8", "fe80::1", false), ("2001:db8::/65", "2001:db8::7fff:0:0:1", true),
    ("2001:db8::/65", "2001:db8::8000:0:0:1", false), ("::1", "::1", true), ("::1/128", "::2", false),
    ("192.168.1.128/25", "192.168.1.127", false),
  ])
func networks(_ network: String, _ address: String, _ expected: Bool) throws {
  let parsed = try IPNetwork(parsing: network)
  let candidate = try #require(IPAddress(address))
  #expect(parsed.contains(candidate) == expected)
  #expect(try IPNetwork(parsing: parsed.description) == parsed)
}

@Test(
  "bad networks say what is wrong",
  arguments: [
    ("10.0.0.0/33", .invalidNetwork("10.0.0.0/33")), ("10.0.0.0/", .invalidNetwork("10.0.0.0/")),
    ("10.0.0.0/-1", .invalidNetwork("10.0.0.0/-1")),
    ("10.0.0.0/08", .invalidNetwork("10.0.0.0/08")), ("x/8", .invalidNetwork("x/8")), ("", .invalidNetwork("")),
    ("::/129", .invalidNetwork("::/129")),
    ("10.0.0.1/8", .hostBitsSet("10.0.0.1/8", suggestion: "10.0.0.0/8")),
    ("2001:db8::1/64", .hostBitsSet("2001:db8::1/64", suggestion: "2001:db8::/64")),
  ] as [(String, AddressError)])
func refusesNetworks(_ text: String, _ error: AddressError) {
  let result = outcome { () throws(AddressError) -> IPNetwork in try IPNetwork(parsing: text) }
  #expect(result == .failure(error))
}

@Test(
  "host and port",
  arguments: [
    ("localhost:80", nil, "localhost:80"), ("LOCALHOST.:80", nil, "localhost:80"), ("127.0.0.1:0", nil, "127.0.0.1:0"),
    ("[::1]:80", nil, "[::1]:80"),
    ("[0:0::1]:65535", nil, "[::1]:65535"), ("example.org", 443, "example.org:443"), ("[::1]", 443, "[::1]:443"),
    ("my_host-1.x:8", nil, "my_host-1.x:8"),
  ] as [(String, UInt16?, String)])
func hostPorts(_ text: String, _ defaultPort: UInt16?, _ expected: String) throws {
  let parsed = try HostPort(parsing: text, defaultPort: defaultPort)
  #expect(parsed.description == expected)
  #expect(try HostPort(parsing: parsed.description) == parsed)
}

@Test(
  "bad hosts and ports say what is wrong",
  arguments: [
    ("", .empty), ("localhost", .portMissing("localhost")), ("localhost:", .invalidPort("localhost:")),
    ("localhost:65536", .invalidPort("localhost:65536")),
    ("localhost:-1", .invalidPort("localhost:-1")), ("localhost:8o", .invalidPort("localhost:8o")), (":80", .invalidHost(":80")),
    ("a b:80", .invalidHost("a b:80")),
    ("::1", .bracketsMissing("::1")), ("::1:80", .bracketsMissing("::1:80")), ("a:b:80", .invalidHost("a:b:80")),
    ("[::1", .invalidHost("[::1")),
    ("[::1]80", .invalidHost("[::1]80")), ("[1.2.3.4]:80", .invalidHost("[1.2.3.4]:80")), ("u:p@h:80", .userInformation),
    ("a..b:1", .invalidHost("a..b:1")),
  ] as [(String, AddressError)])
func refusesHostPorts(_ text: String, _ error: AddressError) {
  let result = outcome { () throws(AddressError) -> HostPort in try HostPort(parsing: text) }
  #expect(result == .failure(error))
}

@Test(
  "URLs",
  arguments: [
    ("http://localhost", "http://localhost", "", 80), ("HTTPS://Example.ORG:443/a%20b?c=d", "https://example.org", "/a%20b?c=d", 443),
    ("http://[::1]:8080/", "http://[::1]:8080", "/", 8080), ("https://a?b", "https://a", "/?b", 443),
    ("http://127.0.0.1:443", "http://127.0.0.1:443", "", 443),
    ("http://[::1]", "http://[::1]", "", 80), ("unix:/run/a.sock", "unix:/run/a.sock", "/run/a.sock", 80),
    ("unix:////run/a", "unix:/run/a", "/run/a", 80),
    ("unix:///run/a b.sock", "unix:/run/a b.sock", "/run/a b.sock", 80),
  ] as [(String, String, String, UInt16)])
func urls(_ text: String, _ origin: String, _ path: String, _ port: UInt16) throws {
  let url = try ServerURL(parsing: text)
  #expect(url.origin == origin)
  #expect(url.path == path)
  #expect(url.address.port == port)
  #expect(try ServerURL(parsing: url.description) == url)
}

@Test(
  "bad URLs say what is wrong and show no password",
  arguments: [
    ("", .empty), ("localhost:80", .unknownScheme("localhost:80")), ("ftp://a", .unknownScheme("ftp://a")),
    ("http://", .invalidHost("http://")),
    ("http:///a", .invalidHost("http:///a")), ("http://u:p@a/", .userInformation), ("http://a/#b", .fragment("http://a/#b")),
    ("http://a/b c", .invalidPath("http://a/b c")), ("http://a/%zz", .invalidPath("http://a/%zz")),
    ("http://a/%2", .invalidPath("http://a/%2")),
    ("http://a:0/", .invalidPort("http://a:0/")), ("http://a/é", .invalidPath("http://a/é")), ("unix:", .unixPathMissing("unix:")),
    ("unix:/", .unixPathMissing("unix:/")),
    ("unix:///", .unixPathMissing("unix:///")), ("unix://host/a", .unixPathMissing("unix://host/a")),
    ("unix:a", .unixPathMissing("unix:a")),
  ] as [(String, AddressError)])
func refusesURLs(_ text: String, _ error: AddressError) {
  let result = outcome { () throws(AddressError) -> ServerURL in try ServerURL(parsing: text) }
  #expect(result == .failure(error))
  #expect(!error.description.contains("\n") && !error.description.contains("u:p"))
}

@Test("messages hide what stands before an at sign, and control characters")
func messagesAreClean() {
  #expect(!AddressError.invalidHost("user:secret@host").description.contains("secret"))
  #expect(!AddressError.invalidHost("a\nb").description.contains("\n"))
}
