internal import CLinux
internal import Glibc

/// Why a TUN device could not be opened, with what to do.
public struct TUNError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Cause: UInt8, Sendable {
    case invalidName
    /// /dev/net/tun is missing: no module, or a container without the device.
    case noTUN
    case notPermitted
    /// Somebody else has it open, or it exists with another number of queues.
    case busy
    /// The name belongs to an interface of another kind.
    case notTUN
    /// The kernel lacks virtio headers of 10 bytes.
    case unsupported
    case other
  }

  public let cause: Cause
  public let device: String
  /// An errno.
  public let code: CInt

  init(_ cause: Cause, device: String, code: CInt) {
    self.cause = cause
    self.device = device
    self.code = code
  }

  /// `stage` as in `shim_tun_open`.
  init(code: CInt, stage: CInt, device: String) {
    let cause: Cause =
      switch (stage, code) {
      case (0, ENOENT), (0, ENODEV), (0, ENXIO): .noTUN
      case (_, EPERM), (_, EACCES): .notPermitted
      case (1, EBUSY): .busy
      case (1, EINVAL): .notTUN
      case (2, _): .unsupported
      default: .other
      }
    self.init(cause, device: device, code: code)
  }

  public var description: String {
    let start = "cannot open TUN device '\(device)'"
    return switch cause {
    case .invalidName: "\(start): a name has 1 to 15 bytes and no blank, slash, colon or percent sign"
    case .noTUN: "\(start): /dev/net/tun is missing: load it with 'modprobe tun', or give the container the device"
    case .notPermitted where code == EACCES:
      "\(start) (EACCES): run as root, or let users open the device: chmod 666 /dev/net/tun"
    case .notPermitted:
      "\(start) (EPERM): run as root, or give the program the capability once: setcap cap_net_admin+ep PROGRAM"
    case .busy: "\(start): another process has it open; stop that one or choose another name"
    case .notTUN: "\(start): an interface of that name exists and is not a TUN device of this kind; choose another name"
    case .unsupported: "\(start): this kernel has no virtio headers for TUN (needs Linux 3.8)"
    case .other: "\(start): \(SystemError(code, "TUNSETIFF").message)"
    }
  }
}
