internal import CLinux
internal import Glibc

/// Another process of this host whose memory is read in place (process_vm_readv), as far as the kernel lets us. A number given to another
/// process after its end is noticed: by a descriptor of the process before each read, and behind each by a word that only the process
/// that is meant has at its place.
public final class ProcessMemory: Sendable {
  /// What became of a read.
  public enum Outcome: Equatable, Sendable {
    case read
    /// The process has ended.
    case gone
    /// The kernel doesn't allow it: an errno.
    case refused(CInt)
    /// There is no such memory (any more), or the word behind it is another one. What was written to our own is worth nothing.
    case unreadable
  }

  public let processID: Int32
  private let descriptor: FileDescriptor

  /// Nil when there is no such process, or no descriptor for it.
  public init?(_ processID: Int32) {
    guard processID > 0 else { return nil }
    let descriptor = shim_pidfd_open(processID)
    if descriptor < 0 { return nil }
    self.processID = processID
    self.descriptor = FileDescriptor(adopting: descriptor)
  }

  /// Whether that process has, by this number, the other end of a TCP connection of ours. The kernel's word for it: a copy of its
  /// descriptor is looked at.
  public func holds(_ number: CInt, otherEndOf ours: CInt) -> Bool {
    guard let local = SocketAddress.local(of: ours), let remote = SocketAddress.peer(of: ours), local.family != .unix else { return false }
    let copy = shim_pidfd_descriptor(descriptor.rawValue, number)
    if copy < 0 { return false }
    let theirs = FileDescriptor(adopting: copy)
    return SocketAddress.local(of: theirs.rawValue) == remote && SocketAddress.peer(of: theirs.rawValue) == local
  }

  /// Copies `memory.count` bytes from `address`, and then looks whether the 8 bytes at `wordAddress` are `word`: only then were the others
  /// still what they had been promised to be.
  public func read(at address: UInt64, into memory: UnsafeMutableRawBufferPointer, wordAddress: UInt64, word: UInt64) -> Outcome {
    var found: UInt64 = ~word
    // SAFETY: the kernel writes at most `count` bytes and the word; the other side's addresses it checks itself.
    let result = unsafe shim_read_process(
      descriptor.rawValue, processID, address, memory.baseAddress, memory.count, wordAddress, &found)
    if result == memory.count + MemoryLayout<UInt64>.size { return found == word ? .read : .unreadable }
    switch CInt(result) {
    case 0...: return .unreadable
    case -ESRCH: return .gone
    case -EFAULT, -EINVAL: return .unreadable
    default: return .refused(CInt(-result))
    }
  }
}
