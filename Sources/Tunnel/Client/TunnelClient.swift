public import CausewayLinuxIO

/// A client: one session with a relay, its tunnels, and the will to keep them. Lives on one loop.
public final class TunnelClient {
  public init(_ configuration: TunnelClientConfiguration, on loop: EventLoop, observer: any TunnelClientObserver) {}
  /// Begins; events follow.
  public func start() {}
  /// Says goodbye to the relay and ends; `completion` runs when the goodbye is out, or after 1 s.
  public func stop(_ completion: @escaping () -> Void) {}
  public var statistics: TunnelStatistics { TunnelStatistics(isOnline: false, roundTripNanoseconds: 0, bytesSent: 0, bytesReceived: 0, openStreams: 0) }
}
