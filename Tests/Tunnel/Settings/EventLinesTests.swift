import CausewaySupport
import Testing

@testable import CausewayTunnel

@Suite("JSON events")
struct EventLinesTests {
  @Test(
    "each event as docs/json-events.md says",
    arguments: [
      (
        .ready([.init(name: "web", url: "http://a", local: "localhost:1")]),
        #"{"event":"ready","url":"http://a","time":"T","tunnels":[{"name":"web","url":"http://a","local":"localhost:1"}]}"#
      ),
      (.reconnecting(reason: "r", delay: .milliseconds(250)), #"{"event":"reconnecting","reason":"r","retry_in":0.25,"time":"T"}"#),
      (.resumed(outage: .seconds(2), isNewSession: false), #"{"event":"resumed","outage":2.0,"new_session":false,"time":"T"}"#),
      (.urlChanged(name: "web", url: "http://b"), #"{"event":"url_changed","url":"http://b","tunnel":"web","time":"T"}"#),
      (
        .tunnelLost(name: "web", url: "http://b", reason: "r"),
        #"{"event":"tunnel_lost","tunnel":"web","url":"http://b","reason":"r","time":"T"}"#
      ),
      (
        .request(tunnel: "web", method: "GET", target: "/\"", status: nil, duration: .microseconds(1500), dropped: 2),
        #"{"event":"request","tunnel":"web","method":"GET","target":"/\"","status":null,"duration":0.0015,"dropped":2,"time":"T"}"#
      ),
      (.localDown(tunnel: "web", local: "l", reason: "r"), #"{"event":"local_down","tunnel":"web","local":"l","reason":"r","time":"T"}"#),
      (.localUp(tunnel: "web", local: "l"), #"{"event":"local_up","tunnel":"web","local":"l","time":"T"}"#),
      (.error(message: "m", exitCode: 69), #"{"event":"error","message":"m","exit_code":69,"time":"T"}"#),
      (.closed(reason: "SIGINT", exitCode: 0), #"{"event":"closed","reason":"SIGINT","exit_code":0,"time":"T"}"#),
    ] as [(EventLines.Event, String)])
  func lines(_ event: EventLines.Event, _ line: String) { #expect(EventLines.line(event, time: "T") == line + "\n") }

  @Test("a huge target still fits a pipe's atomic write") func long() {
    let target = "/" + String(repeating: "a", count: 16384)
    let line = EventLines.line(.request(tunnel: "t", method: "GET", target: target, status: 200, duration: .zero, dropped: 0), time: "T")
    #expect(line.utf8.count < 4096)
  }
}
