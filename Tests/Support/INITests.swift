import Testing

@testable import CausewaySupport

@Suite struct INITests {
  static func parse(_ text: String) throws(PlacedError) -> INIDocument { try INIDocument(parsing: Array(text.utf8), file: "f") }

  @Test("sections and keys keep their order and case, comments and spaces go")
  func reads() throws {
    let document = try Self.parse("# c\n[A]\nKey = one # c\nkey=two=2\n\n [ b ]\n  Other  =\n")
    #expect(document.sections.map(\.name) == ["A", "b"])
    #expect(document.sections.map(\.line) == [2, 6])
    #expect(document.sections[0].values("KEY").map(\.value) == ["one", "two=2"])
    #expect(document.sections[0].isNamed("a") && document.sections[1].isNamed("B"))
    #expect(document.sections[1].value("other")?.value == "")
    #expect(document.sections[0].values("key").map(\.line) == [3, 4])
  }

  @Test("CR LF and a byte order mark change nothing, not even line numbers")
  func windows() throws {
    let document = try Self.parse("\u{FEFF}[A]\r\nk = v\r\n\r\nz = w")
    #expect(document.sections[0].entries.map { [$0.key, $0.value, String($0.line)] } == [["k", "v", "2"], ["z", "w", "4"]])
  }

  @Test("a column counts characters, of the key or of the value")
  func columns() throws {
    let entry = try #require(try Self.parse("[A]\n  kéy =  välue\n").sections[0].entries.first)
    #expect(entry.error("x").description == "f:2:10: [A] kéy: x")
    #expect(entry.errorAtKey("x").description == "f:2:3: [A] kéy: x")
  }

  @Test(
    "values with a meaning",
    arguments: [("7", 7), ("0x1F", 31), ("off", 0), ("OFF", 0), ("", nil), ("-1", nil), ("101", nil), ("1 2", nil)])
  func integers(_ text: String, _ value: Int?) throws {
    let entry = try Self.parse("[A]\nk = \(text)\n").sections[0].entries[0]
    #expect((try? entry.integer(in: 0...100, zeroWord: "off")) == value)
  }

  @Test("bytes that aren't UTF-8 are refused, not guessed")
  func notText() { #expect(throws: PlacedError.self) { try INIDocument(parsing: [0x5B, 0xFF, 0x5D], file: "f") } }
}

@Suite struct JSONNodeTests {
  @Test("an error has line, column in characters, and the path of the field")
  func places() throws {
    let text = "{\n  \"a\": {\"ü\": [1, \"x\"]},\n  \"b\": true\n}"
    let root = try JSONNode(parsing: Array(text.utf8), file: "f.json").object(keys: ["a", "b"])
    let items = try root.required("a").object(keys: ["ü"]).required("ü").array("a list")
    #expect(throws: PlacedError(file: "f.json", line: 2, column: 18, field: "a.ü[1]", reason: "expected a whole number 0-9, got 'x'")) {
      try items[1].integer(in: 0...9)
    }
    #expect(throws: PlacedError(file: "f.json", line: 3, column: 8, field: "b", reason: "expected a text, got true")) {
      try root.required("b").string()
    }
    #expect(throws: PlacedError(file: "f.json", line: 3, column: 8, field: "b", reason: "expected a text, got something else (not shown)"))
    {
      try root.required("b").string(isSecret: true)
    }
  }

  @Test("an unknown field offers the closest, null counts as absent, broken text has a place")
  func structure() throws {
    let node = try JSONNode(parsing: Array("{\"wieght\": null}".utf8), file: "f")
    #expect(throws: PlacedError(file: "f", line: 1, column: 2, field: "wieght", reason: "unknown field, did you mean 'weight'?")) {
      try node.object(keys: ["weight"])
    }
    #expect(try node.object(keys: ["wieght"]).optional("wieght") == nil)
    #expect(throws: PlacedError(file: "f", line: 2, column: 1, reason: "broken JSON: expected a key")) {
      try JSONNode(parsing: Array("{\n}]".utf8.prefix(2) + Array(",".utf8)), file: "f")
    }
  }
}

@Suite struct JSONRecordTests {
  private struct Inner: JSONRecord, Equatable {
    var flag = false
    mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) { try json.field("flag", &flag) }
  }
  private enum Word: String { case one, two }
  private struct Outer: JSONRecord, Equatable {
    var text = ""
    var number: UInt8 = 0
    var ratio = 0.0
    var word = Word.one
    var maybe: Int?
    var name: String?
    var list: [String] = []
    var inner = Inner()
    var inners: [Inner] = []
    mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
      try json.field("text", &text)
      try json.field("number", &number)
      try json.field("ratio", &ratio)
      try json.field("word", &word)
      try json.field("maybe", &maybe)
      try json.field("name", &name)
      try json.field("list", &list)
      try json.field("inner", &inner)
      try json.field("inners", &inners)
    }
  }

  @Test("what is written reads back, nil fields are absent")
  func roundTrip() throws {
    var outer = Outer()
    outer.text = "a\"\n"
    outer.number = 255
    outer.ratio = 0.1
    outer.word = .two
    outer.list = ["x", ""]
    outer.inners = [Inner(), Inner(flag: true)]
    let text = outer.jsonText
    #expect(try Outer(json: try JSONValue(parsing: text)) == outer)
    #expect(!text.contains("maybe") && !text.contains("name"))
    outer.maybe = -3
    outer.name = "n"
    #expect(try Outer(json: try JSONValue(parsing: outer.jsonText)) == outer)
  }

  @Test(
    "a field of another kind is named, never shown",
    arguments: [
      ("{\"text\":7}", "text"), ("{\"number\":256}", "number"), ("{\"word\":\"SECRET\"}", "word"),
      ("{\"inner\":{\"flag\":\"SECRET\"}}", "inner.flag"),
      ("{\"inners\":[{\"flag\":1}]}", "inners.flag"), ("{\"list\":[\"a\",1]}", "list"), ("{\"inner\":[]}", "inner"),
    ])
  func mistakes(_ text: String, _ field: String) throws {
    let json = try JSONValue(parsing: text)
    do throws(JSONRecordError) {
      _ = try Outer(json: json)
      Issue.record("taken: \(text)")
    } catch {
      #expect(error.field == field)
      #expect(!error.description.contains("SECRET"))
    }
  }

  @Test("unknown fields are ignored, missing ones stay as they were made")
  func tolerance() throws { #expect(try Outer(json: try JSONValue(parsing: "{\"new\":[1],\"text\":null}")) == Outer()) }
}

@Suite struct OneDashTests {
  @Test("a long option may have one dash only where the table says so")
  func oneDash() throws {
    let command = Command(
      "p", "", options: [CommandOption("config", value: "F", "", acceptsOneDash: true), CommandOption("level", value: "L", "")])
    for arguments in [["p", "-config", "f"], ["p", "-config=f"], ["p", "--config", "f"]] {
      guard case .run(let parsed) = try ArgumentParser(command).parse(arguments) else {
        Issue.record("not run")
        continue
      }
      #expect(parsed.value("config")?.value == "f")
    }
    #expect(throws: ArgumentError.self) { try ArgumentParser(command).parse(["p", "-level", "f"]) }
  }
}
