internal import CLinux

/// A server's name as users write it: brackets, zone and final dot removed.
struct TLSHostName {
  let text: String
  let isAddress: Bool
  /// Printable ASCII without spaces: above all no zero byte, behind which OpenSSL would not look. Other names come as xn-- ones.
  var isPlausible: Bool { text.utf8.allSatisfy { (0x21...0x7e).contains($0) } }

  init(_ name: String) {
    var text = name[...]
    if text.hasPrefix("["), text.hasSuffix("]") { text = text.dropFirst().dropLast() }
    if let percent = text.firstIndex(of: "%"), text.contains(":") { text = text[..<percent] }
    if text.hasSuffix(".") { text = text.dropLast() }
    self.text = String(text)
    var address = in6_addr()
    isAddress = unsafe inet_pton(AF_INET, self.text, &address) == 1 || inet_pton(AF_INET6, self.text, &address) == 1
  }
}
