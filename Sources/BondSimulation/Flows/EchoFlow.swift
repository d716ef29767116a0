internal import CausewayBase
internal import CausewayWire

/// Requests at a steady rate whose answers are awaited: ICMP echo as `ping` sends it, or UDP.
final class EchoClient: FlowEnd {
  var writer: PacketWriter
  private let address: FlowAddress
  private let isICMP: Bool
  private let packetByteCount: Int
  private let interval: Duration
  private let stop: Instant
  private var nextAt: Instant
  private let start: Instant
  private var sentAt: [UInt64] = []
  private var isAnswered: [Bool] = []
  private var lastAnswer: Instant?
  private(set) var answeredCount = 0
  private(set) var duplicateCount = 0
  private(set) var reorderedCount = 0
  private var highestAnswered = -1
  /// Between two answers.
  private(set) var longestGap = Duration.zero
  private(set) var delays = DelaySamples()

  /// - Parameter packetByteCount: of the whole IP packet, >= 44.
  init(_ address: FlowAddress, isICMP: Bool, packetByteCount: Int, interval: Duration, start: Instant, stop: Instant) {
    self.address = address
    self.isICMP = isICMP
    self.packetByteCount = packetByteCount
    self.interval = interval
    self.start = start
    self.stop = stop
    nextAt = start
    writer = address.writer(isICMP ? InnerHeader.icmp : InnerHeader.udp, longest: packetByteCount)
  }

  var sentCount: Int { sentAt.count }
  func wasAnswered(_ number: Int) -> Bool { isAnswered[number] }
  /// When each request was sent, and whether it was answered.
  func requests() -> [(at: Instant, isAnswered: Bool)] { zip(sentAt, isAnswered).map { (Instant(nanoseconds: $0), $1) } }

  func receive(_ packet: Span<UInt8>, _ header: InnerHeader, at now: Instant) {
    guard packet.count >= 36, !isICMP || packet[20] == 0 else { return }
    let number = Int(packet.bigEndian(at: 28, as: UInt64.self))
    guard sentAt.indices.contains(number) else { return }
    if isAnswered[number] {
      duplicateCount += 1
      return
    }
    isAnswered[number] = true
    answeredCount += 1
    if number < highestAnswered { reorderedCount += 1 }
    highestAnswered = max(highestAnswered, number)
    if let lastAnswer { longestGap = max(longestGap, now - lastAnswer) }
    lastAnswer = now
    delays.add(now.nanoseconds - sentAt[number], at: now)
  }

  func nextPacket(at now: Instant) -> Int? {
    guard nextAt <= now, nextAt < stop else { return nil }
    // After a sleep of the host it goes on from now.
    nextAt = max(nextAt + interval, now)
    let number = sentAt.count
    sentAt.append(now.nanoseconds)
    isAnswered.append(false)
    if isICMP {
      writer.put(UInt8(8), at: 20)
      writer.put(UInt16(truncatingIfNeeded: address.number), at: 24)
      writer.put(UInt16(truncatingIfNeeded: number), at: 26)
    } else {
      EchoServer.writeUDP(&writer, address, packetByteCount)
    }
    writer.put(UInt64(number), at: 28)
    writer.finish(packetByteCount, congestionBits: 0, checksumAt: isICMP ? 22 : 26, summed: packetByteCount)
    return packetByteCount
  }

  var nextDeadline: Instant? { nextAt < stop ? nextAt : nil }
  func advance(to now: Instant) {}
}

/// Answers each request with its own bytes.
final class EchoServer: FlowEnd {
  var writer: PacketWriter
  private let address: FlowAddress
  private let isICMP: Bool
  private var waiting: [(number: UInt64, count: Int)] = []
  private(set) var receivedCount = 0
  private(set) var duplicateCount = 0
  private var seen = SeenNumbers()

  init(_ address: FlowAddress, isICMP: Bool, packetByteCount: Int) {
    self.address = address
    self.isICMP = isICMP
    writer = address.writer(isICMP ? InnerHeader.icmp : InnerHeader.udp, longest: packetByteCount)
  }

  func receive(_ packet: Span<UInt8>, _ header: InnerHeader, at now: Instant) {
    guard packet.count >= 36, packet.count <= writer.bytes.count, !isICMP || packet[20] == 8 else { return }
    let number = packet.bigEndian(at: 28, as: UInt64.self)
    receivedCount += 1
    if !seen.insert(number) { duplicateCount += 1 }
    waiting.append((number, packet.count))
  }

  func nextPacket(at now: Instant) -> Int? {
    if waiting.isEmpty { return nil }
    // In the order of arrival: seldom more than a few wait.
    let (number, count) = waiting.removeFirst()
    if isICMP {
      writer.put(UInt8(0), at: 20)
      writer.put(UInt16(truncatingIfNeeded: address.number), at: 24)
      writer.put(UInt16(truncatingIfNeeded: number), at: 26)
    } else {
      Self.writeUDP(&writer, address, count)
    }
    writer.put(number, at: 28)
    writer.finish(count, congestionBits: 0, checksumAt: isICMP ? 22 : 26, summed: count)
    return count
  }

  static func writeUDP(_ writer: inout PacketWriter, _ address: FlowAddress, _ packetByteCount: Int) {
    writer.put(address.port, at: 20)
    writer.put(address.remotePort, at: 22)
    writer.put(UInt16(packetByteCount - 20), at: 24)
  }

  var nextDeadline: Instant? { nil }
  func advance(to now: Instant) {}
}

/// Which numbers were seen; they begin at 0 and are dense.
struct SeenNumbers {
  private var words: [UInt64] = []

  /// - Returns: whether it is new. Numbers beyond 2^27 count as seen.
  mutating func insert(_ number: UInt64) -> Bool {
    guard number < 1 << 27 else { return false }
    let word = Int(number / 64)
    while words.count <= word { words.append(0) }
    let bit: UInt64 = 1 << (number % 64)
    if words[word] & bit != 0 { return false }
    words[word] |= bit
    return true
  }
}
