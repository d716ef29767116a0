internal import CausewayBase
internal import CausewayMessaging
package import CausewaySupport
internal import CausewayWire

/// What `causeway bench messaging` was asked for.
package struct MessagingBench: Sendable {
  package enum Peer: Sendable {
    case twoProcess, oneProcess
    /// One that `--listen` started.
    case address(String)
  }

  package var scenarios: [Scenario]
  package var api: BenchAPI
  package var peer: Peer
  package var tls: String?
  package var keyFile: String?
  package var isJSON: Bool
  /// Instead of each scenario's own.
  package var messageByteCount: Int?
  package var warmup: Int?
  package var iterations: Int?
  package var concurrency: Int?

  package init(
    scenarios: [Scenario] = Scenario.allCases, api: BenchAPI = .async, peer: Peer = .twoProcess, tls: String? = nil, keyFile: String? = nil,
    isJSON: Bool = false
  ) {
    self.scenarios = scenarios
    self.api = api
    self.peer = peer
    self.tls = tls
    self.keyFile = keyFile
    self.isJSON = isJSON
  }

  /// What the other process does.
  package static func servePeer() -> ExitCode { PeerProcess.serve() ? .ok : .failure }

  /// Measures, and prints a line or two for each scenario as it ends.
  package func run() throws(CommandFailure) {
    let plans = try plans()
    let key = try messagingKey()
    let process: PeerProcess?
    if case .twoProcess = peer { process = try PeerProcess(Program.benchPeerPath, tls: tls) } else { process = nil }
    defer { process?.end() }
    let target = try target(process)
    try blockingWait { () async -> Result<Void, CommandFailure> in
      do throws(MessagingError) {
        try await measure(plans, target, key)
        return .success(())
      } catch {
        return .failure(CommandFailure(messaging: error))
      }
    }.get()
  }

  /// Serves measurements for other hosts until it is killed.
  /// The first line on stdout is the address, with the port that the system chose.
  package func listen(on address: String) throws(CommandFailure) {
    let place = try Self.place(address)
    let key = try messagingKey()
    let tls = tls
    try blockingWait { () async -> Result<Void, CommandFailure> in
      do throws(MessagingError) {
        let server = try Server(on: try Engine(benchOptions(tls)))
        let port = try await server.listen(on: place.host, port: place.port, key: key)
        StandardStreams.answer("\(HostPort(host: place.host, port: port))\n")
        await BenchServer(server).run()
        return .success(())
      } catch {
        return .failure(CommandFailure(messaging: error))
      }
    }.get()
  }

  // MARK: Inside

  private enum Target: Sendable {
    case blob([UInt8])
    case place(HostPort)
    case here
  }

  private func target(_ process: PeerProcess?) throws(CommandFailure) -> Target {
    if let process { return .blob(process.address) }
    if case .address(let text) = peer { return .place(try Self.place(text)) }
    return .here
  }

  static func place(_ text: String) throws(CommandFailure) -> HostPort {
    do throws(AddressError) { return try HostPort(parsing: text) } catch { throw .usage(error.description) }
  }

  private func messagingKey() throws(CommandFailure) -> MessagingKey? {
    guard let keyFile else { return nil }
    do throws(MessagingError) { return try MessagingKey(file: keyFile) } catch { throw CommandFailure(messaging: error) }
  }

  private func plans() throws(CommandFailure) -> [BenchPlan] {
    var plans: [BenchPlan] = []
    for scenario in scenarios {
      var extent = scenario.standard
      if let messageByteCount { extent.messageByteCount = messageByteCount }
      if let warmup { extent.warmup = warmup }
      if let iterations { extent.iterations = iterations }
      if let concurrency { extent.concurrency = concurrency }
      if !extent.isPossible {
        throw .usage(
          "\(scenario.rawValue): a side's buffers may take \(Quantity.bytes(UInt64(Extent.memoryLimit))), "
            + "with at most \(Extent.concurrencyLimit) messages a round and \(Extent.iterationLimit) rounds")
      }
      plans.append(BenchPlan(scenario, api, extent))
    }
    return plans
  }

  private func measure(_ plans: [BenchPlan], _ target: Target, _ key: MessagingKey?) async throws(MessagingError) {
    let engine = try Engine(benchOptions(tls))
    let client = try Client(on: engine)
    var server: Server?
    switch target {
    case .blob(let bytes): try await client.connect(toAddress: bytes)
    case .place(let place): try await client.connect(to: place.host, port: place.port, key: key)
    case .here:
      let other = try Server(on: try Engine(benchOptions(tls)))
      server = other
      try await client.connect(toAddress: try await other.listenAddress(tcp: false))
      Task { await BenchServer(other).run() }
    }
    if !isJSON { StandardStreams.answer(Measurement.heading.rendered(colour: Terminal.of(1).hasColour) + "\n") }
    for plan in plans {
      let progress = RoundProgress()
      let line = ProgressLine(plan.scenario.rawValue, progress, of: plan.extent.rounds)
      let outcome: Result<Measurement, MessagingError>
      do throws(MessagingError) { outcome = .success(try await BenchClient(client).measure(plan, progress)) } catch {
        outcome = .failure(error)
      }
      await line.end()
      tell(try outcome.get(), engine)
    }
    try await client.close()
    if let server {
      try await server.close()
      server.engine.shutdown()
    }
    engine.shutdown()
  }

  private func tell(_ measurement: Measurement, _ engine: Engine) {
    guard isJSON else {
      let colour = Terminal.of(1).hasColour
      StandardStreams.answer(measurement.lines.map { $0.rendered(colour: colour) + "\n" }.joined())
      return
    }
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    json.object { json in
      measurement.write(&json)
      json.member("peer", peerName)
      json.member("ucx_version", (try? engine.info().ucxVersion) ?? "")
    }
    json.finishLine()
    StandardStreams.answer(String(copying: buffer))
  }

  private var peerName: String {
    switch peer {
    case .twoProcess: "two-process"
    case .oneProcess: "one-process"
    case .address(let text): text
    }
  }
}

extension CommandFailure {
  /// The house's verdicts for what messaging refuses.
  init(messaging error: MessagingError) {
    let code: ExitCode =
      switch error.code {
      case .invalidArgument: .usage
      case .ucxUnavailable, .versionMismatch, .authenticationFailed, .protocolViolation: .refused
      case .notConnected, .deadlineExceeded, .peerLost, .limitReached: .temporary
      default: .failure
      }
    self.init(code, error.description)
  }
}

extension String {
  /// The readable bytes as UTF-8.
  init(copying buffer: ByteBuffer) {
    // SAFETY: the span lives for the closure.
    self = unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
