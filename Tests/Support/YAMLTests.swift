import CausewaySupport
import Testing

@Suite struct YAMLTests {
  func parse(_ text: String) throws(YAMLError) -> YAMLNode { try YAMLDocument.parse(text, file: "f.yml") }

  @Test func readsATreeInOrder() throws {
    let root = try parse("b: 1\na:\n  - x\n  - y: 'no'\n    z: ~\n")
    let map = try root.mapping(keys: ["a", "b"])
    #expect(map.entries.map(\.key) == ["b", "a"])
    #expect(try map.required("b").integer(in: 0...9) == 1)
    let items = try map.required("a").sequence()
    #expect(try items[0].string() == "x")
    let inner = try items[1].mapping(keys: ["y", "z"])
    #expect(try inner.required("y").string() == "no")
    #expect(inner.optional("z")?.isNull == true)
    #expect(inner.optional("z")?.path == "a[1].z")
    #expect(inner.optional("z")?.place == .init(line: 5, column: 8))
    #expect(inner.optional("y")?.origin.description == "f.yml:4:8: key 'a[1].y'")
  }

  @Test func anEmptyFileIsAnEmptyMapping() throws {
    for text in ["", "# nothing\n", "---\n", "~"] { #expect(try parse(text).mapping(keys: ["a"]).entries.isEmpty) }
  }

  @Test func aliasesRepeatTheirAnchor() throws {
    let map = try parse("a: &x [1, 2]\nb: *x\n").mapping(keys: ["a", "b"])
    #expect(try map.required("b").sequence().map { node throws(YAMLError) in try node.integer(in: 0...9) } == [1, 2])
  }

  @Test(
    "broken files name their place",
    arguments: [
      ("a: 1\na: 2", "f.yml:2:1: key 'a': given twice, first in line 1"),
      ("t:\n  - x: 1\n    x: 2", "f.yml:3:5: key 't[0].x': given twice, first in line 2"),
      ("a: [1, 2", "f.yml:2:1: broken YAML: did not find expected ',' or ']' while parsing a flow sequence (begun in line 1)"),
      ("a:\n\tb: 1", "f.yml:2:1: broken YAML: found character that cannot start any token while scanning for the next token"),
      ("a: \"x", "f.yml:1:6: broken YAML: found unexpected end of stream while scanning a quoted scalar (begun in line 1)"),
      ("a: *x", "f.yml:1:4: key 'a': unknown alias '*x'"),
      ("a: &x [*x]", "f.yml:1:8: key 'a[0]': unknown alias '*x'"),
      ("a: !!int 3", "f.yml:1:4: tags ('tag:yaml.org,2002:int') have no meaning here"),
      ("a: 1\n---\nb: 2", "f.yml:3:1: a second document: one file holds one"),
      ("[a]: 1", "f.yml:1:1: a key must be a plain text"),
      ("a: 1\nb: \u{1}", "f.yml:2:4: broken YAML: control characters are not allowed"),
      ("a: b: c", "f.yml:1:5: broken YAML: mapping values are not allowed in this context"),
    ])
  func broken(_ text: String, _ message: String) {
    let error = #expect(throws: YAMLError.self) { try parse(text) }
    #expect(error?.description == message)
  }

  @Test func invalidUTF8HasAPlace() {
    let error = #expect(throws: YAMLError.self) {
      try YAMLDocument.parse([0x61, 0x3A, 0x20, 0x31, 0x0A, 0x62, 0x3A, 0x20, 0xFF], file: "f")
    }
    #expect(error?.description.hasPrefix("f:2:4: broken YAML: ") == true)
  }

  /// What each accessor says to what doesn't fit.
  @Test(
    "wrong values name key, expectation and what is there",
    arguments: [
      ("port", "v: abc", "f.yml:1:4: key 'v': expected a port 1-65535, got 'abc'"),
      ("port", "v: 0", "f.yml:1:4: key 'v': expected a port 1-65535, got '0'"),
      ("port", "v: 65536", "f.yml:1:4: key 'v': expected a port 1-65535, got '65536'"),
      ("port", "v: +5", "f.yml:1:4: key 'v': expected a port 1-65535, got '+5'"),
      ("port", "v: 99999999999999999999", "f.yml:1:4: key 'v': expected a port 1-65535, got '99999999999999999999'"),
      ("port", "v: [1]", "f.yml:1:4: key 'v': expected a port 1-65535, got a list"),
      ("port", "v:", "f.yml:1:3: key 'v': expected a port 1-65535, got nothing"),
      ("string", "v: {a: 1}", "f.yml:1:4: key 'v': expected a text, got a mapping"),
      ("string", "v: ''", "f.yml:1:4: key 'v': expected a text, got ''"),
      ("string", "v: null", "f.yml:1:4: key 'v': expected a text, got nothing"),
      ("boolean", "v: yes", "f.yml:1:4: key 'v': expected true or false, got 'yes'"),
      ("duration", "v: 5 parsecs", "f.yml:1:4: key 'v': expected a duration like 30s, 250ms, 5m, 12h or 7d, got '5 parsecs'"),
      ("duration", "v: 30", "f.yml:1:4: key 'v': expected a duration like 30s, 250ms, 5m, 12h or 7d, got '30'"),
      ("byteCount", "v: 1GB", "f.yml:1:4: key 'v': expected a size like 512, 64KiB, 16MiB or 1GiB, got '1GB'"),
      (
        "byteCount", "v: 9223372036854775807KiB",
        "f.yml:1:4: key 'v': expected a size like 512, 64KiB, 16MiB or 1GiB, got '9223372036854775807KiB'"
      ),
      ("oneOf", "v: htp", "f.yml:1:4: key 'v': expected http or tcp, got 'htp', did you mean 'http'?"),
      ("oneOf", "v: quic", "f.yml:1:4: key 'v': expected http or tcp, got 'quic'"),
      ("sequence", "v: 1", "f.yml:1:4: key 'v': expected a list, got '1'"),
      ("mapping", "v: 1", "f.yml:1:4: key 'v': expected a mapping (key: value), got '1'"),
      ("mapping", "v:\n  nam: 1", "f.yml:2:3: key 'v.nam': unknown key, did you mean 'name'?"),
      ("mapping", "v:\n  zzz: 1", "f.yml:2:3: key 'v.zzz': unknown key; known are name"),
      ("required", "v: {}", "f.yml:1:4: key 'v': the key 'name' is missing"),
      ("secret", "v: [s3cret]", "f.yml:1:4: key 'v': expected a text, got a list"),
      ("string", "v: [\"\\e[31m\"]", "f.yml:1:4: key 'v': expected a text, got a list"),
      ("port", "v: \"\\e[31m\"", "f.yml:1:4: key 'v': expected a port 1-65535, got '\\x1b[31m'"),
      ("items", "v:\n  - 1\n  - x", "f.yml:3:5: key 'v[1]': expected a port 1-65535, got 'x'"),
    ])
  func wrongValues(_ accessor: String, _ text: String, _ message: String) {
    let error = #expect(throws: YAMLError.self) {
      let value = try parse(text).mapping(keys: ["v"]).required("v")
      switch accessor {
      case "port": _ = try value.port()
      case "string": _ = try value.string()
      case "secret": _ = try value.secret()
      case "boolean": _ = try value.boolean()
      case "duration": _ = try value.duration()
      case "byteCount": _ = try value.byteCount()
      case "oneOf": _ = try value.oneOf(["http", "tcp"])
      case "sequence": _ = try value.sequence()
      case "mapping": _ = try value.mapping(keys: ["name"])
      case "required": _ = try value.mapping(keys: ["name"]).required("name")
      default: for item in try value.sequence() { _ = try item.port() }
      }
    }
    #expect(error?.description == message)
  }

  @Test(
    "durations and sizes",
    arguments: [("0s", 0), ("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("12h", 43_200_000), ("7d", 604_800_000)])
  func durations(_ text: String, _ milliseconds: Int) throws {
    #expect(try parse("v: \(text)").mapping().required("v").duration() == .milliseconds(milliseconds))
  }

  @Test("sizes", arguments: [("512", 512), ("64KiB", 65536), ("16 MiB", 16 << 20), ("1GiB", 1 << 30), ("5B", 5)])
  func sizes(_ text: String, _ count: Int) throws {
    #expect(try parse("v: \(text)").mapping().required("v").byteCount() == count)
  }

  @Test func oneTextOrAList() throws {
    #expect(try parse("v: a").mapping().required("v").strings() == ["a"])
    #expect(try parse("v: [a, b]").mapping().required("v").strings() == ["a", "b"])
  }

  @Test func depthIsBounded() throws {
    func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + "1" + String(repeating: "]", count: depth) }
    _ = try parse(nested(YAMLDocument.maximumDepth - 1))
    #expect(throws: YAMLError.self) { try parse(nested(YAMLDocument.maximumDepth)) }
    #expect(throws: YAMLError.self) { try parse(nested(100_000)) }
    // Depth also counts through aliases.
    let half = YAMLDocument.maximumDepth / 2
    #expect(throws: YAMLError.self) {
      try parse("a: &x \(nested(half))\nb: \(String(repeating: "[", count: half))*x\(String(repeating: "]", count: half))")
    }
  }

  @Test func billionLaughsAreRefused() {
    var text = "a: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    for level in 1...9 { text += "b\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ") + "]\n" }
    let error = #expect(throws: YAMLError.self) { try parse(text) }
    #expect(error?.reason == "more than 20000 values, repeated ones included")
  }

  @Test func sizeIsBounded() throws {
    let line = "#" + String(repeating: "x", count: 1022) + "\n"
    _ = try parse(String(repeating: line, count: 1024))
    #expect(throws: YAMLError.self) { try parse(String(repeating: line, count: 1025)) }
    #expect(throws: YAMLError.self) { try parse("[" + String(repeating: "1,", count: 20_000) + "]") }
  }

  @Test(
    "texts survive writing and reading",
    arguments: [
      "plain", "no", "true", "1e3", "null", "~", "a: b", "# x", " lead", "trail ", "two\nlines", "tab\t", "\"quoted\"", "it's", "\\", "ü€😀",
      "*x", "&x",
      "!t", "%", "@", "- a", "[", "{", String(repeating: "long ", count: 100), "\u{7F}\u{1}",
    ])
  func writing(_ text: String) throws {
    let written = YAMLWriter.text(.mapping([(text, .text(text)), ("list", .sequence([.text(text), .integer(-5), .boolean(true)]))]))
    let map = try parse(written).mapping()
    #expect(map.entries.map(\.key) == [text, "list"])
    #expect(try map.entries[0].value.string() == text)
    let items = try map.required("list").sequence()
    #expect(try items[0].string() == text)
    #expect(try items[1].integer(in: -9...9) == -5)
    #expect(try items[2].boolean())
  }
}
