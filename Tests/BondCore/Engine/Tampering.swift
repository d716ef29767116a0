/// What somebody on the way can make of a message without its keys.
enum Tampering {
  /// Messages up to this length are spoiled in every bit and cut at every length; longer ones in a bit of each byte, at some lengths.
  static let shortByteCount = 200

  static func variants(of message: [UInt8]) -> [[UInt8]] { flips(message) + cuts(message) + extensions(message) }

  static func flips(_ message: [UInt8]) -> [[UInt8]] {
    var list: [[UInt8]] = []
    for place in message.indices {
      for bit in 0..<8 where message.count <= shortByteCount || bit == place % 8 {
        var changed = message
        changed[place] ^= 1 << UInt8(bit)
        list.append(changed)
      }
    }
    return list
  }

  static func cuts(_ message: [UInt8]) -> [[UInt8]] {
    let step = message.count <= shortByteCount ? 1 : 37
    return stride(from: 1, to: message.count, by: step).map { Array(message.prefix($0)) }
      + stride(from: 1, to: message.count, by: step).map { Array(message.suffix($0)) }
  }

  static func extensions(_ message: [UInt8]) -> [[UInt8]] {
    [1, 15, 16, 64].map { message + [UInt8](repeating: 0, count: $0) } + [message + message, [0] + message]
  }
}
