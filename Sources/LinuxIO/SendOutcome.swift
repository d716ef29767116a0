internal import Glibc

/// How a send of datagrams ended. None is fatal to a socket; on a path they are news about the path.
public enum SendOutcome: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  case sent
  /// Sent, after the kernel refused the source address that was asked for (gone, or on another interface): forget it.
  case sentFromAnotherAddress
  /// The socket's buffer is full: nothing, or not all, went out; wait until it is writable.
  case wouldBlock
  /// An earlier datagram met a closed port (ECONNREFUSED).
  case refused
  /// No route, or a router said so (ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL).
  case unreachable
  /// A firewall on this machine (EPERM, EACCES).
  case notPermitted
  /// The device's queue or the kernel's memory is full (ENOBUFS, ENOMEM).
  case noBuffers
  /// Larger than the device's MTU with "don't fragment", or than UDP allows (EMSGSIZE).
  case tooBig
  /// The interface is down or gone (ENETDOWN, ENODEV, ENXIO): it takes a new socket once it is back.
  case deviceGone
  /// Anything else, such as an address of the wrong family.
  case invalid

  @inlinable public var isSent: Bool { self == .sent || self == .sentFromAnotherAddress }

  /// `code` is an errno, > 0.
  init(_ code: CInt) {
    self =
      switch code {
      case EAGAIN: .wouldBlock
      case ECONNREFUSED: .refused
      case ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EHOSTDOWN: .unreachable
      case EPERM, EACCES: .notPermitted
      case ENOBUFS, ENOMEM: .noBuffers
      case EMSGSIZE: .tooBig
      case ENETDOWN, ENODEV, ENXIO: .deviceGone
      default: .invalid
      }
  }
}
