internal import CLinux

/// Classic BPF that picks one of several sockets bound to a port (SO_REUSEPORT) by what is in the datagram. What it looks at is its
/// author's business.
public struct PortProgram: Equatable, Sendable {
  public struct Step: Equatable, Sendable, BitwiseCopyable {
    /// Opcode as in linux/bpf_common.h.
    public var code: UInt16
    /// Steps to skip by the outcome of a comparison.
    public var ifTrue: UInt8
    public var ifFalse: UInt8
    public var value: UInt32

    public init(_ code: UInt16, _ value: UInt32 = 0, ifTrue: UInt8 = 0, ifFalse: UInt8 = 0) {
      self.code = code
      self.ifTrue = ifTrue
      self.ifFalse = ifFalse
      self.value = value
    }
  }

  /// Most steps of a program here; the kernel takes more.
  public static let stepLimit = 32

  public var steps: [Step]

  /// - Parameter steps: 1 to `stepLimit`. Loads read the payload; the result is the number of a socket, in the order of their binds.
  public init(_ steps: [Step]) { self.steps = steps }
}

extension UDPSocket {
  /// Attaches a program to all sockets of this one's port and address, also those that are bound later. A result that is no socket's
  /// number falls back to the kernel's own choice by hash.
  public func attach(_ program: PortProgram) throws(SystemError) {
    precondition((1...PortProgram.stepLimit).contains(program.steps.count), "a program has 1 to 32 steps")
    let steps = program.steps.map { shim_filter(code: $0.code, if_true: $0.ifTrue, if_false: $0.ifFalse, value: $0.value) }
    try SystemError.check(
      // SAFETY: the array outlives the call, which copies it.
      unsafe Int(steps.withUnsafeBufferPointer { unsafe shim_attach_port_program(descriptor, $0.baseAddress, UInt16($0.count)) }),
      "SO_ATTACH_REUSEPORT_CBPF")
  }
}
