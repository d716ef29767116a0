import CausewayBase
import CausewayBondCore
import CausewayCrypto
import CausewayLinuxIO
import CausewayPaths

/// What the control thread tells a packet thread.
enum ThreadCommand: Sendable {
  case setPeer(PeerID, PeerSettings, [UplinkPlan])
  case removePeer(PeerID)
  /// The name of an uplink's far end was looked up.
  case resolved(PeerID, uplink: Int, DatagramAddress)
  case connect(PeerID)
  case setScheduler(SchedulerKind)
  /// The first thread told of a peer.
  case share(PeerShare)
  /// For the first thread: another one wants new keys.
  case needHandshake(PeerID, promptly: Bool)
  case snapshot(UInt32)
  /// Interfaces and addresses changed: sockets bound to one may have to be made anew.
  case networkChanged([NetworkChange])
  case stop
}

/// What a packet thread tells the control thread.
enum ThreadReport: Sendable {
  case started(udpPort: UInt16)
  case failed(String)
  case event(BondEvent)
  case log(LogText)
  case snapshot(UInt32, ThreadSnapshot)
  /// Of the first thread, for all others.
  case share(PeerShare)
  /// For the first thread.
  case needsHandshake(PeerID, promptly: Bool)
  case stopped
}

struct LogText: Sendable {
  var isWarning: Bool
  var text: String
}

struct ThreadSnapshot: Sendable {
  var peers: [PeerSnapshot]
  var drops: [(reason: DropReason, count: UInt64)]
  /// Datagrams that sockets lost for want of room.
  var socketDrops: UInt64
  var sendFailures: UInt64
  var deviceDrops: UInt64
  /// System calls and what they carried: how well batching works.
  var deviceReads: UInt64
  var deviceWrites: UInt64
  var sends: UInt64
  var sentDatagrams: UInt64
  var receives: UInt64
  var receivedDatagrams: UInt64
  var streams = StreamFigures()
  var shards = ShardFigures()
}

/// How a path leaves this machine, for the thread that opens its socket.
struct UplinkPlan: Sendable, Equatable {
  var binding: PathConfiguration.Binding
  var transport: PathConfiguration.Transport
  var host: String
  var port: UInt16
  /// When the host is a literal.
  var address: DatagramAddress?
}
