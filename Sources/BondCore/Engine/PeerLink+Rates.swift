import CausewayBase
import CausewayPaths

// Rates that threads share: those that somebody fixed (the owner of this side, or the peer for what it receives), and those learned.

extension PeerLink {
  /// Nanoseconds between two looks at a rate that threads share.
  static let rateInterval: UInt64 = 5_000_000
  /// A claim is made of at least so many bytes, or of what came in so many nanoseconds.
  static let rateClaimByteCount: UInt64 = 6_000
  static let rateClaimTime: UInt64 = 100_000_000

  /// Bytes per second that all threads together may send on the path; 0: no limit.
  func fixedRate(_ path: BondPath) -> UInt64 {
    guard let uplink = path.uplink ?? (kind == .stock ? uplinkOfStockPeer(path) : nil) else { return path.remoteRateLimit / 8 }
    return uplink < settings.uplinks.count ? settings.uplinks[uplink].rateUp / 8 : 0
  }

  /// A stock peer has the handshake's path alone, which goes by some uplink; after it moved, by that of the same socket.
  private func uplinkOfStockPeer(_ path: BondPath) -> Int? {
    guard let route = path.route else { return nil }
    return uplinkRoutes.firstIndex { $0 == route } ?? uplinkRoutes.firstIndex { $0?.socket == route.socket }
  }

  /// Sets what owner and peer want of a path: rate, weight, preference.
  func applyRateLimit(_ path: BondPath) {
    let rate = fixedRate(path)
    path.isRateShared = settings.rates != nil && engine.configuration.shardCount > 1
    if rate == 0 {
      path.sender.rateLimit = .none
    } else if path.isRateShared {
      takePart(path, of: rate)
    } else {
      path.sender.rateLimit = .fixed(max(1, rate / UInt64(usedShards)))
    }
    path.sender.weight = UInt16(clamping: path.weight)
    path.sender.preference = UInt8(clamping: path.preference)
  }

  /// The threads used towards the peer have changed.
  func applyRateLimits() { for path in paths { applyRateLimit(path) } }

  private func takePart(_ path: BondPath, of rate: UInt64) {
    guard let rates = settings.rates else { return }
    let part = rates.part(
      of: rate, place: ratePlace(path), thread: engine.configuration.shard, threads: engine.configuration.shardCount)
    path.sender.rateLimit = .fixed(part)
  }

  /// The same on every thread for the paths of one uplink.
  private func ratePlace(_ path: BondPath) -> Int { path.uplink ?? PathNumbering.limit + uplinkOfPeer(path.id) }

  /// When a shared rate wants to be looked at: while the thread sends there, and until it has told that it stopped.
  func rateDeadline(_ path: BondPath) -> Instant {
    path.rateLookAt != .zero || path.statistics.sentBytes != path.rateLookBytes ? path.rateDeadline : .distantFuture
  }

  func shareRate(_ path: BondPath, at now: Instant) {
    guard let rates = settings.rates else { return }
    let fixed = fixedRate(path)
    let window = fixed > 0 ? Self.rateInterval : Self.rateClaimTime
    path.rateDeadline = Instant(nanoseconds: now.nanoseconds &+ window)
    let (elapsed, sent) = (now.nanoseconds(since: path.rateLookAt), path.statistics.sentBytes &- path.rateLookBytes)
    if path.rateLookAt == .zero {
      // The first after a pause: a rate can be told from now on.
      (path.rateLookAt, path.rateLookBytes) = (now, path.statistics.sentBytes)
    } else if elapsed >= window, sent >= Self.rateClaimByteCount || elapsed >= Self.rateClaimTime {
      let rate = UInt64(Double(sent) * 1e9 / Double(max(1, elapsed)))
      let allowed = path.sender.capacityBytesPerSecond
      path.rateClaim =
        sent == 0 ? .none : RateClaim(bytesPerSecond: rate, isHungry: rate >= allowed / 100 &* RateClaim.hungryPercent)
      rates.write(path.rateClaim, place: ratePlace(path), thread: engine.configuration.shard)
      (path.rateLookAt, path.rateLookBytes) = (sent == 0 ? .zero : now, path.statistics.sentBytes)
      if fixed == 0 { makeRoomForOthers(path, rates) }
    }
    if fixed > 0 { takePart(path, of: fixed) }
  }

  /// Two threads that learn one link keep the shares that they began with: a queue lowers both by the same factor, and without one both
  /// grow by the same. So who has more than its part gives way a little each time, as long as others would take it.
  private func makeRoomForOthers(_ path: BondPath, _ rates: SharedRates) {
    let (place, thread, threads) = (ratePlace(path), engine.configuration.shard, engine.configuration.shardCount)
    let own = path.rateClaim
    let sum = rates.sum(place: place, threads: threads)
    let fair = rates.part(of: sum.bytesPerSecond, place: place, thread: thread, threads: threads)
    guard own.isHungry, sum.hungryCount > 1, own.bytesPerSecond > fair &+ fair / 10 else {
      path.sender.rateLimit = .none
      return
    }
    path.sender.rateLimit = .ceiling(max(fair, own.bytesPerSecond / 100 &* Self.yieldPercent))
  }

  /// What is left of a rate after one step of giving way.
  static let yieldPercent: UInt64 = 96

  /// A path that goes takes its claim along.
  func dropRateClaim(_ path: BondPath) {
    guard path.rateClaim != .none else { return }
    path.rateClaim = .none
    settings.rates?.write(.none, place: ratePlace(path), thread: engine.configuration.shard)
  }
}
