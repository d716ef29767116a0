internal import CLinux
public import CausewayBase
internal import Glibc

/// A UDP socket for packet threads: segmentation offload in both directions, sticky source addresses, ECN. Sending and receiving
/// allocate nothing and never wait. Belongs to one thread at a time.
///
/// IPv4 and IPv6 take a socket each; mapped addresses are not used (`IPV6_V6ONLY`).
@safe public final class UDPSocket {
  public struct Options: Sendable {
    /// The interface that everything goes out on and comes in from (SO_BINDTODEVICE); 1 to 15 bytes.
    public var device: String?
    /// The firewall mark of what it sends, for routing rules (SO_MARK); 0: none. Needs CAP_NET_ADMIN.
    public var mark: UInt32 = 0
    /// Sets DF and ignores the kernel's idea of the path MTU (IP_PMTUDISC_PROBE); else the kernel may fragment.
    public var probesPathMTU = true
    /// Several sockets may bind the same port; the kernel spreads peers over them (SO_REUSEPORT).
    public var sharesPort = false
    /// What to ask of the kernel for each of the two buffers, in bytes.
    public var bufferByteCount = UDPSocket.bufferByteCount

    public init() {}
  }

  /// 7 MiB for each direction: 14 ms at 4 Gbit/s, more than a thread is ever away. Beyond the limit of the machine only root gets it.
  public static let bufferByteCount = 7 << 20
  /// Datagrams in one run: older kernels take no more with UDP_SEGMENT.
  public static let segmentLimit = 64
  /// Bytes in one run: the largest UDP payload over IPv4 (65535 - 20 - 8).
  public static let runByteLimit = 65507

  /// For a poll; the socket keeps it.
  public let descriptor: CInt
  public let localAddress: DatagramAddress
  /// Whether runs go out with UDP_SEGMENT. Turned off for good when a device cannot do it (EIO).
  public internal(set) var segmentsInKernel = true
  /// Whether datagrams go with DF now; see `Options.probesPathMTU`.
  public private(set) var probesPathMTU: Bool

  /// - Throws: `SystemError` that names the step. Of the buffers, and of the facts about received datagrams, what the kernel
  ///   lacks is left out without an error.
  public init(bindingTo address: DatagramAddress, options: Options = Options()) throws(SystemError) {
    let subject = "\(SocketAddress(address))" + (options.device.map { " on \($0)" } ?? "")
    let isIPv4 = address.family == .ipv4
    let socket = FileDescriptor(
      adopting: CInt(try SystemError.check(Int(shim_socket(isIPv4 ? AF_INET : AF_INET6, CInt(SOCK_DGRAM.rawValue), 0)), "UDP socket")))
    let fd = socket.rawValue
    func set(_ level: CInt, _ name: CInt, _ value: CInt, _ what: String) throws(SystemError) {
      try SystemError.check(Int(shim_set_int_option(fd, level, name, value)), "\(what) for UDP \(subject)")
    }
    if let device = options.device {
      guard (1...15).contains(device.utf8.count), !device.utf8.contains(0) else { throw SystemError(ENODEV, "SO_BINDTODEVICE \(device)") }
      try SystemError.check(unsafe Int(shim_bind_to_device(fd, device)), "SO_BINDTODEVICE for UDP \(subject)")
    }
    if options.mark != 0 { try set(SOL_SOCKET, SO_MARK, CInt(bitPattern: options.mark), "SO_MARK") }
    if options.sharesPort { try set(SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT") }
    for (force, plain) in [(SO_SNDBUFFORCE, SO_SNDBUF), (SO_RCVBUFFORCE, SO_RCVBUF)] {
      let size = CInt(clamping: options.bufferByteCount)
      if shim_set_int_option(fd, SOL_SOCKET, force, size) < 0 { _ = shim_set_int_option(fd, SOL_SOCKET, plain, size) }
    }
    _ = shim_set_int_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1)
    _ = shim_set_int_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1)
    _ = shim_set_int_option(fd, CInt(IPPROTO_UDP), Self.udpGRO, 1)
    if isIPv4 {
      _ = shim_set_int_option(fd, CInt(IPPROTO_IP), IP_PKTINFO, 1)
      _ = shim_set_int_option(fd, CInt(IPPROTO_IP), IP_RECVTOS, 1)
    } else {
      try set(CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1, "IPV6_V6ONLY")
      _ = shim_set_int_option(fd, CInt(IPPROTO_IPV6), IPV6_RECVPKTINFO, 1)
      _ = shim_set_int_option(fd, CInt(IPPROTO_IPV6), IPV6_RECVTCLASS, 1)
    }
    try SystemError.check(Int(Self.setPathMTUProbing(fd, isIPv4, options.probesPathMTU)), "IP_MTU_DISCOVER for UDP \(subject)")
    try SystemError.check(Int(SocketAddress(address).bind(fd)), "bind UDP \(subject)")
    localAddress = SocketAddress.local(of: fd)?.datagram ?? address
    probesPathMTU = options.probesPathMTU
    descriptor = socket.release()
  }

  deinit { _ = Glibc.close(descriptor) }

  /// UDP_GRO of linux/udp.h, which the C library's headers lack.
  private static let udpGRO: CInt = 104

  /// Changes `Options.probesPathMTU` for what is sent from now on: the kernel decides about DF when it takes a datagram. One system call
  /// (two for IPv6) when it changes, none otherwise; IPv4 has no way to ask for it with the datagram itself.
  @inline(__always) public func setProbesPathMTU(_ probes: Bool) {
    if probes != probesPathMTU { changeProbing(probes) }
  }

  @inline(never) private func changeProbing(_ probes: Bool) {
    probesPathMTU = probes
    _ = Self.setPathMTUProbing(descriptor, localAddress.family == .ipv4, probes)
  }

  private static func setPathMTUProbing(_ fd: CInt, _ isIPv4: Bool, _ probes: Bool) -> CInt {
    // IP_PMTUDISC_PROBE and IP_PMTUDISC_DONT have the same numbers in IPv6.
    let mode = probes ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT
    if isIPv4 { return shim_set_int_option(fd, CInt(IPPROTO_IP), IP_MTU_DISCOVER, mode) }
    // Routers never fragment IPv6, but this machine would when its own device has a smaller MTU.
    let result = shim_set_int_option(fd, CInt(IPPROTO_IPV6), IPV6_DONTFRAG, probes ? 1 : 0)
    return result < 0 ? result : shim_set_int_option(fd, CInt(IPPROTO_IPV6), IPV6_MTU_DISCOVER, mode)
  }

  /// The error that an ICMP message left on the socket, as an outcome; nil when there is none. Clears it.
  public func takeError() -> SendOutcome? {
    let code = shim_int_option(descriptor, SOL_SOCKET, SO_ERROR)
    return code > 0 ? SendOutcome(code) : nil
  }

  // MARK: Receiving

  /// Takes what is there, one message for each buffer of `receiver` at most, and never waits.
  /// - Returns: Messages now in `receiver`; 0 when there are none, also after an error that an ICMP message left behind.
  @discardableResult
  public func receive(into receiver: DatagramReceiver) -> Int {
    var result = unsafe shim_receiver_receive(receiver.receiver, descriptor)
    // An error that ICMP left comes first and only once; what waits behind it is still there.
    if result < 0 && result != -EAGAIN { result = unsafe shim_receiver_receive(receiver.receiver, descriptor) }
    receiver.count = max(0, Int(result))
    return receiver.count
  }

  // MARK: Sending

  /// Sends a run of datagrams: `segmentByteCount` bytes each, the last may be shorter, with one call where the kernel can.
  /// - Parameters:
  ///   - bytes: `count` bytes, 1...`runByteLimit`, of at most `segmentLimit` datagrams; used during the call only.
  ///   - segmentByteCount: 0, or `count` and more: one datagram.
  ///   - source: Our address to send from, as a received message's `destination` says; nil: the kernel chooses.
  ///   - interface: With `source`: the interface to leave by; 0: routing chooses.
  ///   - typeOfService: DSCP and ECN of all of them.
  @unsafe public func send(
    _ bytes: UnsafePointer<UInt8>, count: Int, segmentByteCount: Int, to: DatagramAddress, from source: DatagramAddress? = nil,
    interface: UInt32 = 0, typeOfService: UInt8 = 0
  ) -> SendOutcome {
    var run = unsafe shim_outgoing(bytes, count, segmentByteCount, to, source, interface, typeOfService)
    return unsafe send(&run)
  }

  private func send(_ run: inout shim_outgoing) -> SendOutcome {
    let outcome = unsafe sendOnce(&run)
    // The source may have left this machine, or its interface (EINVAL, ENETUNREACH); try as if it had not been asked for.
    guard outcome == .invalid || outcome == .unreachable || outcome == .deviceGone, unsafe run.from.family != 0 else { return outcome }
    unsafe run.from = shim_address()
    unsafe run.interface = 0
    let second = unsafe sendOnce(&run)
    return second == .sent ? .sentFromAnotherAddress : second
  }

  private func sendOnce(_ run: inout shim_outgoing) -> SendOutcome {
    let isRun = unsafe run.segment > 0 && UInt32(run.segment) < run.count
    if isRun && !segmentsInKernel { return unsafe sendSingly(&run) }
    var result = unsafe shim_send_run(descriptor, &run)
    // The news of an earlier datagram comes once and before anything is sent.
    if result == -ECONNREFUSED { result = unsafe shim_send_run(descriptor, &run) }
    if result == 0 { return .sent }
    // The kernel cuts no run into segments that it would have to fragment; each alone it fragments.
    if (result == -EINVAL || result == -EMSGSIZE) && isRun && !probesPathMTU { return unsafe sendSingly(&run) }
    if result == -EIO && isRun {
      segmentsInKernel = false
      return unsafe sendSingly(&run)
    }
    return SendOutcome(-result)
  }

  /// After `wouldBlock` part of it may have gone; sending all again only makes copies that a replay window drops.
  private func sendSingly(_ run: inout shim_outgoing) -> SendOutcome {
    var offset: UInt32 = 0
    while unsafe offset < run.count {
      let sent = unsafe shim_send_singly(descriptor, &run, offset)
      guard sent > 0 else { return SendOutcome(CInt(-sent)) }
      offset += UInt32(sent)
    }
    return .sent
  }

  /// Sends all runs of `batch`, in order, with as few calls as they allow; `batch.outcome(_:)` then tells of each.
  public func send(_ batch: DatagramBatch) {
    var index = 0
    while index < batch.count {
      let rest = batch.count - index
      let sent = segmentsInKernel && rest > 1 ? unsafe Int(shim_send_runs(descriptor, batch.runs + index, CInt(rest))) : 0
      for done in index..<(index + max(0, sent)) { batch.set(done, .sent) }
      index += max(0, sent)
      // The first that failed, or the only one: alone, with all that `send` tries.
      if sent < rest {
        batch.set(index, unsafe send(&batch.runs[index]))
        index += 1
      }
    }
  }
}

extension shim_outgoing {
  @inline(__always) fileprivate init(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ segment: Int, _ to: DatagramAddress, _ source: DatagramAddress?, _ interface: UInt32,
    _ typeOfService: UInt8
  ) {
    precondition(count > 0 && count <= UDPSocket.runByteLimit, "a run has 1 to 65507 bytes")
    unsafe self.init(
      bytes: bytes, count: UInt32(truncatingIfNeeded: count), segment: UInt16(clamping: segment), tos: typeOfService, to: shim_address(to),
      from: source.map { shim_address($0) } ?? shim_address(), interface: interface)
  }
}

/// Runs of datagrams to several peers over one socket, for one call. Allocated once; belongs to one thread at a time.
@safe public final class DatagramBatch {
  /// Most runs in one batch.
  public static let limit = 32

  fileprivate let runs: UnsafeMutablePointer<shim_outgoing>
  private let outcomes: UnsafeMutablePointer<SendOutcome>
  public private(set) var count = 0

  public init() {
    // SAFETY: both live as long as the batch; only the first `count` are used, and those are filled.
    unsafe runs = .allocate(capacity: Self.limit)
    unsafe runs.initialize(repeating: shim_outgoing(), count: Self.limit)
    unsafe outcomes = .allocate(capacity: Self.limit)
    unsafe outcomes.initialize(repeating: .sent, count: Self.limit)
  }

  deinit {
    unsafe runs.deallocate()
    unsafe outcomes.deallocate()
  }

  public var isFull: Bool { count == Self.limit }

  /// Adds a run, as in `UDPSocket.send`; the bytes must stay until the batch is sent. Not when full.
  @unsafe public func append(
    _ bytes: UnsafePointer<UInt8>, count: Int, segmentByteCount: Int, to: DatagramAddress, from source: DatagramAddress? = nil,
    interface: UInt32 = 0, typeOfService: UInt8 = 0
  ) {
    precondition(!isFull, "the batch is full")
    unsafe runs[self.count] = shim_outgoing(bytes, count, segmentByteCount, to, source, interface, typeOfService)
    self.count += 1
  }

  public func outcome(_ index: Int) -> SendOutcome {
    precondition(index >= 0 && index < count, "no such run")
    return unsafe outcomes[index]
  }

  public func removeAll() { count = 0 }

  fileprivate func set(_ index: Int, _ outcome: SendOutcome) { unsafe outcomes[index] = outcome }
}
