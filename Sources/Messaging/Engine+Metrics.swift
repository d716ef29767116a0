internal import CausewayLinuxIO
internal import CausewayScraping

/// How a program shows an engine's figures to Prometheus.
extension Engine {
  /// The figures of the engine and of each of its connections as text for Prometheus. From any thread.
  public func metrics() throws(MessagingError) -> String {
    try checkFork("metrics")
    return EngineMetrics(self).text()
  }

  /// Serves them at `http://host:port/metrics` from the engine's own thread until its end; port 0 lets the system choose. Returns the port.
  @discardableResult
  public func serveMetrics(on host: String, port: UInt16 = 0) async throws(MessagingError) -> UInt16 {
    let result: Result<UInt16, MessagingError> = await withCheckedContinuation { continuation in
      serveMetrics(on: host, port: port) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }

  /// The same with a callback on the engine's thread.
  public func serveMetrics(
    on host: String, port: UInt16 = 0, completion: @escaping @Sendable (Result<UInt16, MessagingError>) -> Void
  ) {
    let subject = "metrics on \(host):\(port)"
    if isForked { return completion(.failure(Completion(.forked).error(subject))) }
    let page = EngineMetrics(self)
    let (driver, registry) = (driver, registry)
    onThread {
      if driver.isShutDown { return completion(.failure(Completion(.closed).error(subject))) }
      Resolver.shared.resolve(host, port: port, on: driver.loop) { answer in
        switch answer {
        case .failure(let error): completion(.failure(MessagingError(.addressUnavailable, subject, cause: "\(error)")))
        case .success(let addresses):
          guard let address = addresses.first, !driver.isShutDown else { return completion(.failure(Completion(.closed).error(subject))) }
          do throws(SystemError) {
            let server = try MetricsServer(address, on: driver.loop) { deliver in deliver(page.render()) }
            registry.add(ServedMetrics(server))
            completion(.success(server.address?.port ?? 0))
          } catch {
            completion(.failure(MessagingError(.addressUnavailable, subject, cause: error.message)))
          }
        }
      }
    }
  }
}

/// Ends with its engine. The engine's thread only.
private final class ServedMetrics: Closable {
  private let server: MetricsServer

  init(_ server: MetricsServer) { self.server = server }

  func closeNow() { server.close() }
}
