public import CausewayBase

/// What a path is good for in our direction.
public enum PathState: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// Opened, nothing has come back yet. Carries probes only.
  case initializing
  /// Carries data.
  case normal
  /// Set aside on suspicion: no new data, what was in flight goes elsewhere, probes follow each other quickly.
  case unstable
  /// Probes only, until three in a row come back.
  case lost
}

/// Why a path changed its state.
public enum PathChangeReason: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// The first probe of a new path came back.
  case firstEcho
  /// Three probes in a row came back.
  case probesAnswered
  /// Data or a probe of a suspected path were acknowledged after all.
  case acknowledged
  /// A probe went unanswered for its time-out.
  case probeUnanswered
  /// Three probes went unanswered.
  case probesUnanswered
  /// Data went unacknowledged for longer than the path ever takes.
  case dataUnacknowledged
  /// The peer set its own direction of the path aside.
  case suspectedByPeer
  /// The network interface or its address went away.
  case interfaceDown
}

/// One transition: what schedulers, metrics, log and status get.
public struct PathChange: Equatable, Sendable, BitwiseCopyable {
  public var from: PathState
  public var to: PathState
  public var reason: PathChangeReason
  public var at: Instant

  @inlinable public init(from: PathState, to: PathState, reason: PathChangeReason, at: Instant) {
    self.from = from
    self.to = to
    self.reason = reason
    self.at = at
  }
}

/// What the owner of a path must do or tell.
public enum PathFact: Equatable, Sendable, BitwiseCopyable {
  /// Send a probe with this id on the path, now, and report it with `probeSent`.
  case sendProbe(UInt32)
  /// Ask the connection below the path what it has delivered, and report it with `transportTold`.
  case askTransport
  /// The state changed. To `unstable` or `lost`: take what is in flight and send it elsewhere.
  case changed(PathChange)
}
