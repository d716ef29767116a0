import CausewayBase
import CausewayBondCore
import CausewayLinuxIO

/// What one packet thread hands to another. Seldom: when the two ends have different numbers of threads, or the kernel could not steer.
enum RingMessage: Sendable {
  /// A read of the TUN device, with its virtio header.
  case packet([UInt8])
  /// A datagram of a listening socket.
  case datagram(ForwardedDatagram)
  /// An accepted connection whose first message is for a path of the other thread, with all that came in so far.
  case stream(descriptor: CInt, remote: DatagramAddress, input: [UInt8])
}

/// The rings of one thread: one to and one from each other thread.
struct ThreadRings: Sendable {
  /// Messages that may wait; beyond it they are dropped and counted. Of 64 KiB at most, 1 to 2 KiB usually.
  static let capacity = 512

  /// By thread; nil at its own place.
  var incoming: [Mailbox<RingMessage>?]
  var outgoing: [Mailbox<RingMessage>?]

  /// For each of so many threads.
  static func make(_ count: Int) throws(SystemError) -> [ThreadRings] {
    var rings = [ThreadRings](
      repeating: ThreadRings(incoming: Array(repeating: nil, count: count), outgoing: Array(repeating: nil, count: count)), count: count)
    for from in 0..<count {
      for to in 0..<count where from != to {
        let ring = try Mailbox<RingMessage>(capacity: capacity)
        rings[from].outgoing[to] = ring
        rings[to].incoming[from] = ring
      }
    }
    return rings
  }
}

/// Counts since the start.
struct ShardFigures: Sendable {
  /// Packets and datagrams that went to another thread.
  var handedOver: UInt64 = 0
  /// Its ring was full, or the route means nothing there.
  var handOverDrops: UInt64 = 0
}
