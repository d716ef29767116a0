internal import CPacketSocket
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewaySimulation
internal import CausewaySupport

/// All links of one process: frames that arrive at a port go through the model of their direction and leave by the opposite port when the
/// model says so. One thread.
final class Emulator {
  /// Frames read from one port before the others get their turn.
  static let readsInTurn = 4
  /// Under load the emulator wakes at most once in so many nanoseconds: what is due or has come meanwhile is handled together. A frame may be
  /// that much late, as behind a network card that coalesces interrupts.
  static let grain: UInt64 = 100_000
  /// An interface that went away is looked for so often. Nanoseconds.
  static let reopenInterval: UInt64 = 200_000_000
  static let maximumLinkCount = SHIM_PACKET_WAIT / 2 - 1

  /// One direction: in at one port, out at the other.
  private struct Direction {
    var model: LinkModel
    var random: SeededRandom
    var exhausted = 0
    var oversized = 0
    var unsendable = 0

    mutating func admit(_ byteCount: Int, at now: UInt64) -> LinkModel.Admission {
      model.admit(byteCount, at: Instant(nanoseconds: now), using: &random)
    }
  }

  private struct Port {
    let interface: String
    var socket: CInt
    var kernelDrops: Int64 = 0
  }

  private let names: [String]
  /// Ports 2i and 2i + 1 are left and right of link i; direction 2i is what enters at port 2i ("up").
  private var ports: [Port] = []
  private var directions: [Direction] = []
  private let pool: FramePool
  private var heap = DepartureHeap()
  private var slots: [UInt32] = []
  private var lengths = [UInt32](repeating: 0, count: Int(SHIM_PACKET_BATCH))
  private var outSlots: [UInt32] = []
  private var outLengths: [UInt32] = []
  private var reopenAt: UInt64?
  private var latest: UInt64 = 0

  /// - Parameter configuration: `{"seed": 1, "links": [{"name": "a", "left": "IF", "right": "IF", "both": {…}, "up": {…}, "down": {…}}]}`.
  init(_ configuration: JSONValue, seed: UInt64) throws(SettingsError) {
    guard let pool = FramePool() else { throw SettingsError("no memory for frames") }
    self.pool = pool
    guard let links = configuration["links"]?.array, 1...Int(Self.maximumLinkCount) ~= links.count else {
      throw SettingsError("'links' is a list of 1 to \(Self.maximumLinkCount) links")
    }
    var names: [String] = []
    for (index, link) in links.enumerated() {
      if let stranger = link.strangers(to: ["name", "left", "right", "both", "up", "down"]).first {
        throw SettingsError("unknown member '\(stranger)' of link \(index)")
      }
      guard let left = link["left"]?.string, let right = link["right"]?.string else {
        throw SettingsError("link \(index) needs 'left' and 'right', two interfaces")
      }
      names.append(link["name"]?.string ?? String(index))
      for (interface, direction) in [(left, "up"), (right, "down")] {
        let socket = unsafe shim_packet_open(interface)
        if socket < 0 {
          throw SettingsError("cannot open interface '\(interface)' (errno \(-socket)): root, and two veth ends, are needed")
        }
        ports.append(Port(interface: interface, socket: socket))
        var parameters = LinkParameters()
        for part in ["both", direction] {
          guard let settings = link[part] else { continue }
          if let stranger = settings.strangers(to: LinkParameters.names).first { throw SettingsError("unknown setting '\(stranger)'") }
          try parameters.apply(settings)
        }
        let random = SeededRandom(seed: seed &* 1_000_003 &+ UInt64(directions.count))
        directions.append(Direction(model: LinkModel(parameters), random: random))
      }
    }
    self.names = names
    outSlots.reserveCapacity(Int(SHIM_PACKET_BATCH))
    outLengths.reserveCapacity(Int(SHIM_PACKET_BATCH))
  }

  // MARK: The loop

  /// Runs until `command` says so; it is called when `control` is readable and returns false to end.
  func run(control: CInt, command: (Emulator) -> Bool) {
    var descriptors = ports.map(\.socket) + [control]
    let controlBit: UInt64 = 1 &<< UInt64(ports.count)
    while true {
      let now = SystemClock.monotonic.nanoseconds
      if let reopenAt, reopenAt <= now {
        reopen(now)
        descriptors = ports.map(\.socket) + [control]
      }
      release(until: now)
      var ready = unsafe shim_packet_wait(descriptors, CInt(descriptors.count), wait(from: now))
      if ready == 0 { continue }
      if ready & controlBit != 0 {
        if !command(self) { return }
        ready &= ~controlBit
      }
      if ready == 0 { continue }
      for port in ports.indices where ready & (1 &<< UInt64(port)) != 0 { read(port) }
      // More is likely to follow at once: let it gather.
      release(until: SystemClock.monotonic.nanoseconds)
      _ = unsafe shim_packet_wait([control], 1, Int64(Self.grain - SystemClock.monotonic.nanoseconds % Self.grain))
    }
  }

  /// Nanoseconds until the next frame is due, rounded up to the grain, or until interfaces are looked for; negative: neither.
  private func wait(from now: UInt64) -> Int64 {
    var wake = UInt64.max
    if let next = heap.first { wake = (next + Self.grain - 1) / Self.grain * Self.grain }
    if let reopenAt { wake = min(wake, reopenAt) }
    return wake == .max ? -1 : Int64(wake > now ? wake - now : 0)
  }

  private func read(_ port: Int) {
    for _ in 0..<Self.readsInTurn {
      while slots.count < Int(SHIM_PACKET_BATCH), let slot = pool.take() { slots.append(slot) }
      if slots.isEmpty {  // nothing free: what comes is lost in the kernel, and counted
        directions[port].exhausted += 1
        return
      }
      let count = pool.receive(from: ports[port].socket, into: slots, lengths: &lengths, count: slots.count)
      if count < 0 {
        // ENETDOWN is told once, when the interface goes down; the socket hears it again when it comes up. Gone interfaces are reopened.
        if count != -100 { reopenAt = reopenAt ?? SystemClock.monotonic.nanoseconds &+ Self.reopenInterval }
        return
      }
      let now = max(SystemClock.monotonic.nanoseconds, latest)
      latest = now
      for index in 0..<count { admit(slots[index], lengths[index], port, now) }
      slots.removeFirst(count)
      if count < Int(SHIM_PACKET_BATCH) { return }
    }
  }

  private func admit(_ slot: UInt32, _ length: UInt32, _ port: Int, _ now: UInt64) {
    let byteCount = Int(length)
    guard byteCount <= FramePool.slotByteCount else {
      directions[port].oversized += 1
      return pool.give(slot)
    }
    if pool.withBytes(of: slot, count: byteCount, { Frame.isHousekeeping($0) }) {
      return heap.insert(slot: slot, byteCount: length, port: port ^ 1, at: now)
    }
    let admission = directions[port].admit(byteCount, at: now)
    guard admission.fate == .carried else { return pool.give(slot) }
    if let copy = admission.duplicateArrival {
      if let second = pool.take() {
        pool.copy(byteCount, from: slot, to: second)
        heap.insert(slot: second, byteCount: length, port: port ^ 1, at: copy.nanoseconds)
      } else {
        directions[port].exhausted += 1
      }
    }
    if let bit = admission.flippedBit { pool.withBytes(of: slot, count: byteCount) { Frame.flip(bit, in: &$0) } }
    if admission.isMarked { pool.withBytes(of: slot, count: byteCount) { Frame.mark(&$0) } }
    let length = admission.truncatedByteCount.map { UInt32(max($0, Frame.etherByteCount)) } ?? length
    heap.insert(slot: slot, byteCount: length, port: port ^ 1, at: admission.arrival.nanoseconds)
  }

  /// Sends what is due, in batches of one port.
  private func release(until time: UInt64) {
    var port = -1
    while let first = heap.first, first <= time {
      let departure = heap.removeFirst()
      if departure.port != port || outSlots.count == Int(SHIM_PACKET_BATCH) {
        flush(port)
        port = departure.port
      }
      outSlots.append(departure.slot)
      outLengths.append(departure.byteCount)
    }
    flush(port)
  }

  private func flush(_ port: Int) {
    var sent = 0
    while sent < outSlots.count {
      let count = pool.send(to: ports[port].socket, outSlots, outLengths, from: sent, count: outSlots.count - sent)
      if count > 0 {
        sent += count
      } else {  // its interface is down or gone, or the kernel is out of buffers: that frame is lost, as on a wire
        directions[port ^ 1].unsendable += 1
        sent += 1
      }
    }
    for slot in outSlots { pool.give(slot) }
    outSlots.removeAll(keepingCapacity: true)
    outLengths.removeAll(keepingCapacity: true)
  }

  private func reopen(_ now: UInt64) {
    reopenAt = nil
    for index in ports.indices {
      let socket = unsafe shim_packet_open(ports[index].interface)
      if socket >= 0 {
        _ = FileDescriptor(adopting: ports[index].socket)  // closes the old one
        ports[index].socket = socket
      } else {
        reopenAt = now &+ Self.reopenInterval
      }
    }
  }

  // MARK: Commands

  /// Changes links: `{"link": "a", "direction": "both", …settings…}`; without `link` all of them.
  func change(_ command: JSONValue) throws(SettingsError) {
    if let stranger = command.strangers(to: LinkParameters.names.union(["link", "direction"])).first {
      throw SettingsError("unknown setting '\(stranger)'")
    }
    let offsets: [Int]
    switch command["direction"]?.string ?? "both" {
    case "up": offsets = [0]
    case "down": offsets = [1]
    case "both": offsets = [0, 1]
    default: throw SettingsError("direction is up, down or both")
    }
    let wanted = command["link"]?.string
    let links = names.indices.filter { wanted == nil || names[$0] == wanted }
    if links.isEmpty { throw SettingsError("no link '\(wanted ?? "")'") }
    let now = Instant(nanoseconds: max(SystemClock.monotonic.nanoseconds, latest))
    for index in links.flatMap({ link in offsets.map { 2 * link + $0 } }) {
      var parameters = directions[index].model.parameters
      try parameters.apply(command)
      directions[index].model.change(to: parameters, at: now)
    }
  }

  /// Appends the counters of every link and direction.
  func counters(_ json: inout JSONWriter) {
    for index in ports.indices { ports[index].kernelDrops += max(0, shim_packet_drops(ports[index].socket)) }
    json.key("links")
    json.object { json in
      for (link, name) in names.enumerated() {
        json.key(name)
        json.object { json in
          for (offset, direction) in ["up", "down"].enumerated() {
            json.key(direction)
            json.object { json in
              let index = 2 * link + offset
              let statistics = directions[index].model.statistics
              json.member("offered", statistics.offered)
              json.member("carried", statistics.carried)
              json.member("carriedBytes", statistics.carriedByteCount)
              json.member("lost", statistics.lost)
              json.member("overflowed", statistics.overflowed)
              json.member("tooLong", statistics.tooLong)
              json.member("blackholed", statistics.blackholed)
              json.member("duplicated", statistics.duplicated)
              json.member("reordered", statistics.reordered)
              json.member("corrupted", statistics.corrupted)
              json.member("truncated", statistics.truncated)
              json.member("marked", statistics.marked)
              json.member("longestWaitMs", statistics.longestWait.inSeconds * 1000)
              json.member("oversized", directions[index].oversized)
              json.member("unsendable", directions[index].unsendable)
              json.member("exhausted", directions[index].exhausted)
              json.member("kernelDrops", ports[index].kernelDrops)
            }
          }
        }
      }
    }
  }
}
