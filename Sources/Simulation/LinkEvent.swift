public import CausewayBase

/// What changes on a link at one moment.
public struct LinkEvent: Sendable, Equatable {
  public var at: Instant
  public var changes: [LinkChange]

  public init(at: Instant, _ changes: LinkChange...) {
    self.at = at
    self.changes = changes
  }

  public init(at: Instant, changes: [LinkChange]) {
    self.at = at
    self.changes = changes
  }
}

/// One parameter's new value.
public enum LinkChange: Sendable, Equatable {
  case rate(bytesPerSecond: UInt64?)
  case delay(Duration)
  case jitter(Duration)
  case loss(LossProcess)
  case queue(byteCount: Int)
  case burst(byteCount: Int)
  case mtu(Int)
  case duplication(Double)
  case reordering(Double)
  case corruption(Double)
  case truncation(Double)
  case blackhole(Bool)

  public func apply(to parameters: inout LinkParameters) {
    switch self {
    case .rate(let bytesPerSecond): parameters.bytesPerSecond = bytesPerSecond
    case .delay(let delay): parameters.delay = delay
    case .jitter(let jitter): parameters.jitter = jitter
    case .loss(let loss): parameters.loss = loss
    case .queue(let byteCount): parameters.queueByteCount = byteCount
    case .burst(let byteCount): parameters.burstByteCount = byteCount
    case .mtu(let mtu): parameters.mtu = mtu
    case .duplication(let share): parameters.duplication = share
    case .reordering(let share): parameters.reordering = share
    case .corruption(let share): parameters.corruption = share
    case .truncation(let share): parameters.truncation = share
    case .blackhole(let isBlackhole): parameters.isBlackhole = isBlackhole
    }
  }
}
