internal import CLinux
internal import Glibc

/// How the kernel maps this process's memory.
public final class PageMap: Sendable {
  private let descriptor: FileDescriptor

  /// Nil where there is no /proc, or where the process may not look.
  public init?() {
    let descriptor = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { return nil }
    self.descriptor = FileDescriptor(adopting: descriptor)
  }

  /// Whether the page at an address is a huge one; nil when the kernel doesn't say (before 6.7).
  public func isHuge(_ address: UInt64) -> Bool? {
    let answer = shim_page_is_huge(descriptor.rawValue, address)
    return answer < 0 ? nil : answer > 0
  }
}
