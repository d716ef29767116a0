import CausewayBase
import Glibc
import Synchronization
import Testing

@testable import CausewayTelemetry

/// Keeps lines for a test to look at.
private final class Lines: Sendable {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }
  func sink(_ format: LogFormat) -> LineSink { LineSink(format) { line in self.lines.withLock { $0.append(line) } } }
}

/// Counts how often it is asked.
private final class Probe: Sendable {
  let count = Atomic(0)
  var text: String {
    count.wrappingAdd(1, ordering: .relaxed)
    return "text"
  }
}

@Suite struct LogTests {
  static let record = LogRecord(
    time: 1_795_228_289_123_456_789, level: .warning, scope: "relay.ingress", message: "went \"away\"\n\u{1B}[31m",
    fields: [
      "peer": "10.0.0.1:80", "note": "a b=\"c\"", "bytes": 42, "ratio": 0.5, "ok": true, "rtt": .duration(.microseconds(12_500)),
      "level": "x", "empty": "",
    ])

  @Test func textLinesHaveDateLevelScopeAndFields() {
    #expect(
      LogFormat.text.line(Self.record)
        == #"2026-11-21T02:31:29.123Z warning relay.ingress: went "away"\n\x1b[31m peer=10.0.0.1:80 note="a b=\"c\"" bytes=42 ratio=0.5 ok=true rtt=12.5ms level=x empty="""#
        + "\n")
  }

  @Test func jsonLinesAreJSON() {
    #expect(
      LogFormat.json.line(Self.record)
        == #"{"time":"2026-11-21T02:31:29.123Z","level":"warning","scope":"relay.ingress","message":"went \"away\"\n\u001b[31m","peer":"10.0.0.1:80","note":"a b=\"c\"","bytes":42,"ratio":0.5,"ok":true,"rtt":0.0125,"level_":"x","empty":""}"#
        + "\n")
  }

  @Test func terminalLinesAreShortAndMayHaveColour() {
    let plain = LogFormat.terminal(colour: false).line(Self.record)
    #expect(plain.dropFirst(12).hasPrefix(" warning relay.ingress: went"))
    #expect(LogFormat.terminal(colour: true).line(Self.record).contains("\u{1B}[33mwarning\u{1B}[0m"))
    #expect(!plain.contains("\u{1B}"))
  }

  @Test(
    "dates",
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
      (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999Z"),
    ] as [(UInt64, String)])
  func dates(_ time: UInt64, _ text: String) { #expect(WallClock.rfc3339(time) == text) }

  @Test("a line appears from its level up, and else costs nothing", arguments: LogLevel.allCases)
  func levels(_ level: LogLevel) {
    let lines = Lines()
    let probe = Probe()
    let log = Logger(level: level, scope: "s", sink: lines.sink(.text))
    log.trace(probe.text, ["f": .string(probe.text)])
    log.debug(probe.text, ["f": .string(probe.text)])
    log.info(probe.text, ["f": .string(probe.text)])
    log.warning(probe.text, ["f": .string(probe.text)])
    log.error(probe.text, ["f": .string(probe.text)])
    let expected = LogLevel.allCases.filter { $0 >= level }
    #expect(lines.all.map { $0.split(separator: " ")[1] } == expected.map { Substring($0.name) })
    #expect(probe.count.load(ordering: .relaxed) == 2 * expected.count)
    #expect(LogLevel.allCases.filter { log.isEnabled($0) } == expected)
  }

  @Test func aDisabledLoggerSaysNothing() {
    let probe = Probe()
    for log in [Logger.disabled, Logger.disabled.part("x"), Logger.disabled.with(["a": 1])] {
      log.error(probe.text)
      #expect(!log.isEnabled(.error))
    }
    #expect(probe.count.load(ordering: .relaxed) == 0)
  }

  @Test func partsAddScopeAndFields() {
    let lines = Lines()
    let log = Logger(scope: "relay", sink: lines.sink(.text)).part("session", ["id": 7]).with(["lane": 1])
    log.info("up", ["x": true])
    #expect(lines.all.count == 1)
    #expect(lines.all[0].hasSuffix(" info    relay.session: up id=7 lane=1 x=true\n"))
  }

  @Test("levels have names", arguments: LogLevel.allCases)
  func names(_ level: LogLevel) { #expect(LogLevel(name: level.name) == level) }

  @Test func anUnknownLevelIsNone() { #expect(LogLevel(name: "loud") == nil) }

  @Test func filesArePrivateAppendedAndReopened() throws {
    var template = Array("/tmp/causeway-log-XXXXXX".utf8CString)
    unsafe _ = mkdtemp(&template)
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = folder + "/log"
    let sink = try FileSink(.text, path: path)
    sink.write(LogRecord(time: 0, level: .info, scope: "", message: "one"))
    unsafe _ = rename(path, path + ".1")
    sink.write(LogRecord(time: 0, level: .info, scope: "", message: "two"))
    try sink.reopen()
    sink.write(LogRecord(time: 0, level: .info, scope: "", message: "three"))
    let line = "1970-01-01T00:00:00.000Z info    "
    #expect(read(path + ".1") == line + "one\n" + line + "two\n")
    #expect(read(path) == line + "three\n")
    var status = stat()
    unsafe _ = stat(path, &status)
    #expect(status.st_mode & 0o777 == 0o600)
    // The old file stays in use when the new one can't be opened.
    unsafe _ = rename(path, path + ".2")
    unsafe _ = mkdir(path, 0o700)
    #expect(throws: FileSink.OpenError.self) { try sink.reopen() }
    sink.write(LogRecord(time: 0, level: .info, scope: "", message: "four"))
    #expect(read(path + ".2") == line + "three\n" + line + "four\n")
    unsafe _ = rmdir(path)
    for name in [path + ".1", path + ".2"] { unsafe _ = unlink(name) }
    unsafe _ = rmdir(folder)
  }

  @Test func aFileThatCannotBeOpenedIsOneLine() {
    let error = #expect(throws: FileSink.OpenError.self) { try FileSink(.text, path: "/nowhere/log") }
    #expect(error?.description == "cannot write the log file /nowhere/log: No such file or directory")
  }

  func read(_ path: String) -> String {
    guard let stream = unsafe fopen(path, "r") else { return "missing" }
    defer { unsafe _ = fclose(stream) }
    var bytes: [UInt8] = []
    while true {
      let byte = unsafe fgetc(stream)
      if byte < 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(UInt8(byte))
    }
  }

  @Test func linesOfManyThreadsStayWhole() async throws {
    var ends: [CInt] = [0, 0]
    unsafe _ = pipe(&ends)
    let log = Logger(scope: "t", sink: DescriptorSink(.text, descriptor: ends[1]))
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<8 { group.addTask { for _ in 0..<50 { log.info("x", ["task": .integer(task)]) } } }
    }
    close(ends[1])
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = unsafe Glibc.read(ends[0], &bytes, bytes.count)
    close(ends[0])
    let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 400)
    for task in 0..<8 { #expect(lines.count { $0.hasSuffix(" info    t: x task=\(task)") } == 50) }
  }
}

@Suite struct RepeatLimiterTests {
  func at(_ seconds: Int) -> Instant { .zero + .seconds(seconds) }

  @Test func eachKeyPassesOnceAnInterval() {
    let limiter = RepeatLimiter(interval: .seconds(10))
    let answers = [
      limiter.admit("a", at: at(0)), limiter.admit("a", at: at(1)), limiter.admit("b", at: at(1)), limiter.admit("a", at: at(9)),
      limiter.admit("a", at: at(10)), limiter.admit("a", at: at(30)),
    ]
    #expect(answers == [0, nil, 0, nil, 2, 0])
  }

  @Test func keysAreBounded() {
    let limiter = RepeatLimiter(interval: .seconds(10))
    for key in 0..<RepeatLimiter.maximumKeyCount { #expect(limiter.admit("\(key)", at: at(0)) == 0) }
    #expect(limiter.admit("one more", at: at(5)) == nil)
    #expect(limiter.admit("one more", at: at(10)) == 0)
  }
}
