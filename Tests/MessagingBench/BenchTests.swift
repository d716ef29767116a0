import CausewayMessaging
import CausewaySupport
import Testing

@testable import CausewayMessagingBench

@Suite struct BenchTests {
  @Test("a plan comes back as it was sent", arguments: Scenario.allCases, BenchAPI.allCases)
  func plan(_ scenario: Scenario, _ api: BenchAPI) {
    let plan = BenchPlan(scenario, api, scenario.standard)
    #expect(plan.encoded.count == BenchPlan.byteCount)
    #expect(BenchPlan(plan.encoded) == plan)
  }

  static let possible = Extent(messageByteCount: 8, warmup: 1, iterations: 2, concurrency: 3)

  @Test("a plan that asks for more than there may be, or of another kind, is refused")
  func refused() {
    let bytes = BenchPlan(.pingpongFlag, .async, Self.possible).encoded
    #expect(BenchPlan(bytes) != nil)
    #expect(BenchPlan(Array(bytes.dropLast())) == nil)
    for (place, value) in [(0, 2), (8, 4), (9, 2), (23, 0x7F), (23, 0x80), (31, 1), (39, 0xFF), (41, 0xFF)] as [(Int, UInt8)] {
      var changed = bytes
      changed[place] = value
      #expect(BenchPlan(changed) == nil, "byte \(place) = \(value)")
    }
    #expect(
      BenchPlan(BenchPlan(.largeArray, .async, Extent(messageByteCount: 1 << 33, warmup: 0, iterations: 1, concurrency: 4)).encoded) == nil)
  }

  @Test("median and p99 are of one message, the rate of all")
  func statistics() {
    let extent = Extent(messageByteCount: 1000, warmup: 0, iterations: 100, concurrency: 10)
    let measurement = Measurement(
      BenchPlan(.smallMessages, .async, extent), times: (1...100).map { UInt64($0) * 1000 }, messageClass: .eager, route: nil,
      transports: [])
    #expect(measurement.percentile(50) == 5100)
    #expect(measurement.percentile(99) == 10_000)
    #expect(abs(measurement.messagesPerSecond - 1000 * 1e9 / 5_050_000) < 1)
    #expect(abs(measurement.bytesPerSecond - measurement.messagesPerSecond * 1000) < 1)
  }

  @Test(
    "figures for people",
    arguments: [
      (BenchText.time(0), "0 ns"), (BenchText.time(9999), "9999 ns"), (BenchText.time(12_340), "12.3 µs"),
      (BenchText.time(4_572_700), "4.6 ms"),
      (BenchText.time(12_340_000), "12.3 ms"), (BenchText.time(12_340_000_000), "12.3 s"), (BenchText.count(3.14), "3.1"),
      (BenchText.count(1234.4), "1234"), (BenchText.count(123_456), "123.5 k"), (BenchText.count(12_345_678), "12.3 M"),
      (BenchText.bandwidth(1_234_567), "1.2 MB/s"), (BenchText.bandwidth(10_058_000_000), "10.06 GB/s"),
    ])
  func figures(_ text: String, _ expected: String) { #expect(text == expected) }

  @Test("a bar is empty, half and full", arguments: [(0, 0), (50, 15), (100, 30)])
  func bar(_ done: Int, _ full: Int) {
    let line = ProgressLine.line("x", done, of: 100).plain
    #expect(line.count(where: { $0 == "█" }) == full)
    #expect(line.count(where: { $0 == "░" }) == 30 - full)
    #expect(line.hasSuffix(" \(done) %"))
  }

  @Test("an address goes through the other process's line unharmed")
  func hex() {
    let bytes = (0...255).map { UInt8($0) }
    #expect(PeerProcess.bytes(ofHex: PeerProcess.hex(bytes)[...]) == bytes)
  }

  @Test("every scenario runs by both ways, over shared memory and TCP", arguments: Scenario.allCases, BenchAPI.allCases)
  func live(_ scenario: Scenario, _ api: BenchAPI) async throws {
    for tls in ["posix", "tcp"] {
      let server = try Server(on: try Engine(benchOptions(tls)))
      let client = try Client(on: try Engine(benchOptions(tls)))
      try await client.connect(toAddress: try await server.listenAddress(tcp: false))
      let serving = Task { await BenchServer(server).run() }
      let extent = Extent(
        messageByteCount: min(scenario.standard.messageByteCount, 1 << 20), warmup: 2, iterations: 5,
        concurrency: scenario.standard.concurrency)
      for _ in 0..<2 {
        let progress = RoundProgress()
        let measurement = try await BenchClient(client).measure(BenchPlan(scenario, api, extent), progress)
        #expect(progress.value == 7)
        #expect(measurement.percentile(0) > 0)
        let route = try #require(measurement.route)
        #expect(route.lanes.hasPrefix(tls))
        #expect(route.messageClass == (extent.messageByteCount > 8192 ? .rendezvous : .eager))
      }
      try await client.close()
      try await server.close()
      await serving.value
      client.engine.shutdown()
      server.engine.shutdown()
    }
  }

  @Test("a peer that goes ends the measurement with an error, by both ways", arguments: BenchAPI.allCases)
  func lost(_ api: BenchAPI) async throws {
    let server = try Server(on: try Engine(benchOptions("tcp")))
    let client = try Client(on: try Engine(benchOptions("tcp")))
    try await client.connect(toAddress: try await server.listenAddress(tcp: false))
    let serving = Task { await BenchServer(server).run() }
    let progress = RoundProgress()
    let extent = Extent(messageByteCount: 1, warmup: 0, iterations: Extent.iterationLimit / 100, concurrency: 1)
    let measuring = Task { () async -> MessagingError? in
      do throws(MessagingError) {
        _ = try await BenchClient(client).measure(BenchPlan(.pingpongFlag, api, extent), progress)
        return nil
      } catch {
        return error
      }
    }
    while progress.value < 10 { await Task.yield() }
    server.engine.shutdown()
    #expect(await measuring.value?.code == .peerLost)
    await serving.value
    client.engine.shutdown()
  }
}
