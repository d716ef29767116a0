internal import CLinux
internal import CausewayBase
internal import Glibc

/// One rtnetlink request in the making (netlink(7)): a header of 16 bytes, a fixed part, attributes padded to 4 bytes. Numbers are in the
/// machine's order.
struct NetlinkMessage {
  enum Kind: UInt16 {
    case newLink = 16
    case removeLink = 17
    case getLink = 18
    case newAddress = 20
    case removeAddress = 21
    case getAddress = 22
    case newRoute = 24
    case removeRoute = 25
    case getRoute = 26
    case newRule = 32
    case removeRule = 33
    case getRule = 34
  }

  enum Flags {
    static let request: UInt16 = 0x001
    static let acknowledge: UInt16 = 0x004
    static let dump: UInt16 = 0x300
    static let replace: UInt16 = 0x100
    static let exclusive: UInt16 = 0x200
    static let create: UInt16 = 0x400
  }

  static let headerByteCount = 16
  private(set) var bytes: [UInt8] = []
  private let flags: UInt16

  init(_ kind: Kind, flags: UInt16) {
    self.flags = flags
    append(UInt32(0))  // length
    append(kind.rawValue)
    append(flags)
    append(UInt64(0))  // sequence and port
  }

  mutating func append<T: FixedWidthInteger>(_ value: T) {
    unsafe withUnsafeBytes(of: value) { unsafe bytes.append(contentsOf: $0) }
  }

  mutating func attribute<T: FixedWidthInteger>(_ type: UInt16, _ value: T) {
    append(UInt16(4 + MemoryLayout<T>.size))
    append(type)
    append(value)
    pad()
  }

  mutating func attribute(_ type: UInt16, _ value: [UInt8]) {
    append(UInt16(4 + value.count))
    append(type)
    bytes += value
    pad()
  }

  mutating func nested(_ type: UInt16, _ body: (inout NetlinkMessage) -> Void) {
    let start = bytes.count
    append(UInt16(0))
    append(type)
    body(&self)
    patch(UInt16(bytes.count - start), at: start)
  }

  /// The message with its length, number and further flags filled in.
  func finished(sequence: UInt32, adding flags: UInt16) -> [UInt8] {
    var copy = self
    copy.patch(UInt32(bytes.count), at: 0)
    copy.patch(self.flags | flags, at: 6)
    copy.patch(sequence, at: 8)
    return copy.bytes
  }

  private mutating func patch<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    unsafe withUnsafeBytes(of: value) { raw in
      for index in 0..<raw.count { unsafe bytes[offset + index] = raw[index] }
    }
  }

  private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }
}

/// A received message's parts, each checked to lie inside it.
struct NetlinkReader {
  let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func number<T: FixedWidthInteger & UnsignedInteger>(_ offset: Int, as type: T.Type = T.self) -> T? {
    guard offset >= 0, bytes.count - offset >= MemoryLayout<T>.size else { return nil }
    var value: T = 0
    for index in (0..<MemoryLayout<T>.size) { value |= T(bytes[offset + index]) << T(8 * index) }
    return value.inMachineOrder
  }

  /// Messages of a datagram, as (type, sequence, body range).
  func messages(_ body: (_ type: UInt16, _ sequence: UInt32, _ range: Range<Int>) throws(SystemError) -> Bool) throws(SystemError) {
    var offset = 0
    while let length: UInt32 = number(offset), let type: UInt16 = number(offset + 4), let sequence: UInt32 = number(offset + 8) {
      guard Int(length) >= NetlinkMessage.headerByteCount, offset + Int(length) <= bytes.count else { return }
      guard try body(type, sequence, offset + NetlinkMessage.headerByteCount..<offset + Int(length)) else { return }
      offset += (Int(length) + 3) & ~3
    }
  }

  /// Attributes between `range.lowerBound` and its end, by type; the last of a type counts.
  func attributes(_ range: Range<Int>) -> [UInt16: Range<Int>] {
    var found: [UInt16: Range<Int>] = [:]
    var offset = range.lowerBound
    while offset + 4 <= range.upperBound, let length: UInt16 = number(offset), let type: UInt16 = number(offset + 2) {
      guard length >= 4, offset + Int(length) <= range.upperBound else { break }
      found[type & 0x3FFF] = offset + 4..<offset + Int(length)  // without "nested" and "network order"
      offset += (Int(length) + 3) & ~3
    }
    return found
  }

  func text(_ range: Range<Int>?) -> String? {
    range.map { String(decoding: bytes[$0].prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// An address attribute of 4 or 16 bytes.
  func address(_ range: Range<Int>?) -> DatagramAddress? {
    guard let range else { return nil }
    func big(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
    switch range.count {
    case 4: return .ipv4(UInt32(big(range)), port: 0)
    case 16: return .ipv6(high: big(range.lowerBound..<range.lowerBound + 8), low: big(range.lowerBound + 8..<range.upperBound), port: 0)
    default: return nil
    }
  }
}

extension FixedWidthInteger {
  /// A number that was put together least significant byte first, as the machine would have read it.
  fileprivate var inMachineOrder: Self { littleEndian }
}
