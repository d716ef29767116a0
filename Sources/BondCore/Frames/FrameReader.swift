/// One frame of a payload. Lists and packets stay in the payload: what stands here says where.
package enum Frame: Equatable, Sendable {
  case data(DataHeader, packet: Range<Int>)
  case fragment(FragmentHeader, piece: Range<Int>)
  case acknowledgement(AcknowledgementList)
  case probe(Probe)
  case echo(Echo)
  case paths(PathList)
  case skip(Skip)
  case parameters(OrderParameters)
  case repair(RepairHeader, parity: Range<Int>)
  case suspect(Suspicion)
  case capacity(CapacityList)
  case hello(Hello)
  case helloAcknowledgement(Hello)
}

/// Walks a decrypted payload. Every field of a frame is checked before it is yielded, lists with all their entries.
package struct FrameReader: Sendable {
  /// The smallest frame has 3 bytes; nobody has reason to send more than a few.
  package static let frameLimit = 64

  private var offset = 0
  private var count = 0

  package init() {}

  /// The next frame, or nil at the end: of the payload, before padding, behind DATA, and before a kind that this version doesn't know.
  package mutating func next(_ payload: Span<UInt8>) throws(FrameError) -> Frame? {
    guard offset < payload.count else { return nil }
    let kind = payload[offset]
    if kind == 0 { return end(nil, payload) }
    guard FrameKind.isFrame(kind) else { throw .notAFrame }
    guard count < Self.frameLimit else { throw .tooManyFrames }
    count += 1
    let start = offset
    switch kind {
    case FrameKind.data...FrameKind.data + DataFlags.all.rawValue:
      let (header, packet) = try DataHeader.read(payload, at: start)
      return end(.data(header, packet: packet), payload)
    case FrameKind.fragment:
      let (header, piece) = try FragmentHeader.read(payload, at: start)
      return end(.fragment(header, piece: piece), payload)
    case FrameKind.repair:
      let (header, parity) = try RepairHeader.read(payload, at: start)
      return end(.repair(header, parity: parity), payload)
    case FrameKind.acknowledgement:
      let list = try AcknowledgementList(payload, at: start)
      offset = list.end
      return .acknowledgement(list)
    case FrameKind.paths:
      let list = try PathList(payload, at: start)
      offset = list.end
      return .paths(list)
    case FrameKind.probe:
      offset += Probe.byteCount
      return .probe(try Probe(payload, at: start))
    case FrameKind.echo:
      offset += Echo.byteCount
      return .echo(try Echo(payload, at: start))
    case FrameKind.skip:
      offset += Skip.byteCount
      return .skip(try Skip(payload, at: start))
    case FrameKind.parameters:
      offset += OrderParameters.byteCount
      return .parameters(try OrderParameters(payload, at: start))
    case FrameKind.suspect:
      offset += Suspicion.byteCount
      return .suspect(try Suspicion(payload, at: start))
    case FrameKind.capacity:
      let list = try CapacityList(payload, at: start)
      offset = list.end
      return .capacity(list)
    case FrameKind.hello:
      offset += Hello.byteCount
      return .hello(try Hello(payload, at: start))
    case FrameKind.helloAcknowledgement:
      offset += Hello.byteCount
      return .helloAcknowledgement(try Hello(payload, at: start))
    default: return end(nil, payload)
    }
  }

  private mutating func end(_ frame: Frame?, _ payload: Span<UInt8>) -> Frame? {
    offset = payload.count
    return frame
  }
}
