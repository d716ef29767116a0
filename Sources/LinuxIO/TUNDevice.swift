internal import CLinux
public import CausewayBase
internal import Glibc

/// One queue of a TUN device whose packets carry virtio headers: the kernel hands over segments to be cut (TSO, USO) and takes some
/// that were put together. Reading and writing allocate nothing and never wait. Belongs to one thread at a time.
@safe public final class TUNDevice {
  /// Bytes of the header before each packet (struct virtio_net_hdr).
  public static let headerByteCount = 10
  /// The largest packet and its header: what `read` should offer room for.
  public static let readByteCount = 65535 + headerByteCount
  /// Bytes of an interface's name (IFNAMSIZ without its terminator).
  public static let nameByteLimit = 15

  /// What the kernel may hand over, and takes, beside single packets (TUN_F_* of linux/if_tun.h).
  public enum Offload: UInt32, Sendable, CaseIterable {
    /// Checksums left to us, TCP and UDP segments: Linux 6.2.
    case tcpAndUDP = 0x67
    /// Checksums left to us, TCP segments.
    case tcp = 0x07
    case none = 0
  }

  /// The name the kernel gave it.
  public let name: String
  public let offload: Offload
  public let isMultiQueue: Bool
  /// For a poll, or for handing the queue to a child process; the device keeps it.
  public let descriptor: CInt

  /// Attaches a queue to the device, and makes it when it is missing; it goes with its last queue. Up to 256 queues of one name with
  /// `multiQueue`, which all its queues must ask for.
  public convenience init(name: String, multiQueue: Bool = false) throws(TUNError) {
    guard Self.isValidName(name) else { throw TUNError(.invalidName, device: name, code: EINVAL) }
    var stage: CInt = 0
    let result = unsafe shim_tun_open(name, multiQueue ? 1 : 0, &stage)
    if result < 0 { throw TUNError(code: -result, stage: stage, device: name) }
    try self.init(adopting: result)
  }

  /// Takes over an open queue, for instance one that a parent process opened. Closes the descriptor also when it throws.
  public init(adopting descriptor: CInt) throws(TUNError) {
    let owned = FileDescriptor(adopting: descriptor)
    var name = [CChar](repeating: 0, count: 16)
    var flags: UInt16 = 0
    // SAFETY: 16 bytes, as the shim asks for; it terminates them.
    let result = unsafe shim_tun_name(descriptor, &name, &flags)
    if result < 0 { throw TUNError(.notTUN, device: "descriptor \(descriptor)", code: -result) }
    self.name = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    isMultiQueue = flags & 0x0100 != 0  // IFF_MULTI_QUEUE
    if flags & 0x5001 != 0x5001 {  // IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
      throw TUNError(.notTUN, device: self.name, code: EINVAL)
    }
    let size = shim_tun_set_header_size(descriptor)
    if size < 0 { throw TUNError(code: -size, stage: 2, device: self.name) }
    offload = Offload.allCases.first { shim_tun_set_offload(descriptor, $0.rawValue) == 0 } ?? .none
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    self.descriptor = owned.release()
  }

  deinit { _ = Glibc.close(descriptor) }

  /// 1 to 15 bytes that the kernel takes as a name: no slash, colon, blank or control byte, not "." or ".."; "%" would be a pattern.
  public static func isValidName(_ name: String) -> Bool {
    (1...nameByteLimit).contains(name.utf8.count) && name != "." && name != ".."
      && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != 0x2F && $0 != 0x3A && $0 != 0x25 }
  }

  /// Reads one packet with its header.
  /// - Parameter capacity: `readByteCount`, or packets are cut short.
  /// - Returns: Bytes with the header; 0 when there is none now; negative: -errno (-EBADFD: the device is gone).
  @unsafe public func read(into bytes: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
    let count = unsafe shim_read(descriptor, bytes, capacity)
    return count == -Int(EAGAIN) ? 0 : count
  }

  /// Writes one packet, or one that was put together, from its pieces, the header first.
  @unsafe public func write(_ pieces: UnsafePointer<MemoryPiece>, count: Int) -> TUNWriteOutcome {
    TUNWriteOutcome(unsafe shim_write_pieces(descriptor, pieces, CInt(count)))
  }
}

/// How a write to the device ended; none is fatal to it.
public enum TUNWriteOutcome: UInt8, Sendable, BitwiseCopyable {
  case written
  /// The kernel has no memory for it now (EAGAIN, ENOMEM, ENOBUFS): the packet is lost, as on any link.
  case noBuffers
  /// The device is down (EIO).
  case down
  /// Not a packet, or a header that does not fit it (EINVAL).
  case invalid
  /// The device was removed.
  case gone

  init(_ result: Int) {
    self =
      switch CInt(truncatingIfNeeded: -result) {
      case _ where result >= 0: .written
      case EAGAIN, ENOMEM, ENOBUFS: .noBuffers
      case EIO: .down
      case EBADFD, EBADF, ENODEV: .gone
      default: .invalid
      }
  }
}
