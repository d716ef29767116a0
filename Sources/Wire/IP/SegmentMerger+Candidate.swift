extension SegmentMerger {
  /// A TCP or UDP packet without IP options, extension headers or fragments: the only ones whose flow the merger knows.
  struct Candidate {
    let isTCP: Bool
    let isIPv6: Bool
    /// Not when its own headers forbid it; its flow's batch then ends before it.
    let isMergeable: Bool
    let hasPush: Bool
    let hash: UInt32
    let transportOffset: Int
    let headerLength: Int
    let payloadByteCount: Int
    let sequence: UInt32

    /// nil: nothing to do with any flow here.
    @inline(__always) init?(_ bytes: Span<UInt8>, mergesUDP: Bool) {
      guard bytes.count >= IPHeader.version4ByteCount &+ UDPHeader.byteCount else { return nil }
      let start: Int
      let next: UInt8
      if bytes[0] == 0x45 {
        // DF may be set; reserved bit, MF and offset may not.
        guard Int(bytes.bigEndian(at: 2, as: UInt16.self)) == bytes.count, bytes.bigEndian(at: 6, as: UInt16.self) & ~0x4000 == 0 else {
          return nil
        }
        (isIPv6, start, next) = (false, IPHeader.version4ByteCount, bytes[9])
        hash = SegmentMerger.mix(
          bytes.littleEndian(at: 12), UInt64(bytes.littleEndian(at: 20, as: UInt32.self)) | UInt64(next) &<< 32)
      } else if bytes[0] &>> 4 == 6 {
        guard bytes.count >= IPHeader.version6ByteCount &+ UDPHeader.byteCount,
          Int(bytes.bigEndian(at: 4, as: UInt16.self)) == bytes.count &- IPHeader.version6ByteCount
        else { return nil }
        (isIPv6, start, next) = (true, IPHeader.version6ByteCount, bytes[6])
        // The high halves of two networks seldom differ; all bytes are compared before a merge.
        hash = SegmentMerger.mix(
          bytes.littleEndian(at: 16, as: UInt64.self) ^ bytes.littleEndian(at: 32, as: UInt64.self),
          UInt64(bytes.littleEndian(at: 40, as: UInt32.self)) | UInt64(next) &<< 32)
      } else {
        return nil
      }
      transportOffset = start
      switch next {
      case IPProtocol.tcp:
        guard let tcp = TCPHeader(bytes, at: start, end: bytes.count) else { return nil }
        isTCP = true
        headerLength = start &+ tcp.byteCount
        payloadByteCount = bytes.count &- headerLength
        sequence = tcp.sequence
        hasPush = tcp.flags.contains(.push)
        // The reserved bits beside the data offset are flags too (RFC 9293 §3.1; one is AccECN's).
        isMergeable = tcp.flags.subtracting(.push) == .ack && bytes[start &+ 12] & 0x0F == 0 && payloadByteCount > 0
      case IPProtocol.udp where mergesUDP:
        isTCP = false
        headerLength = start &+ UDPHeader.byteCount
        payloadByteCount = bytes.count &- headerLength
        sequence = 0
        hasPush = false
        isMergeable =
          payloadByteCount > 0 && Int(bytes.bigEndian(at: start &+ UDPHeader.lengthOffset, as: UInt16.self)) == bytes.count &- start
          && bytes.bigEndian(at: start &+ UDPHeader.checksumOffset, as: UInt16.self) != 0
      default: return nil
      }
    }

    /// Whether this packet's headers are those of the batch's `first`, `distance` packets later, so that cutting the whole gives them back.
    @inline(__always) func continues(_ bytes: Span<UInt8>, _ first: Span<UInt8>, distance: Int) -> Bool {
      if isIPv6 {
        // Version, traffic class, flow label; hop limit; addresses.
        guard Self.isSame(bytes, first, 0, as: UInt32.self), bytes[7] == first[7], Self.isSame(bytes, first, 8, as: UInt64.self),
          Self.isSame(bytes, first, 16, as: UInt64.self), Self.isSame(bytes, first, 24, as: UInt64.self),
          Self.isSame(bytes, first, 32, as: UInt64.self)
        else { return false }
      } else {
        // Version and TOS; flags; TTL and protocol; addresses.
        guard Self.isSame(bytes, first, 0, as: UInt16.self), Self.isSame(bytes, first, 6, as: UInt32.self),
          Self.isSame(bytes, first, 12, as: UInt64.self)
        else { return false }
        // Without DF the identification tells fragments apart, and the kernel numbers the parts on.
        let expected = first.bigEndian(at: 4, as: UInt16.self) &+ UInt16(truncatingIfNeeded: distance)
        guard bytes[6] & 0x40 != 0 || bytes.bigEndian(at: 4, as: UInt16.self) == expected else { return false }
      }
      let start = transportOffset
      guard Self.isSame(bytes, first, start, as: UInt32.self) else { return false }  // ports
      guard isTCP else { return true }
      // Acknowledgement; data offset; window; urgent pointer; options. Flags were looked at.
      guard Self.isSame(bytes, first, start &+ 8, as: UInt32.self), bytes[start &+ 12] == first[start &+ 12],
        Self.isSame(bytes, first, start &+ 14, as: UInt16.self), Self.isSame(bytes, first, start &+ 18, as: UInt16.self)
      else { return false }
      var offset = start &+ TCPHeader.minimumByteCount
      while offset < headerLength {
        guard Self.isSame(bytes, first, offset, as: UInt32.self) else { return false }
        offset &+= 4
      }
      return true
    }

    @inline(__always) private static func isSame<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
      _ a: Span<UInt8>, _ b: Span<UInt8>, _ offset: Int, as type: T.Type
    ) -> Bool {
      a.littleEndian(at: offset, as: type) == b.littleEndian(at: offset, as: type)
    }
  }

  @inline(__always) static func mix(_ a: UInt64, _ b: UInt64) -> UInt32 {
    let product = (a ^ 0xE703_7ED1_A0B4_28DB).multipliedFullWidth(by: b ^ 0x8EBC_6AF0_9C88_C6E3)
    let folded = product.high ^ product.low
    return UInt32(truncatingIfNeeded: folded ^ folded &>> 32)
  }
}
