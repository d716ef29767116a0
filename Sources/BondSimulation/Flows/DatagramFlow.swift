internal import CausewayBase
internal import CausewayWire

/// UDP packets of one size at a steady rate, numbered and stamped.
final class DatagramSource: FlowEnd {
  var writer: PacketWriter
  private let address: FlowAddress
  private let packetByteCount: Int
  private let intervalNanoseconds: Double
  private let start: Instant
  private let stop: Instant
  private let usesECN: Bool
  private(set) var sentCount = 0
  private var origin: Instant

  /// - Parameter packetByteCount: of the whole IP packet, >= 44.
  init(_ address: FlowAddress, packetByteCount: Int, bytesPerSecond: Double, usesECN: Bool, start: Instant, stop: Instant) {
    self.address = address
    self.packetByteCount = packetByteCount
    self.usesECN = usesECN
    self.start = start
    self.stop = stop
    origin = start
    intervalNanoseconds = Double(packetByteCount) / bytesPerSecond * 1e9
    writer = address.writer(InnerHeader.udp, longest: packetByteCount)
    nextAt = start
  }

  private var nextAt: Instant
  private var sinceOrigin = 0

  func receive(_ packet: Span<UInt8>, _ header: InnerHeader, at now: Instant) {}

  func nextPacket(at now: Instant) -> Int? {
    guard nextAt <= now, nextAt < stop else { return nil }
    EchoServer.writeUDP(&writer, address, packetByteCount)
    writer.put(UInt64(sentCount), at: 28)
    writer.put(now.nanoseconds, at: 36)
    writer.finish(packetByteCount, congestionBits: usesECN ? 2 : 0, checksumAt: 26, summed: 44)
    sentCount += 1
    sinceOrigin += 1
    nextAt = Instant(nanoseconds: origin.nanoseconds + UInt64(Double(sinceOrigin) * intervalNanoseconds))
    // After a sleep of the host it goes on from now.
    if nextAt + .seconds(1) < now { (origin, sinceOrigin, nextAt) = (now, 0, now) }
    return packetByteCount
  }

  var nextDeadline: Instant? { nextAt < stop ? nextAt : nil }
  func advance(to now: Instant) {}
}

/// Counts what arrives of a `DatagramSource`.
final class DatagramSink: FlowEnd {
  var writer: PacketWriter
  let meter: GoodputMeter
  private(set) var receivedCount = 0
  private(set) var duplicateCount = 0
  /// Came after a later one.
  private(set) var reorderedCount = 0
  private(set) var markedCount = 0
  private(set) var delays = DelaySamples()
  private var highest: UInt64?
  private var seen = SeenNumbers()

  init(_ address: FlowAddress, start: Instant) {
    writer = address.writer(InnerHeader.udp, longest: 64)
    meter = GoodputMeter(start: start)
  }

  func receive(_ packet: Span<UInt8>, _ header: InnerHeader, at now: Instant) {
    guard packet.count >= 44 else { return }
    let number = packet.bigEndian(at: 28, as: UInt64.self)
    guard seen.insert(number) else {
      duplicateCount += 1
      return
    }
    if header.congestionBits == 3 { markedCount += 1 }
    receivedCount += 1
    meter.add(packet.count - 28, at: now)
    delays.add(now.nanoseconds(since: Instant(nanoseconds: packet.bigEndian(at: 36))), at: now)
    if let highest, number < highest { reorderedCount += 1 }
    highest = max(highest ?? 0, number)
  }

  func nextPacket(at now: Instant) -> Int? { nil }
  var nextDeadline: Instant? { nil }
  func advance(to now: Instant) {}
}
