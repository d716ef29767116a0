/// What the emulator reads and writes inside an Ethernet frame. Nothing here trusts a length of the frame.
enum Frame {
  static let etherByteCount = 14
  private static let ipv4: UInt16 = 0x0800
  private static let ipv6: UInt16 = 0x86DD

  /// Address resolution (ARP; IPv6 neighbour and router discovery, RFC 4861), group membership (IGMP, MLD) and whatever isn't IP: it passes
  /// every fault and every queue and draws no chance, so that a blackhole is one of packets and not of neighbours.
  static func isHousekeeping(_ frame: borrowing MutableSpan<UInt8>) -> Bool {
    guard frame.count > etherByteCount + 20 else { return true }
    switch word(frame, 12) {
    case ipv4: return frame[etherByteCount + 9] == 2
    case ipv6:
      guard frame.count > etherByteCount + 40 else { return true }
      let next = frame[etherByteCount + 6]  // 0: hop-by-hop options, which only MLD has here
      return next == 0 || next == 58 && (133...137).contains(frame[etherByteCount + 40])
    default: return true
    }
  }

  /// Flips a bit. In UDP it is one of the payload, and the checksum is corrected with it (RFC 1624), so that the flip reaches the program
  /// behind the socket; elsewhere any bit after the Ethernet header.
  static func flip(_ bit: Int, in frame: inout MutableSpan<UInt8>) {
    guard frame.count > etherByteCount else { return }
    let udp = udpOffset(frame)
    if let udp, frame.count > udp + 8 {
      let offset = udp + 8 + bit / 8 % (frame.count - udp - 8)
      let pair = udp + (offset - udp) & ~1
      let before = pairAt(frame, pair)
      frame[offset] ^= 1 &<< UInt8(bit % 8)
      let checksum = word(frame, udp + 6)
      if checksum != 0 { set(&frame, udp + 6, adjusted(checksum, from: before, to: pairAt(frame, pair), zeroIsAbsent: true)) }
    } else {
      let offset = etherByteCount + bit / 8 % (frame.count - etherByteCount)
      frame[offset] ^= 1 &<< UInt8(bit % 8)
    }
  }

  /// Sets CE where the sender allows marks (RFC 3168).
  static func mark(_ frame: inout MutableSpan<UInt8>) {
    guard frame.count > etherByteCount + 20 else { return }
    switch word(frame, 12) {
    case ipv4:
      let before = word(frame, etherByteCount)
      guard before & 3 != 0 else { return }
      set(&frame, etherByteCount, before | 3)
      set(&frame, etherByteCount + 10, adjusted(word(frame, etherByteCount + 10), from: before, to: before | 3, zeroIsAbsent: false))
    case ipv6:
      guard frame[etherByteCount + 1] & 0x30 != 0 else { return }
      frame[etherByteCount + 1] |= 0x30
    default: break
    }
  }

  /// Where the UDP header begins; nil for anything else, fragments and extension headers included.
  private static func udpOffset(_ frame: borrowing MutableSpan<UInt8>) -> Int? {
    guard frame.count > etherByteCount + 28 else { return nil }
    switch word(frame, 12) {
    case ipv4:
      let header = Int(frame[etherByteCount] & 15) * 4
      guard header >= 20, frame[etherByteCount + 9] == 17, word(frame, etherByteCount + 6) & 0x3FFF == 0 else { return nil }
      return frame.count >= etherByteCount + header + 8 ? etherByteCount + header : nil
    case ipv6: return frame[etherByteCount + 6] == 17 && frame.count >= etherByteCount + 48 ? etherByteCount + 40 : nil
    default: return nil
    }
  }

  private static func word(_ frame: borrowing MutableSpan<UInt8>, _ offset: Int) -> UInt16 {
    UInt16(frame[offset]) &<< 8 | UInt16(frame[offset + 1])
  }

  /// Like `word`, but a byte behind the end counts as zero.
  private static func pairAt(_ frame: borrowing MutableSpan<UInt8>, _ offset: Int) -> UInt16 {
    UInt16(frame[offset]) &<< 8 | (offset + 1 < frame.count ? UInt16(frame[offset + 1]) : 0)
  }

  private static func set(_ frame: inout MutableSpan<UInt8>, _ offset: Int, _ value: UInt16) {
    frame[offset] = UInt8(value &>> 8)
    frame[offset + 1] = UInt8(truncatingIfNeeded: value)
  }

  /// RFC 1624, equation 3.
  private static func adjusted(_ checksum: UInt16, from before: UInt16, to after: UInt16, zeroIsAbsent: Bool) -> UInt16 {
    var sum = UInt32(~checksum) + UInt32(~before) + UInt32(after)
    sum = (sum & 0xFFFF) + (sum &>> 16)
    sum = (sum & 0xFFFF) + (sum &>> 16)
    let result = ~UInt16(truncatingIfNeeded: sum)
    return result == 0 && zeroIsAbsent ? 0xFFFF : result
  }
}
