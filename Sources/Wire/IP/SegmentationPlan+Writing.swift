extension SegmentationPlan {
  /// Writes segment `index` as a packet of its own.
  /// - Parameters:
  ///   - packet: The packet that the plan was made for.
  ///   - output: At least `segmentLength(index)` bytes, filled from its start.
  ///   - checksums: With `.partial` and `canStayPartial` the checksum field holds the pseudo-header's sum.
  /// - Returns: Bytes written.
  @discardableResult
  public func writeSegment(_ index: Int, of packet: Span<UInt8>, into output: inout MutableSpan<UInt8>, checksums: Checksums) -> Int {
    let payload = payloadRange(index)
    let length = headerLength &+ payload.count
    precondition(payload.upperBound <= packet.count && output.count >= length, "a segment does not fit")
    if headerLength == 0 {
      output.copy(packet, 0..<length, to: 0)
      if needsChecksum && !(checksums == .partial && canStayPartial) { finishSingle(&output, length) }
      return length
    }
    output.copy(packet, 0..<headerLength, to: 0)
    output.copy(packet, payload, to: headerLength)
    writeNetworkHeader(index, length, &output)
    let transportLength = length &- transportOffset
    // 16 bits hold it: a packet is at most 65535 bytes long, an IPv6 payload too.
    var sum = InternetChecksum.add(pseudoSum, UInt16(truncatingIfNeeded: transportLength))
    let isPartial = checksums == .partial
    let field: Int
    if isTCP {
      field = transportOffset &+ TCPHeader.checksumOffset
      let sequence = self.sequence &+ UInt32(truncatingIfNeeded: index &* segmentSize)
      let flags = self.flags & ~clearedFlags(index)
      output.setBigEndian(sequence, at: transportOffset &+ 4)
      output[transportOffset &+ 13] = flags
      if !isPartial {
        sum = InternetChecksum.add(sum, InternetChecksum.add(UInt16(truncatingIfNeeded: sequence &>> 16), UInt16(flags)))
        sum = InternetChecksum.add(sum, UInt16(truncatingIfNeeded: sequence))
      }
    } else {
      field = transportOffset &+ UDPHeader.checksumOffset
      output.setBigEndian(UInt16(truncatingIfNeeded: transportLength), at: transportOffset &+ UDPHeader.lengthOffset)
      if !isPartial { sum = InternetChecksum.add(sum, UInt16(truncatingIfNeeded: transportLength)) }
    }
    if isPartial {
      output.setBigEndian(sum, at: field)
      return length
    }
    sum = InternetChecksum.add(sum, transportSum)
    // Headers are of even length, so that the payload starts with a high byte.
    sum = InternetChecksum.add(sum, InternetChecksum.sum(packet, in: payload))
    output.setBigEndian(checksumValue(sum, isTCP: isTCP), at: field)
    return length
  }

  /// FIN and PSH belong to the last segment's bytes, CWR answers once (RFC 3168 §6.1.2): only on the first.
  @inline(__always) private func clearedFlags(_ index: Int) -> UInt8 {
    var cleared: TCPHeader.Flags = []
    if index != segmentCount &- 1 { cleared.formUnion([.fin, .push]) }
    if index != 0 { cleared.insert(.cwr) }
    return cleared.rawValue
  }

  @inline(__always) private func writeNetworkHeader(_ index: Int, _ length: Int, _ output: inout MutableSpan<UInt8>) {
    if isIPv6 {
      output.setBigEndian(UInt16(truncatingIfNeeded: length &- IPHeader.version6ByteCount), at: 4)
      return
    }
    let (total, identification) = (UInt16(truncatingIfNeeded: length), self.identification &+ UInt16(truncatingIfNeeded: index))
    output.setBigEndian(total, at: 2)
    output.setBigEndian(identification, at: 4)
    output.setBigEndian(~InternetChecksum.add(networkSum, InternetChecksum.add(total, identification)), at: 10)
  }

  /// The field already holds the pseudo-header's sum and is summed with the rest.
  private func finishSingle(_ output: inout MutableSpan<UInt8>, _ length: Int) {
    let sum = InternetChecksum.sum(output.span, in: checksumStart..<length)
    output.setBigEndian(checksumValue(sum, isTCP: checksumField &- checksumStart != UDPHeader.checksumOffset), at: checksumField)
  }
}

/// A transport checksum field for a sum: in UDP zero means "none", so that a computed zero is sent as its other form (RFC 768).
@inline(__always) func checksumValue(_ sum: UInt16, isTCP: Bool) -> UInt16 { ~sum == 0 && !isTCP ? 0xFFFF : ~sum }
