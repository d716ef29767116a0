// link-emulator: a bad network between pairs of interfaces, for tests and benchmarks. It sits in a network namespace between veth ends
// and does to every frame what a LinkModel says. Commands come as JSON lines on standard input and are answered line by line on standard
// output; the end of standard input ends it. Start with Emulator, then LinkSettings.
internal import CPacketSocket
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewaySupport
internal import Glibc

/// The longest line of input.
let maximumLineByteCount = 65536

func say(_ body: (inout JSONWriter) -> Void) {
  let buffer = ByteBuffer()
  var json = JSONWriter(buffer)
  json.object(body)
  json.finishLine()
  // SAFETY: written within the call. The reader is a harness that reads; a short write would only garble its answer.
  unsafe buffer.bytes.withUnsafeBufferPointer { unsafe _ = write(1, $0.baseAddress, $0.count) }
}

func fail(_ message: String) -> Never {
  let text = Array("link-emulator: \(message)\n".utf8)
  unsafe _ = write(2, text, text.count)
  exit(2)
}

guard CommandLine.arguments.count == 2, let configuration = try? JSONValue(parsing: CommandLine.arguments[1]) else {
  fail(
    """
    usage: link-emulator '{"seed": 1, "links": [{"name": "a", "left": "IF", "right": "IF", "both": {"rate": 50e6, "delay": 10}}]}'
    """)
}
if let stranger = configuration.strangers(to: ["seed", "links", "realtime"]).first { fail("unknown member '\(stranger)'") }
var entropy = SystemRandomNumberGenerator()
let seed = configuration["seed"]?.integer.map { UInt64(bitPattern: $0) } ?? entropy.next() >> 1
let isRealTime = configuration["realtime"]?.boolean != false && shim_packet_be_punctual() == 1
let emulator: Emulator
do throws(SettingsError) {
  emulator = try Emulator(configuration, seed: seed)
} catch {
  fail(error.description)
}
say { json in
  json.member("event", "ready")
  json.member("seed", seed)
  json.member("realtime", isRealTime)
}

var pending: [UInt8] = []
emulator.run(control: 0) { emulator in
  var chunk = [UInt8](repeating: 0, count: 4096)
  let count = unsafe read(0, &chunk, chunk.count)
  if count <= 0 { return false }
  pending += chunk[..<count]
  if pending.count > maximumLineByteCount { return false }
  while let end = pending.firstIndex(of: 10) {
    let line = Array(pending[..<end])
    pending.removeSubrange(...end)
    do {
      let command = try JSONValue(parsing: line.span)
      if command["counters"] != nil {
        say { json in
          json.member("event", "counters")
          emulator.counters(&json)
        }
      } else {
        try emulator.change(command)
        say { json in
          json.member("event", "done")
          json.member("at", SystemClock.monotonic.nanoseconds)
        }
      }
    } catch {
      say { json in
        json.member("event", "refused")
        json.member("reason", "\(error)")
      }
    }
  }
  return true
}
