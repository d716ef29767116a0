import CausewayBase
import CausewayPaths
import CausewayWire

@testable import CausewayBondCore

/// What a writer puts out, up to 2000 bytes.
func written(_ body: (inout OutputSpan<UInt8>) -> Void) -> [UInt8] {
  Array(capacity: 2000) { out in body(&out) }
}

extension Span<UInt8> {
  func copied(_ range: Range<Int>) -> [UInt8] { range.map { self[$0] } }
}

/// An IPv4 packet of `count` bytes whose payload follows from `seed`.
func ipv4Packet(_ count: Int, seed: UInt64 = 0) -> [UInt8] {
  var random = SeededRandom(seed: seed)
  var bytes: [UInt8] = [0x45, 0, UInt8(count >> 8), UInt8(count & 255), 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
  while bytes.count < count { bytes.append(UInt8.random(in: 0...255, using: &random)) }
  return bytes
}

func ipv6Packet(_ count: Int) -> [UInt8] {
  let length = count - 40
  return [0x60, 0, 0, 0, UInt8(length >> 8), UInt8(length & 255), 17, 64] + (8..<count).map { UInt8(truncatingIfNeeded: $0) }
}

/// All frames of a payload, or what was thrown.
func frames(_ payload: [UInt8]) -> Result<[Frame], FrameError> {
  var reader = FrameReader()
  var found: [Frame] = []
  do throws(FrameError) {
    while let frame = try reader.next(payload.span) { found.append(frame) }
    return .success(found)
  } catch { return .failure(error) }
}

/// Writes a frame that was read from `payload` again.
func rewritten(_ frame: Frame, of payload: [UInt8]) -> [UInt8] {
  let bytes = payload.span
  return written { out in
    switch frame {
    case .data(let header, let packet):
      header.write(into: &out)
      for i in packet { out.append(bytes[i]) }
    case .fragment(let header, let piece):
      var whole = [UInt8](repeating: 0, count: header.total)
      for (offset, i) in zip(header.range, piece) { whole[offset] = bytes[i] }
      header.write(of: whole.span, into: &out)
    case .acknowledgement(var list):
      AcknowledgementWriter.begin(blockCount: list.remaining, into: &out)
      while let block = list.next(bytes) {
        block.writeHead(into: &out)
        var above = block.largest + 1
        block.ranges(in: bytes) { range in
          out.appendFrameInteger(UInt16(above - range.upperBound - 1))
          out.appendFrameInteger(UInt16(range.count))
          above = range.lowerBound
        }
      }
    case .probe(let probe): probe.write(into: &out)
    case .echo(let echo): echo.write(into: &out)
    case .paths(var list):
      let sequence = list.sequence
      var entries: [PathAnnouncement] = []
      while let entry = list.next(bytes) { entries.append(entry) }
      PathList.write(sequence: sequence, entries.span, into: &out)
    case .skip(let skip): skip.write(into: &out)
    case .parameters(let parameters): parameters.write(into: &out)
    case .repair(let header, let parity):
      _ = header.writeHead(parityByteCount: parity.count, into: &out)
      for i in parity { out.append(bytes[i]) }
    case .suspect(let suspicion): suspicion.write(into: &out)
    case .capacity(var list):
      var entries: [CapacityEntry] = []
      while let entry = list.next(bytes) { entries.append(entry) }
      CapacityList.write(entries.span, into: &out)
    case .hello(let hello): hello.write(isAcknowledgement: false, into: &out)
    case .helloAcknowledgement(let hello): hello.write(isAcknowledgement: true, into: &out)
    }
  }
}

/// One of each kind, each at the end of its own payload.
func samplePayloads() -> [[UInt8]] {
  var tracker = AckTracker()
  for counter: UInt64 in [0, 1, 2, 5, 6, 9, 1000] {
    tracker.record(counter, wantsAcknowledgement: true, isCongested: counter == 9, at: Instant(nanoseconds: 5_000_000 + counter * 1000))
  }
  var other = AckTracker()
  other.record((1 << 48) - 2, wantsAcknowledgement: true, isCongested: false, at: .zero)
  let entries = [
    PathAnnouncement(path: PathID(0), state: .available, weight: 1000),
    PathAnnouncement(path: PathID(63), state: .backup, preference: 7, rateLimitKilobits: .max),
  ]
  let probe = Probe(id: 0xDEAD_BEEF, sentMicroseconds: 1 << 60, challenge: 0x0123_4567_89AB_CDEF)
  let packet = ipv4Packet(300)
  let header = DataHeader(flags: [.copy, .checksumPartial], bucket: 200, previous: 65_535, sequence: .max)
  let frame = written { out in
    header.write(into: &out)
    for byte in packet { out.append(byte) }
  }
  return [
    frame,
    written { out in _ = FragmentHeader(total: 308, index: 1, count: 3, sequence: .max)?.write(of: frame.span, into: &out) },
    written { out in
      AcknowledgementWriter.begin(blockCount: 2, into: &out)
      _ = tracker.writeBlock(path: PathID(5), keyTag: 3, into: &out, at: Instant(nanoseconds: 9_000_000))
      _ = other.writeBlock(path: PathID(63), into: &out, at: Instant(nanoseconds: 9_000_000))
    },
    written { out in probe.write(into: &out) },
    written { out in Echo(of: probe, arrivalMicroseconds: 77, receivedByteCount: 1408).write(into: &out) },
    written { out in PathList.write(sequence: 9, entries.span, into: &out) },
    written { out in Skip(bucket: 255, sequence: 0x8000_0000).write(into: &out) },
    written { out in
      OrderParameters(
        flags: .repairsFollow, acknowledgementDelayMicroseconds: 2500, holdLimitMicroseconds: 300_000, memoryByteCount: 1 << 24
      ).write(into: &out)
    },
    written { out in
      _ = RepairHeader(parity: 2, first: 5, members: 0x8000_0000_0000_0001).writeHead(parityByteCount: 40, into: &out)
      for i in 0..<40 { out.append(UInt8(i)) }
    },
    written { out in Suspicion(path: PathID(9), reason: .unacknowledged).write(into: &out) },
    written { out in
      Hello(features: [.repair, .fragments], bootID: 0xFEED, shardCount: 4).write(isAcknowledgement: false, into: &out)
    },
    written { out in
      Hello(features: Hello.Features(rawValue: .max), bootID: 1, pathLimit: 1, shardCount: 8).write(isAcknowledgement: true, into: &out)
    },
    written { out in
      let entries = [CapacityEntry(path: PathID(0), kilobits: .max), CapacityEntry(path: PathID(63), kilobits: 0)]
      CapacityList.write(entries.span, into: &out)
    },
  ]
}
