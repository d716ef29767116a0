import CausewayMessaging
import Glibc
import Synchronization

// The other process of a test or a measurement. `messaging-peer COMMAND [NAME=VALUE ...]`; the listening side prints its port first.
//   serve-callback, serve-async     answers 1-byte (size=) messages, until the client closes
//   ping-callback, ping-async       port= count= size=: prints the median and p99 round trip in nanoseconds
//   sink, stream                    receives, sends count= messages of size= bytes, window=: prints messages a second
//   serve-duplex, duplex            both at once, each way count= messages
//   serve-crowd, crowd              round trips over one of peers= connections of one engine; waits for a line at each stage
//   loop-callback                   round trips within one engine: what they cost besides two processors' talk
//   die-writing                     dies in the middle of writing a message into the other side's memory
//   limits                          prints the soft and the hard limit of descriptors that an engine leaves
let arguments = CommandLine.arguments
let command = arguments.count > 1 ? arguments[1] : ""
let values = Dictionary(
  arguments.dropFirst(2).compactMap { argument -> (String, String)? in
    let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
    return parts.count == 2 ? (parts[0], parts[1]) : nil
  }, uniquingKeysWith: { $1 })
let size = Int(values["size"] ?? "") ?? 1
let count = Int(values["count"] ?? "") ?? 100_000
/// Round trips between two looks at the clock, which costs as much as a good part of one. 1 shows outliers.
let tripsPerSample = Int(values["trips"] ?? "") ?? 32
let samples = max(1, count / tripsPerSample)
let window = Int(values["window"] ?? "") ?? 64
/// Messages before the clock runs: pages are touched, and the scheduler has found a core for each side.
let warmup = size < 64 << 20 ? max(window, count / 4 / window * window) : window
let port = UInt16(values["port"] ?? "") ?? 0

var options = Engine.Options()
if let tls = values["tls"] { options.settings.append(("TLS", tls)) }
if let grant = values["grant"].flatMap({ Int($0) }) { options.maximumGrant = grant }
switch values["mode"] ?? "adaptive" {
case "blocking": options.progress = .blocking
case "busy": options.progress = .busy(core: values["core"].flatMap { Int($0) })
case "adaptive": options.progress = .standard
default: fatalError("mode?")
}

func now() -> UInt64 {
  var t = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &t)
  return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
}

func report(_ times: [UInt64]) {
  let sorted = times.sorted().map { $0 / UInt64(tripsPerSample) }
  print(
    "rtt median \(sorted[sorted.count / 2]) ns, p99 \(sorted[sorted.count * 99 / 100]) ns, mean \(sorted.reduce(0, +) / UInt64(sorted.count)) ns"
  )
}

func say(_ text: String) {
  print(text)
  fflush(nil)
}

if command == "limits" { lowerDescriptorLimit() }

do {
  let engine = try Engine(options)
  switch command {
  case "serve-callback":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    var iterator = server.endpoints.makeAsyncIterator()
    let endpoint = await iterator.next()!
    let echo = Echo(server, endpoint, size)
    await echo.run()
  case "serve-async":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    var iterator = server.endpoints.makeAsyncIterator()
    let endpoint = await iterator.next()!
    let task = Task(executorPreference: engine) {
      let buffer = MessageBuffer(count: size)
      do {
        while true {
          _ = try await server.receive(into: buffer, tag: 1)
          try await endpoint.send(buffer, tag: 2)
        }
      } catch {}
    }
    await task.value
  case "ping-callback":
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    let ping = Ping(client, size, count)
    report(await ping.run())
    if values["transports"] != nil { print(try client.transports()) }
    try await client.close()
  case "ping-async":
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    let task = Task(executorPreference: engine) {
      let (out, back) = (MessageBuffer(count: size), MessageBuffer(count: size))
      var times = [UInt64](repeating: 0, count: samples)
      for index in -100..<samples {
        let start = now()
        for _ in 0..<tripsPerSample {
          try await client.send(out, tag: 1)
          _ = try await client.receive(into: back, tag: 2)
        }
        if index >= 0 { times[index] = now() - start }
      }
      return times
    }
    report(try await task.value)
    try await client.close()
  case "sink-async":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    let task = Task(executorPreference: engine) {
      let buffer = MessageBuffer(count: size)
      do { while true { _ = try await server.receive(into: buffer, tag: 1) } } catch {}
    }
    var iterator = server.endpoints.makeAsyncIterator()
    let endpoint = await iterator.next()!
    await untilGone(endpoint)
    task.cancel()
    await task.value
  case "stream-async":
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    let task = Task(executorPreference: engine) {
      let out = filledBuffer()
      for _ in 0..<warmup { try await client.send(out, tag: 1) }
      try await client.flush()
      let start = now()
      for _ in 0..<count { try await client.send(out, tag: 1) }
      try await client.flush()
      return now() - start
    }
    let time = try await task.value
    print("rate \(UInt64(count) * 1_000_000_000 / time) messages/s, \(Double(count * size) / Double(time)) GB/s")
    try await client.close()
  case "sink-callback":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    let sink = Sink(server, tag: 1, size, nil, window)
    sink.start()
    var iterator = server.endpoints.makeAsyncIterator()
    let endpoint = await iterator.next()!
    await untilGone(endpoint)
  case "stream-callback":
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    let out = filledBuffer()
    let first = Source(client, tag: 1, out, warmup, window)
    await Task(executorPreference: engine) { await first.run() }.value
    try await client.flush()
    let stream = Source(client, tag: 1, out, count, window)
    let start = now()
    await Task(executorPreference: engine) { await stream.run() }.value
    try await client.flush()
    let time = now() - start
    print("rate \(UInt64(count) * 1_000_000_000 / time) messages/s, \(Double(count * size) / Double(time)) GB/s")
    try await client.close()
  case "idle":  // tells when it is connected, and stays
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    try await client.send([1], tag: 1)
    if size > 1 { client.send(MessageBuffer(count: size), tag: 2) { _ in } }
    try await client.send([1], tag: 3)
    say("connected")
    while true { try await Task.sleep(for: .seconds(60)) }
  case "die-writing": try await dieWriting(engine)
  case "smoke": try await smoke(engine)
  case "cycles": try await cycles(engine, options, count)
  case "neglect": try await neglect(engine)
  case "fork": try await forkAndUse(engine)
  case "obey":  // connects, and does what it is told
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    say("connected")
    await Obedience(client).run()
  case "self-test":  // messages of every protocol between two engines of this process; tells which UCX that was
    let other = try Engine(options)
    let (server, client) = (try Server(on: engine), try Client(on: other))
    try await client.connect(toAddress: try await server.listenAddress(tcp: false))
    for size in [0, 1, 100, 5000, 20_000, 1 << 20] {
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      async let received = server.receive(tag: 1)
      try await client.send(bytes, tag: 1, synchronous: true)
      if try await received.buffer.array() != bytes { fatalError("\(size) bytes differ") }
    }
    print(try client.transports().map(\.description).sorted().joined(separator: " "))
    try await client.close()
    try await server.close()
    other.shutdown()
    let info = try engine.info()
    print("\(info.ucxVersion) \(info.ucxPath)")
  case "serve-duplex-callback", "serve-duplex-async":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    var iterator = server.endpoints.makeAsyncIterator()
    let endpoint = await iterator.next()!
    _ = try await duplex(endpoint, sends: 2, receives: 1)
    await untilGone(endpoint)
  case "duplex-callback", "duplex-async":
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    let time = try await duplex(client, sends: 1, receives: 2)
    print("rate \(UInt64(2 * count) * 1_000_000_000 / time) messages/s, \(Double(2 * count * size) / Double(time)) GB/s")
    try await client.close()
  case "serve-crowd":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    var echoes: [Echo] = []
    for await endpoint in server.endpoints {
      let echo = Echo(server, endpoint, size)
      echoes.append(echo)
      echo.start()
    }
  case "crowd": try await crowd(engine)
  case "loop-callback":
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    try await client.connect(to: "127.0.0.1", port: try await server.listen(on: "127.0.0.1"))
    var iterator = server.endpoints.makeAsyncIterator()
    let echo = Echo(server, await iterator.next()!, size)
    echo.start()
    report(await Ping(client, size, count).run())
  case "limits": print(descriptorLimits())
  case "ping-blocking":
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    let (out, back) = (MessageBuffer(count: size), MessageBuffer(count: size))
    var times = [UInt64](repeating: 0, count: samples)
    for index in -100..<samples {
      let start = now()
      for _ in 0..<tripsPerSample {
        try client.sendBlocking(out, tag: 1)
        _ = try client.receiveBlocking(into: back, tag: 2)
      }
      if index >= 0 { times[index] = now() - start }
    }
    report(times)
    try await client.close()
  case "serve-blocking":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    var iterator = server.endpoints.makeAsyncIterator()
    let endpoint = await iterator.next()!
    let buffer = MessageBuffer(count: size)
    do {
      while true {
        _ = try endpoint.receiveBlocking(into: buffer, tag: 1)
        try endpoint.sendBlocking(buffer, tag: 2)
      }
    } catch {}
  case "sink-batches":
    let server = try Server(on: engine)
    say("\(try await server.listen(on: "127.0.0.1", port: port))")
    let buffer = MessageBuffer(count: size)
    await Task(executorPreference: engine) {
      let requests = [ReceiveRequest](repeating: ReceiveRequest(into: buffer, tag: 1), count: window)
      var left = warmup + count
      while left > 0, await server.receiveMany(requests).allSatisfy(\.isDone) { left -= window }
    }.value
    // The sender's flush is answered as long as this process lives.
    var iterator = server.endpoints.makeAsyncIterator()
    let endpoint = await iterator.next()!
    await untilGone(endpoint)
  case "stream-batches":
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    let out = filledBuffer()
    let time = try await Task(executorPreference: engine) {
      let requests = [SendRequest](repeating: SendRequest(out, tag: 1), count: window)
      var left = warmup
      while left > 0, await client.sendMany(requests).allSatisfy(\.isDone) { left -= window }
      try await client.flush()
      let start = now()
      left = count
      while left > 0, await client.sendMany(requests).allSatisfy(\.isDone) { left -= window }
      try await client.flush()
      return now() - start
    }.value
    print("rate \(UInt64(count) * 1_000_000_000 / time) messages/s, \(Double(count * size) / Double(time)) GB/s")
    try await client.close()
  default:
    print("messaging-peer: no command '\(command)'")
    exit(2)
  }
  engine.shutdown()
} catch {
  print("messaging-peer: \(error)")
  exit(1)
}
