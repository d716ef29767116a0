/// How a datagram finds its thread before anybody decrypted it, as a program of classic BPF for sockets that share a port; the rule is
/// `PathNumbering`'s. Transport messages (type 4) go by the path in the low six bits of the receiver index, byte 4; handshakes, path 0 and
/// whatever is too short go to the first thread.
public enum PathSteering {
  public struct Step: Equatable, Sendable, BitwiseCopyable {
    public var code: UInt16
    public var value: UInt32
    public var ifTrue: UInt8 = 0
    public var ifFalse: UInt8 = 0
  }

  /// - Parameter shards: Threads of this side, 2...8.
  public static func program(shards: Int) -> [Step] {
    [
      Step(code: loadByte, value: 0),
      Step(code: jumpIfEqual, value: 4, ifFalse: 7),
      Step(code: loadByte, value: 4),
      Step(code: and, value: 63),
      Step(code: jumpIfEqual, value: 0, ifTrue: 4),
      Step(code: subtract, value: 1),
      Step(code: shiftRight, value: 1),
      Step(code: modulo, value: UInt32(shards)),
      Step(code: returnAccumulator, value: 0),
      Step(code: returnConstant, value: 0),
    ]
  }

  // BPF_LD | BPF_B | BPF_ABS and so on (linux/bpf_common.h).
  static let loadByte: UInt16 = 0x30
  static let jumpIfEqual: UInt16 = 0x15
  static let subtract: UInt16 = 0x14
  static let and: UInt16 = 0x54
  static let shiftRight: UInt16 = 0x74
  static let modulo: UInt16 = 0x94
  static let returnAccumulator: UInt16 = 0x16
  static let returnConstant: UInt16 = 0x06
}
