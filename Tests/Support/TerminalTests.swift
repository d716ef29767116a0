import Glibc
import Testing

@testable import CausewaySupport

@Suite struct TerminalTests {
  @Test(
    "sizes",
    arguments: [
      (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (102_348, "99.9 KiB"), (102_400, "100 KiB"),
      (1_047_552, "1023 KiB"),
      (1_048_064, "1.0 MiB"), (1 << 30, "1.0 GiB"), (.max, "16.0 EiB"),
    ] as [(UInt64, String)])
  func sizes(_ count: UInt64, _ text: String) { #expect(Quantity.bytes(count) == text) }

  @Test(
    "durations",
    arguments: [
      (0, "0.0 ms"), (0.42, "0.4 ms"), (9.94, "9.9 ms"), (9.96, "10 ms"), (12.3, "12 ms"), (999.4, "999 ms"), (999.6, "1.0 s"),
      (59_900, "59.9 s"),
      (59_960, "1 min 0 s"), (184_000, "3 min 4 s"), (7_500_000, "2 h 5 min"), (273_600_000, "3 d 4 h"), (-5, "0.0 ms"),
    ] as [(Double, String)])
  func durations(_ milliseconds: Double, _ text: String) {
    #expect(Quantity.duration(.nanoseconds(Int64(milliseconds * 1e6))) == text)
  }

  @Test(
    "drawing needs a terminal that may be drawn on",
    arguments: [
      (true, ["TERM": "xterm"], true), (false, ["TERM": "xterm"], false), (true, ["TERM": "dumb"], false), (true, [:], false),
      (true, ["TERM": "xterm", "NO_COLOR": "1"], false), (true, ["TERM": "xterm", "NO_COLOR": ""], true),
    ] as [(Bool, [String: String], Bool)])
  func interactive(_ isTerminal: Bool, _ variables: [String: String], _ expected: Bool) {
    let terminal = Terminal.decide(isTerminal: isTerminal, columns: 80, rows: 24, .fixed(variables))
    #expect(terminal.isInteractive == expected)
    #expect(terminal.hasColour == expected)
  }

  @Test(
    "text is cut at cells, not bytes",
    arguments: [
      ("hello", 5, "hello"), ("hello!", 5, "hell…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"),
      ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"),
      ("abc", 1, "…"), ("abc", 0, ""),
    ])
  func truncation(_ text: String, _ width: Int, _ expected: String) {
    let cut = StyledText(text).truncated(to: width)
    #expect(cut.plain == expected)
    #expect(cut.width <= width)
  }

  @Test func controlCharactersNeverReachTheTerminal() {
    let text = StyledText("a\u{1B}[2J\r\n\u{9B}x\u{202E}\u{7F}", .red)
    #expect(text.rendered(colour: false) == "a\\x1b[2J\\r\\n\\x9bx\\u{202e}\\x7f")
    #expect(text.rendered(colour: true) == "\u{1B}[31ma\\x1b[2J\\r\\n\\x9bx\\u{202e}\\x7f\u{1B}[0m")
  }

  static var model: PanelModel {
    var model = PanelModel()
    model.state = .online
    model.server = "https://relay.example.com"
    model.tunnels = [.init(name: "web", url: "https://demo.example.com", service: "http://127.0.0.1:3000")]
    model.latency = .milliseconds(12)
    model.bytesPerSecondIn = 2048
    model.bytesPerSecondOut = 3_500_000
    model.totalBytesIn = 1_000_000
    model.totalBytesOut = 2_000_000_000
    model.openConnections = 3
    model.totalConnections = 120
    model.add(.init(serial: 1, time: "12:03:04", method: "GET", target: "/", status: 200, duration: .microseconds(3400)))
    model.add(.init(serial: 2, time: "12:03:05", method: "DELETE", target: "/a?b=\u{1B}[31m", status: 502, duration: .milliseconds(1500)))
    model.add(.init(serial: 3, time: "12:03:06", method: "GET", target: "/big", status: nil, duration: .seconds(70)))
    return model
  }

  @Test func panelLooksLikeThis() {
    let lines = PanelDrawing.lines(Self.model, columns: 80, rows: 24).map(\.plain)
    #expect(
      lines.joined(separator: "\n") == """
        causeway    online
        URL         https://demo.example.com  to http://127.0.0.1:3000
        Relay       https://relay.example.com
        Latency     12 ms
        Traffic     in 2.0 KiB/s, out 3.3 MiB/s  total 977 KiB, 1.9 GiB
        Connections 3 open  120 in all

        12:03:04  200  GET     /  3.4 ms
        12:03:05  502  DELETE  /a?b=\\x1b[31m  1.5 s
        12:03:06  cut  GET     /big  1 min 10 s
        """)
  }

  @Test func severalTunnelsShowTheirNames() {
    var model = Self.model
    model.state = .reconnecting
    model.detail = "connection refused, again in 2 s"
    model.latency = nil
    model.tunnels.append(.init(name: "api", url: "https://api.example.com", service: "unix:/run/api", isServiceDown: true))
    let lines = PanelDrawing.lines(model, columns: 80, rows: 8).map(\.plain)
    #expect(
      lines.joined(separator: "\n") == """
        causeway    reconnecting  connection refused, again in 2 s
        web         https://demo.example.com  to http://127.0.0.1:3000
        api         https://api.example.com  to unix:/run/api  (down)
        Relay       https://relay.example.com
        Latency     -
        Traffic     in 2.0 KiB/s, out 3.3 MiB/s  total 977 KiB, 1.9 GiB
        Connections 3 open  120 in all
        """)
  }

  @Test("the panel fits any window", arguments: [(80, 24), (40, 10), (20, 5), (10, 2), (2, 1), (1, 1)])
  func panelFits(_ columns: Int, _ rows: Int) {
    let lines = PanelDrawing.lines(Self.model, columns: columns, rows: rows)
    #expect(lines.count <= max(1, rows - 1))
    #expect(lines.allSatisfy { $0.width <= max(1, columns - 1) })
  }

  @Test func onlyTheLastRequestsAreKept() {
    var model = PanelModel()
    for serial in 1...20 { model.add(.init(serial: UInt64(serial), time: "", method: "GET", target: "/", status: 200, duration: .zero)) }
    #expect(model.requests.map(\.serial) == Array(13...20))
  }

  @Test func eventsAreWhatChanged() {
    #expect(
      PanelDrawing.events(from: nil, to: Self.model).map(\.plain) == [
        "online", "https://demo.example.com to http://127.0.0.1:3000", "12:03:04  200  GET     /  3.4 ms",
        "12:03:05  502  DELETE  /a?b=\\x1b[31m  1.5 s", "12:03:06  cut  GET     /big  1 min 10 s",
      ])
    #expect(PanelDrawing.events(from: Self.model, to: Self.model).isEmpty)
    var next = Self.model
    next.bytesPerSecondIn = 9
    #expect(PanelDrawing.events(from: Self.model, to: next).isEmpty)
    next.state = .reconnecting
    next.detail = "time-out"
    next.tunnels[0].isServiceDown = true
    next.add(.init(serial: 4, time: "12:03:07", method: "PUT", target: "/x", status: 204, duration: .milliseconds(20)))
    #expect(
      PanelDrawing.events(from: Self.model, to: next).map(\.plain) == [
        "reconnecting: time-out", "http://127.0.0.1:3000 is down", "12:03:07  204  PUT     /x  20 ms",
      ])
  }

  /// A pipe that stands for stderr.
  func written(_ terminal: Terminal, _ body: (LivePanel) -> Void) -> String {
    var ends: [CInt] = [0, 0]
    _ = unsafe pipe(&ends)
    let panel = LivePanel(descriptor: ends[1], terminal: terminal)
    body(panel)
    close(ends[1])
    let bytes = try? PrivateFile.readAll(ends[0], "pipe")
    close(ends[0])
    return String(decoding: bytes ?? [], as: UTF8.self)
  }

  @Test func withoutATerminalThereAreOnlyLines() {
    let text = written(Terminal(isInteractive: false, hasColour: false)) { panel in
      var model = PanelModel()
      panel.show(model)
      panel.note("hello\u{1B}[2J")
      model.state = .online
      panel.show(model)
      panel.show(model)
      panel.close()
    }
    #expect(text == "connecting\nhello\\x1b[2J\nonline\n")
  }

  @Test func framesReplaceEachOtherAndLeaveTheCursorVisible() {
    let terminal = Terminal(isInteractive: true, hasColour: false, columns: 80, rows: 3)
    let text = written(terminal) { panel in
      var model = PanelModel()
      model.server = "r"
      panel.show(model)
      panel.show(model)
      panel.note("note")
      model.state = .online
      panel.show(model)
      panel.close()
      panel.show(PanelModel())
      panel.note("after")
    }
    let first = "\u{1B}[?25l\r\u{1B}[Jcauseway    connecting\nRelay       r\n\u{1B}[?25h"
    let second = "\u{1B}[?25l\u{1B}[2A\r\u{1B}[Jnote\ncauseway    connecting\nRelay       r\n\u{1B}[?25h"
    let third = "\u{1B}[?25l\u{1B}[2A\r\u{1B}[Jcauseway    online\nRelay       r\n\u{1B}[?25h"
    #expect(text == first + second + third + "after\n")
  }

  @Test func aNarrowerWindowHasWrappedTheOldFrame() {
    let frame = PanelFrame.text(over: [30, 0, 9], columns: 10, above: "", [StyledText("x")], colour: false)
    #expect(frame == "\u{1B}[?25l\u{1B}[5A\r\u{1B}[Jx\n\u{1B}[?25h")
  }
}
