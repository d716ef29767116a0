import CausewayBase
import CausewaySimulation

@testable import CausewayTunnelCore

/// One side of a schedule: a session, what it has read and not used, what it has made and not sent.
final class ScheduleEnd {
  let isRelay: Bool
  let session: Session
  let inbox = ByteBuffer()
  let outbox = ByteBuffer()
  /// By stream, from 1.
  var programs: [ScheduleProgram] = []
  fileprivate(set) var attachAt: Instant
  fileprivate(set) var detachAt = Instant.distantFuture

  init(isRelay: Bool, limits: SessionLimits, at now: Instant) {
    self.isRelay = isRelay
    session = Session(role: isRelay ? .relay : .client, limits: limits, pool: ChunkPool(), at: now)
    attachAt = now
  }

  var name: String { isRelay ? "relay" : "client" }
  var side: SimulatedConnection.Side { isRelay ? .server : .client }
  func program(_ id: StreamID) -> ScheduleProgram { programs[Int(id) - 1] }
}

/// The connections of a schedule, one after another: each but the last dies, at some byte or at some moment, and each side notices in
/// its own time.
final class ScheduleLink {
  private(set) var connection: SimulatedConnection
  private var deathsLeft: Int
  private var killAt = Instant.distantFuture
  private var reconnectAt = Instant.distantFuture
  private var isDeathSeen = false
  private var isFirst = true
  private(set) var deathCount = 0
  private(set) var deathsInSynchronization = 0

  init(_ random: inout SeededRandom, at now: Instant) {
    deathsLeft = 2 + random.number(below: 4)
    connection = SimulatedConnection(seed: 0)
    connect(&random, at: now)
  }

  /// No death is to come.
  var isLast: Bool { deathsLeft == 0 && reconnectAt == .distantFuture }
  var summary: String { "\(deathsLeft) deaths left, connection \(connection.isAlive ? "alive" : "dead")" }

  private func connect(_ random: inout SeededRandom, at now: Instant) {
    var conditions = LinkConditions()
    conditions.delay = .microseconds(random.pick(0, 100, 10_000, 60_000))
    conditions.jitter = .microseconds(random.pick(0, 0, 3_000))
    let rate = random.pick(0, 0, 200_000, 2_000_000)
    conditions.bytesPerSecond = rate == 0 ? nil : UInt64(rate)
    conditions.queueByteCount = random.pick(500, 4_000, 100_000)
    conditions.segmentByteCount = 1...random.pick(20, 1460, 1460, 65536)
    let dies = deathsLeft > 0
    // One in three dies while the sides still tell each other what they have.
    let byteLimit = random.number(below: 3) == 0 ? 150 : 12_000
    let bytesUntilDeath = dies ? random.number(below: byteLimit) : nil
    if bytesUntilDeath.map({ $0 > 1000 }) ?? true, conditions.segmentByteCount.upperBound == 20 { conditions.segmentByteCount = 1...200 }
    connection = SimulatedConnection(conditions, bytesUntilDeath: bytesUntilDeath, seed: random.next())
    killAt = dies ? now.later(random.number(below: 400_000)) : .distantFuture
  }

  /// Kills, connects, detaches and attaches what is due.
  func step(_ relay: ScheduleEnd, _ client: ScheduleEnd, _ random: inout SeededRandom, at now: Instant) {
    if killAt <= now { connection.kill() }
    if !connection.isAlive && !isDeathSeen { bury(relay, client, &random, at: now) }
    if reconnectAt <= now {
      // The relay learns at the latest now, by the resume.
      detach(relay)
      detach(client)
      reconnectAt = .distantFuture
      isDeathSeen = false
      isFirst = false
      connect(&random, at: now)
      let gap = now.later(random.number(below: 20_000))
      (relay.attachAt, client.attachAt) = random.pick(0, 1) == 0 ? (now, gap) : (gap, now)
    }
    attach(relay, at: now)
    attach(client, at: now)
  }

  private func attach(_ end: ScheduleEnd, at now: Instant) {
    if end.detachAt <= now { detach(end) }
    guard end.attachAt <= now else { return }
    end.attachAt = .distantFuture
    end.session.attach(resumed: !isFirst, at: now)
  }

  private func bury(_ relay: ScheduleEnd, _ client: ScheduleEnd, _ random: inout SeededRandom, at now: Instant) {
    isDeathSeen = true
    killAt = .distantFuture
    deathsLeft -= 1
    deathCount += 1
    if [relay, client].contains(where: { !$0.session.isAttached || $0.session.awaitsPeerSynchronization }) { deathsInSynchronization += 1 }
    // A side that was about to take up this connection may never get word of it.
    if random.pick(0, 1) == 0 { (relay.attachAt, client.attachAt) = (.distantFuture, .distantFuture) }
    // On one machine a new connection may follow within the same moment.
    client.detachAt = now.later(random.number(below: 1 + random.pick(0, 50_000)))
    relay.detachAt = now.later(random.number(below: 200_000))
    reconnectAt = client.detachAt.later(random.number(below: 1 + random.pick(0, 2_000, 100_000)))
  }

  private func detach(_ end: ScheduleEnd) {
    if end.session.isAttached { end.session.detach() }
    end.inbox.removeAll()
    end.outbox.removeAll()
    (end.attachAt, end.detachAt) = (.distantFuture, .distantFuture)
  }

  /// When `step` or a receipt is next due.
  func nextInstant(_ relay: ScheduleEnd, _ client: ScheduleEnd) -> Instant {
    var next = min(killAt, reconnectAt, min(relay.attachAt, relay.detachAt, client.attachAt, client.detachAt))
    // What waits for a side that has not taken up the connection is no event.
    if relay.session.isAttached, let arrival = connection.nextArrival(at: .server) { next = min(next, arrival) }
    if client.session.isAttached, let arrival = connection.nextArrival(at: .client) { next = min(next, arrival) }
    return next
  }
}
