import CausewayBase
import CausewayBondCore
import CausewayLinuxIO
import CausewayPaths
import CausewayWire
import Glibc

// Several packet threads: what one has to hand to another, and news of peers by way of the control thread.

extension PacketThread {
  private var shard: Int { plan.configuration.shard }

  func registerRings() throws(SystemError) {
    for (index, ring) in plan.rings.incoming.enumerated() {
      if let ring { try poll.register(ring.descriptor, tag: Tag.ring + UInt64(index)) }
    }
  }

  /// Datagrams go to the thread that their path id names.
  func steerListeners() {
    guard plan.configuration.shardCount > 1 else { return }
    let program = PortProgram(
      PathSteering.program(shards: plan.configuration.shardCount).map {
        PortProgram.Step($0.code, $0.value, ifTrue: $0.ifTrue, ifFalse: $0.ifFalse)
      })
    for open in sockets {
      do throws(SystemError) { try open.socket?.attach(program) } catch {
        report(.log(LogText(isWarning: true, text: "\(error): datagrams go from thread to thread")))
      }
    }
  }

  // MARK: To another thread

  /// A packet of this thread's queue that another thread has to send.
  /// - Parameter count: With its virtio header.
  /// - Returns: Whether it was one.
  func handOver(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
    let start = VirtioHeader.byteCount
    // SAFETY: `count` bytes were read.
    let packet = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(bytes + start), count: count - start)
    let target = engine.shard(for: packet)
    guard target != shard else { return false }
    hand(.packet(unsafe Array(UnsafeBufferPointer(start: bytes, count: count))), to: target)
    return true
  }

  @discardableResult
  func hand(_ message: RingMessage, to target: Int) -> Bool {
    guard target < plan.rings.outgoing.count, let ring = plan.rings.outgoing[target], ring.send(message) else {
      figures.shards.handOverDrops &+= 1
      return false
    }
    figures.shards.handedOver &+= 1
    return true
  }

  /// What the engine has for other threads.
  func passNews() {
    engine.drainForwarded { datagram in
      // Numbers of the listening sockets mean the same on every thread; those of others don't.
      guard !datagram.route.isStream, datagram.route.socket < Self.listenerCount else {
        figures.shards.handOverDrops &+= 1
        return
      }
      hand(.datagram(datagram), to: datagram.shard)
    }
    engine.drainShares { reports.send(.share($0)) }
    engine.drainNeeds { report(.needsHandshake($0, promptly: $1)) }
  }

  // MARK: From another thread

  func takeRing(_ index: Int, _ now: Instant) {
    guard index < plan.rings.incoming.count, let ring = plan.rings.incoming[index] else { return }
    for _ in 0..<ThreadRings.capacity {
      guard let message = ring.receive() else { return }
      switch message {
      case .packet(var bytes): takePacket(&bytes, now)
      case .datagram(let datagram): takeDatagram(datagram, now)
      case .stream(let descriptor, let remote, let input): adoptStream(descriptor, remote, input, now)
      }
    }
  }

  private func takePacket(_ bytes: inout [UInt8], _ now: Instant) {
    guard bytes.count > VirtioHeader.byteCount else { return }
    let header = VirtioHeader(bytes.span.extracting(0..<VirtioHeader.byteCount))
    var whole = bytes.mutableSpan
    var packet = whole._mutatingExtracting(VirtioHeader.byteCount..<whole.count)
    engine.offer(&packet, header, at: now)
  }

  private func takeDatagram(_ datagram: ForwardedDatagram, _ now: Instant) {
    var bytes = datagram.bytes
    // SAFETY: the array outlives the call, and the deliveries that point into it are written before it ends.
    unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      unsafe engine.receive(
        base, count: buffer.count, segmentByteCount: 0, from: datagram.route, trafficClass: datagram.trafficClass, at: now)
      flushDeliveries()
    }
  }

  private func adoptStream(_ descriptor: CInt, _ remote: DatagramAddress, _ input: [UInt8], _ now: Instant) {
    guard let connection = addStranger(TCPPathSocket(adopting: descriptor), remote, now) else { return }
    connection.preload(input)
    readStream(connection, now)
  }

  /// The first thread told of a peer.
  func take(_ share: PeerShare, _ now: Instant) {
    engine.apply(share, at: now)
    for place in uplinks.indices where uplinks[place].peer == share.id && uplinks[place].plan.transport == .tcp {
      connectUplink(place, now)
    }
  }
}
