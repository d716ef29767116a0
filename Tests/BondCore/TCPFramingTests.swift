import CausewayBase
import Testing

@testable import CausewayBondCore

@Suite struct TCPFramingTests {
  static let magic: [UInt8] = [0x43, 0x77, 0x42, 0x31]

  static func framed(_ type: UInt8, _ count: Int) -> [UInt8] {
    [UInt8(count >> 8), UInt8(count & 0xFF), type] + [UInt8](repeating: 7, count: count - 1)
  }

  /// Feeds the bytes in pieces; the buffer keeps what was not taken.
  static func events(_ framing: inout TCPFraming, _ bytes: [UInt8], pieces: Int, trusts: Bool = false) -> [TCPFraming.Event] {
    var (events, offset, end) = ([TCPFraming.Event](), 0, 0)
    while end < bytes.count {
      end = min(bytes.count, end + pieces)
      loop: while true {
        let event = framing.next(bytes.span.extracting(0..<end), at: &offset)
        switch event {
        case .incomplete: break loop
        case .message:
          events.append(event)
          if trusts { framing.authenticate() }
        case .violation: return events + [event]
        }
      }
    }
    return events
  }

  @Test("messages come out whole, however the bytes arrive", arguments: [1, 2, 3, 5, 7, 150, 2000])
  func pieces(_ size: Int) {
    var framing = TCPFraming(.accepting)
    let stream = Self.magic + Self.framed(1, 148) + Self.framed(4, 32) + Self.framed(4, 65535) + Self.framed(9, 40)
    let events = Self.events(&framing, stream, pieces: size, trusts: true)
    #expect(events == [.message(6..<154), .message(156..<188), .message(190..<65725), .message(65727..<65767)])
  }

  @Test(
    "a stranger's first message is an initiation or a transport message, or the connection closes at once",
    arguments: [
      ([0x43, 0x77, 0x42, 0x32], .wrongMagic), ([0x47], .wrongMagic), (magic + [0, 31], .wrongLength), (magic + [0, 0], .wrongLength),
      (magic + [0xFF, 0xFF], .wrongLength), (magic + [1, 0xFB], .wrongLength), (magic + [0, 147, 1], .wrongLength),
      (magic + [0, 149, 1], .wrongLength), (magic + [0, 92, 2], .wrongType), (magic + [0, 64, 3], .wrongType),
      (magic + [0, 64, 0], .wrongType), (magic + framed(1, 148) + [0, 148], .tooMany), (magic + framed(4, 32) + framed(4, 32), .tooMany),
    ] as [([UInt8], TCPFraming.Violation)])
  func strangers(_ bytes: [UInt8], _ violation: TCPFraming.Violation) {
    var framing = TCPFraming(.accepting)
    let last = Self.events(&framing, bytes, pieces: 1).last
    #expect(last == .violation(violation))
  }

  @Test(
    "the connecting side waits for a response, a cookie or data",
    arguments: [(2, 92, true), (3, 64, true), (4, 96, true), (1, 148, false), (2, 93, false)])
  func connecting(_ type: UInt8, _ count: Int, _ isFine: Bool) {
    var framing = TCPFraming(.connecting)
    let events = Self.events(&framing, Self.magic + Self.framed(type, count), pieces: 600)
    #expect((events == [.message(6..<6 + count)]) == isFine)
  }

  @Test("after a cookie another first message may come")
  func cookie() {
    var framing = TCPFraming(.accepting)
    var bytes = Self.magic + Self.framed(1, 148)
    _ = Self.events(&framing, bytes, pieces: 200)
    framing.allowAnotherFirstMessage()
    bytes = Self.framed(1, 148)
    let events = Self.events(&framing, bytes, pieces: 200)
    #expect(events == [.message(2..<150)])
  }

  @Test("a stranger's buffer is 512 bytes, and every allowed first message fits")
  func limit() {
    var framing = TCPFraming(.accepting)
    #expect(framing.readLimit(buffered: 100, capacity: 65536) == 412)
    #expect(framing.readLimit(buffered: 600, capacity: 65536) == 0)
    let events = Self.events(&framing, Self.magic + Self.framed(4, 506), pieces: 512)
    #expect(events == [.message(6..<512)])
    framing.authenticate()
    #expect(framing.readLimit(buffered: 100, capacity: 65536) == 65436)
  }

  @Test("what is written is what is read")
  func header() {
    var bytes = [UInt8](repeating: 0, count: 6)
    var span = bytes.mutableSpan
    let first = TCPFraming.writeHeader(byteCount: 148, isFirst: true, into: &span)
    #expect(first == 6 && bytes == Self.magic + [0, 148])
    var again = bytes.mutableSpan
    let second = TCPFraming.writeHeader(byteCount: 0x1234, isFirst: false, into: &again)
    #expect(second == 2 && Array(bytes[0..<2]) == [0x12, 0x34])
  }
}

@Suite struct TCPAdmissionTests {
  @Test("sixteen of one address, then its own oldest goes")
  func perAddress() {
    var table = TCPAdmission()
    for id in 0..<16 { #expect(table.admit(UInt32(id), from: .ipv4(1, port: UInt16(id)), at: .zero) == nil) }
    _ = table.admit(100, from: .ipv4(2, port: 1), at: .zero)
    let closed = (table.admit(101, from: .ipv4(1, port: 99), at: .zero), table.admit(102, from: .ipv4(1, port: 98), at: .zero))
    #expect(closed == (0, 1) && table.count == 17)
  }

  @Test("IPv6 counts by /64, and a mapped address as IPv4")
  func families() {
    var table = TCPAdmission()
    for id in 0..<16 { _ = table.admit(UInt32(id), from: .ipv6(high: 5, low: UInt64(id), port: 1), at: .zero) }
    #expect(table.admit(50, from: .ipv6(high: 6, low: 0, port: 1), at: .zero) == nil)
    #expect(table.admit(51, from: .ipv6(high: 5, low: 999, port: 1), at: .zero) == 0)
    for id in 60..<76 { _ = table.admit(UInt32(id), from: .ipv6(high: 0, low: 0xFFFF_0000_0001, port: 1), at: .zero) }
    #expect(table.admit(80, from: .ipv4(2, port: 1), at: .zero) == nil)
    #expect(table.admit(81, from: .ipv4(1, port: 1), at: .zero) == 60)
  }

  @Test("256 in all, then the oldest goes; who is known leaves the table")
  func inAll() {
    var table = TCPAdmission()
    for id in 0..<256 { #expect(table.admit(UInt32(id), from: .ipv4(UInt32(id), port: 1), at: .zero) == nil) }
    table.remove(0)
    #expect(table.admit(300, from: .ipv4(1000, port: 1), at: .zero) == nil)
    #expect(table.admit(301, from: .ipv4(1001, port: 1), at: .zero) == 1)
    #expect(table.count == 256)
  }

  @Test("five seconds for the first authentic message")
  func time() {
    var table = TCPAdmission()
    _ = table.admit(1, from: .ipv4(1, port: 1), at: .zero)
    _ = table.admit(2, from: .ipv4(1, port: 1), at: .zero + .seconds(1))
    #expect(table.nextDeadline == .zero + .seconds(5))
    let early = table.expire(at: .zero + .milliseconds(4999))
    let (first, second) = (table.expire(at: .zero + .milliseconds(5500)), table.expire(at: .zero + .milliseconds(5500)))
    #expect(early == nil && first == 1 && second == nil)
    #expect(table.nextDeadline == .zero + .seconds(6))
  }
}
