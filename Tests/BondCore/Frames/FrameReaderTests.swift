import CausewayBase
import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite struct FrameReaderTests {
  @Test("every frame is read as it was written, with and without padding", arguments: samplePayloads())
  func roundTrip(_ payload: [UInt8]) throws {
    let found = try frames(payload).get()
    try #require(found.count == 1)
    #expect(rewritten(found[0], of: payload) == payload)
    let padded = payload + [UInt8](repeating: 0, count: 15)
    if case .repair(let header, let parity) = found[0] {
      // Parity reaches to the end: zeros more or less are the same to it.
      #expect(try frames(padded).get() == [.repair(header, parity: parity.lowerBound..<padded.count)])
    } else {
      #expect(try frames(padded).get() == found)
    }
  }

  @Test("control frames share a payload, DATA ends it")
  func shared() throws {
    let samples = samplePayloads()
    let control = samples[2...7] + samples[9...]
    let payload = control.flatMap { $0 } + samples[0]
    let found = try frames(payload).get()
    #expect(found.count == control.count + 1)
    var again: [UInt8] = []
    for frame in found { again += rewritten(frame, of: payload) }
    #expect(again == payload)
    // What stands behind DATA is padding, whatever it holds.
    #expect(try frames(samples[0] + samples[9]).get().count == 1)
  }

  @Test("a frame cut anywhere is refused, and nothing behind it is read", arguments: samplePayloads())
  func truncated(_ payload: [UInt8]) {
    for count in 1..<payload.count {
      if payload[0] == FrameKind.repair, count >= RepairHeader.byteCount + RepairHeader.minimumParityByteCount { break }
      let result = frames(Array(payload[..<count]))
      #expect(result == .failure(.truncated) || result == .failure(.badPacket), "\(count) of \(payload.count)")
    }
  }

  @Test("an unknown kind ends the payload silently; a byte outside 0xC0...0xDF is an error", arguments: Array(UInt8.min...UInt8.max))
  func kinds(_ byte: UInt8) throws {
    let known: Set<UInt8> = Set(0xC0...0xC8).union(0xD0...0xD8).union([0xDE, 0xDF])
    let result = frames(samplePayloads()[9] + [byte])
    if byte == 0 || FrameKind.isFrame(byte) && !known.contains(byte) {
      #expect(try result.get().count == 1)
    } else {
      #expect(result == .failure(known.contains(byte) ? .truncated : .notAFrame))
    }
  }

  @Test("a field that may not hold its value refuses the payload")
  func outOfRange() {
    let samples = samplePayloads()
    func expect(_ sample: Int, at offset: Int, _ bytes: [UInt8], _ error: FrameError = .outOfRange, line: Int = #line) {
      var payload = samples[sample] + [UInt8](repeating: 0, count: 200)
      payload.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      #expect(frames(payload) == .failure(error), "line \(line)")
    }
    expect(0, at: 8, [0x44], .badPacket)  // header of 16 bytes
    expect(0, at: 8, [0x55], .badPacket)  // version 5
    expect(0, at: 10, [0, 19], .badPacket)  // shorter than its header
    expect(0, at: 10, [2, 0], .badPacket)  // longer than the payload
    expect(1, at: 1, [8, 0, 0x08])  // nothing but a header, in two
    expect(1, at: 1, [0x34, 0x01, 0xF8])  // 32 pieces of 308 bytes: some would be empty
    expect(1, at: 1, [0x34, 0xC1, 0x10])  // index 3 of 3
    expect(2, at: 1, [0])  // no block
    expect(2, at: 1, [9])  // too many
    expect(2, at: 3, [0])  // no range
    expect(2, at: 3, [33])
    expect(2, at: 20, [1])  // a gap before the largest
    expect(2, at: 22, [0, 0])  // an empty range
    expect(2, at: 24, [0, 0])  // adjacent ranges
    expect(2, at: 24, [0xFF, 0xFF])  // below zero
    expect(5, at: 5, [65])  // too many paths
    expect(5, at: 6, [64])  // no such path
    expect(5, at: 7, [4])  // no such state
    expect(5, at: 9, [0xE9, 3])  // weight 1001
    expect(8, at: 1, [3])  // a fourth parity
    expect(8, at: 6, [0])  // the first is no member
    expect(9, at: 1, [64])
    expect(12, at: 1, [0])  // no entry
    expect(12, at: 1, [65])  // too many
    expect(12, at: 2, [64])  // no such path
    expect(12, at: 7, [64])
    expect(10, at: 1, [0])
    expect(10, at: 2, [2])  // speaks only later versions than its own
    expect(10, at: 15, [0])
    expect(10, at: 15, [65])
    expect(10, at: 16, [0])
    expect(10, at: 16, [9])
  }

  @Test("at most 64 frames are read")
  func frameLimit() throws {
    let one = samplePayloads()[9]
    #expect(try frames(Array(repeatElement(one, count: 64).joined())).get().count == 64)
    #expect(frames(Array(repeatElement(one, count: 65).joined())) == .failure(.tooManyFrames))
  }

  @Test("a changed payload is refused or means what its bytes say", arguments: [UInt64(1), 2, 3, 4])
  func mutations(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let samples = samplePayloads()
    for _ in 0..<5_000 {
      var payload = (0..<Int.random(in: 1...3, using: &random)).flatMap { _ in samples.randomElement(using: &random)! }
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        payload[Int.random(in: 0..<payload.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      guard case .success(let found) = frames(payload) else { continue }
      for frame in found {
        let again = rewritten(frame, of: payload)
        #expect(try frames(again).get().count == 1)
        #expect(rewritten(try frames(again).get()[0], of: again) == again, "seed \(seed): \(payload)")
      }
    }
  }

  @Test("the inner packet's own length counts, and a lie drops it")
  func innerLengths() {
    for packet in [ipv4Packet(20), ipv4Packet(1400), ipv6Packet(40), ipv6Packet(1280)] {
      #expect(length(packet) == packet.count)
      #expect(length(packet + [0, 0, 0]) == packet.count)
      #expect(length(packet.dropLast()) == nil)
    }
    #expect(length([]) == nil)
  }

  private func length(_ bytes: [UInt8]) -> Int? { InnerPacket.byteCount(bytes.span, at: 0) }

  @Test("a writer without room writes nothing")
  func noRoom() {
    for sample in samplePayloads() {
      guard let frame = try? frames(sample).get().first else { continue }
      switch frame {
      case .acknowledgement, .repair: continue  // written piece by piece
      default: break
      }
      var refused = false
      let bytes = [UInt8](capacity: sample.count - 1) { out in
        switch frame {
        case .data(let header, _):
          for _ in 0..<out.freeCapacity - 7 { out.append(0) }
          refused = header.write(into: &out) == nil
        case .fragment(let header, _):
          let whole = [UInt8](repeating: 0, count: header.total)
          refused = header.write(of: whole.span, into: &out) == nil
        case .probe(let probe): refused = probe.write(into: &out) == nil
        case .echo(let echo): refused = echo.write(into: &out) == nil
        case .paths(var list):
          var entries: [PathAnnouncement] = []
          while let entry = list.next(sample.span) { entries.append(entry) }
          refused = PathList.write(sequence: list.sequence, entries.span, into: &out) == nil
        case .skip(let skip): refused = skip.write(into: &out) == nil
        case .parameters(let parameters): refused = parameters.write(into: &out) == nil
        case .suspect(let suspicion): refused = suspicion.write(into: &out) == nil
        case .capacity(var list):
          var entries: [CapacityEntry] = []
          while let entry = list.next(sample.span) { entries.append(entry) }
          refused = CapacityList.write(entries.span, into: &out) == nil
        case .hello(let hello): refused = hello.write(isAcknowledgement: false, into: &out) == nil
        case .helloAcknowledgement(let hello): refused = hello.write(isAcknowledgement: true, into: &out) == nil
        case .acknowledgement, .repair: break
        }
      }
      #expect(refused)
      #expect(bytes.allSatisfy { $0 == 0 })
    }
  }

  @Test("a padded probe has the size under test")
  func paddedProbe() throws {
    let payload = written { out in Probe(id: 1, sentMicroseconds: 2, challenge: 3).write(into: &out, paddedByteCount: 1440) }
    #expect(payload.count == 1440)
    #expect(try frames(payload).get() == [.probe(Probe(id: 1, sentMicroseconds: 2, challenge: 3))])
  }

  @Test("fragments cover a frame exactly, whatever the path carries", arguments: [28, 308, 1408, 9008, 16_383])
  func fragments(total: Int) {
    for limit in [16, 47, 500, 1200, 1400] {
      guard let count = FragmentHeader.count(total: total, pieceLimit: limit) else {
        #expect((total + limit / 16 * 16 - 1) / (limit / 16 * 16) > FragmentHeader.countLimit)
        continue
      }
      // Rounding up to 16 may leave a last piece with nothing in it: then one fewer does.
      var covered = 0
      for index in 0..<count {
        guard let header = FragmentHeader(total: total, index: index, count: count, sequence: 1) else {
          Issue.record("no piece \(index) of \(count) for \(total) at \(limit)")
          break
        }
        #expect(header.range.lowerBound == covered)
        #expect(header.range.count <= limit)
        covered = header.range.upperBound
      }
      #expect(covered == total)
    }
  }
}
