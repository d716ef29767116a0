internal import CausewayMessagingBench
internal import CausewaySupport

/// Which UCX, and what a connection would use.
@Sendable func runMessagingInfo(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  let report = try MessagingReport.make(tls: arguments.value("tls")?.value)
  return StandardStreams.answer(arguments.flag("json") ? report.json : report.text) ? .ok : .failure
}

@Sendable func runBenchMessaging(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  var bench = MessagingBench(
    tls: arguments.value("tls")?.value, keyFile: arguments.value("key-file")?.value, isJSON: arguments.flag("json"))
  // The table holds both to what there is; "all" is no scenario.
  if let scenario = arguments.value("scenario").flatMap({ Scenario(rawValue: $0.value) }) { bench.scenarios = [scenario] }
  if let api = arguments.value("api").flatMap({ BenchAPI(rawValue: $0.value) }) { bench.api = api }
  switch arguments.value("peer")?.value {
  case nil, "two-process": bench.peer = .twoProcess
  case "one-process": bench.peer = .oneProcess
  case .some(let address): bench.peer = .address(address)
  }
  bench.messageByteCount = try number("size", arguments)
  bench.iterations = try number("iterations", arguments)
  bench.warmup = try number("warmup", arguments)
  bench.concurrency = try number("concurrency", arguments)
  guard let address = arguments.value("listen") else {
    try bench.run()
    return .ok
  }
  if arguments.value("peer") != nil { throw .usage("--listen and --peer exclude each other: one is for each host") }
  try bench.listen(on: address.value)
  return .ok
}

/// What a measurement starts as its other process; never typed by anybody.
func runBenchPeer() -> ExitCode { MessagingBench.servePeer() }

private func number(_ option: String, _ arguments: ParsedArguments) throws(CommandFailure) -> Int? {
  guard let given = arguments.value(option) else { return nil }
  guard let number = Int(given.value), number >= 0 else {
    throw .usage("\(given.origin): expected a whole number, got '\(given.value.prefix(40))'")
  }
  return number
}
