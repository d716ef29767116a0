public import CausewayBase
internal import CausewayCrypto
public import CausewayPaths

/// One session of one thread: seals and opens transport messages, counts per path, refuses replays.
///
/// A counter lives as long as the session: closing and opening a path again goes on with it, so that no (key, path, counter) comes twice.
/// Threads share no path, so their counters never meet.
@safe public final class TransportKeys {
  public let localIndex: UInt32
  public let remoteIndex: UInt32
  public let role: HandshakeRole
  public let birth: Instant
  /// When the keys end.
  public let rejectedAt: Instant
  /// Messages sealed here, on all paths.
  public private(set) var sentCount: UInt64 = 0
  /// The peer is one of ours: other paths than 0 are taken, and replay windows are wide. Follows the exchange of HELLO.
  public var allowsPaths = false {
    didSet { setReach(allowsPaths ? ReplayWindow.wideReach : ReplayWindow.stockReach) }
  }

  private let sealing: ChaCha20Poly1305Key?
  private let opening: ChaCha20Poly1305Key?
  private let plain: PlainSeal
  /// By path.
  private let counters: UnsafeMutablePointer<UInt64>
  private let windows: UnsafeMutablePointer<ReplayWindow>

  public convenience init(_ keys: SessionKeys) {
    self.init(
      keys, ChaCha20Poly1305Key(sealing: keys.sending.bytes), ChaCha20Poly1305Key(opening: keys.receiving.bytes))
  }

  /// Copies instead of encrypting and checks sums instead of tags, so that a simulated minute takes a second. Never on a network.
  package convenience init(plainForSimulation keys: SessionKeys) { self.init(keys, nil, nil) }

  private init(_ keys: SessionKeys, _ sealing: ChaCha20Poly1305Key?, _ opening: ChaCha20Poly1305Key?) {
    localIndex = keys.localIndex
    remoteIndex = keys.remoteIndex
    role = keys.role
    birth = keys.birth
    rejectedAt = keys.birth + WireGuardLimits.rejectAfterTime
    self.sealing = sealing
    self.opening = opening
    plain = PlainSeal(sending: keys.sending, receiving: keys.receiving)
    // SAFETY: both tables have an entry for every path id and live as long as this object.
    unsafe counters = .allocate(capacity: PathID.limit)
    unsafe counters.initialize(repeating: 0, count: PathID.limit)
    unsafe windows = .allocate(capacity: PathID.limit)
    for path in 0..<PathID.limit { unsafe (windows + path).initialize(to: ReplayWindow()) }
  }

  deinit {
    unsafe counters.deallocate()
    unsafe windows.deinitialize(count: PathID.limit)
    unsafe windows.deallocate()
  }

  // MARK: Sending

  /// The counter of the next message on a path.
  public func nextCounter(on path: PathID) -> UInt64 { unsafe counters[Int(path.rawValue)] }

  /// Writes a whole transport message, `count + TransportHeader.overhead` bytes, to `target`.
  /// - Parameters:
  ///   - source: `count` bytes of padded plaintext; may overlap the target.
  /// - Returns: Its counter, or nil when this session may send no more.
  @unsafe @inline(__always) public func seal(
    on path: PathID, from source: UnsafePointer<UInt8>, count: Int, to target: UnsafeMutablePointer<UInt8>
  ) -> UInt64? {
    let slot = unsafe counters + Int(path.rawValue)
    let counter = unsafe slot.pointee
    guard sentCount < WireGuardLimits.rejectAfterMessages, counter < WireGuardLimits.rejectAfterMessages else { return nil }
    // Counted before anything else, so that no way out uses it twice.
    unsafe slot.pointee = counter &+ 1
    sentCount &+= 1
    let body = unsafe target + TransportHeader.byteCount
    let nonceHigh = UInt32(path.rawValue)
    if let sealing {
      unsafe sealing.seal(nonceHigh: nonceHigh, counter: counter, from: source, count: count, to: body)
    } else {
      unsafe plain.seal(nonceHigh, counter, from: source, count: count, to: body)
    }
    // After the body: the source may lie where the header goes.
    let header = UnsafeMutableRawPointer(target)
    unsafe header.storeBytes(of: MessageType.transport.littleEndian, as: UInt32.self)
    unsafe header.storeBytes(of: (remoteIndex | nonceHigh).littleEndian, toByteOffset: 4, as: UInt32.self)
    unsafe header.storeBytes(of: counter.littleEndian, toByteOffset: 8, as: UInt64.self)
    return counter
  }

  /// As above between spans, for tests and rare messages.
  /// - Parameter message: `plaintext.count + TransportHeader.overhead` bytes, apart from `plaintext`.
  public func seal(on path: PathID, _ plaintext: Span<UInt8>, into message: inout MutableSpan<UInt8>) -> UInt64? {
    precondition(message.count == plaintext.count + TransportHeader.overhead, "a transport message is 32 bytes longer")
    // SAFETY: both spans outlive the call; the message has the room asked for.
    return unsafe plaintext.withUnsafeBufferPointer { source in
      unsafe message.withUnsafeMutableBufferPointer { target in
        let target = unsafe target.baseAddress.unsafelyUnwrapped
        return unsafe seal(on: path, from: source.baseAddress ?? UnsafePointer(target), count: source.count, to: target)
      }
    }
  }

  // MARK: Receiving

  public enum Opening: Sendable {
    /// The plaintext is at offset 16, `count - TransportHeader.overhead` bytes long.
    case opened
    /// The bytes are as before, for all that follow.
    case forged
    /// Seen already, or too far behind the newest.
    case replayed
    /// Another path than 0, before the peer was known to be one of ours.
    case foreignPath
  }

  /// Opens a message in place and marks its counter as seen. Age is the caller's question (`isUsable`).
  /// - Parameters:
  ///   - header: Of this message; its index is this session's.
  ///   - message: `count` writable bytes, at least `TransportHeader.overhead`.
  @unsafe @inline(__always) public func open(
    _ header: TransportHeader, at message: UnsafeMutablePointer<UInt8>, count: Int
  ) -> Opening {
    let path = Int(header.receiver & TransportHeader.pathMask)
    if path != 0, !allowsPaths { return .foreignPath }
    // A replay fails here for less; only an authentic counter moves the window.
    guard unsafe windows[path].wouldAccept(header.counter) else { return .replayed }
    let body = unsafe message + TransportHeader.byteCount
    let bodyCount = count &- TransportHeader.byteCount
    let nonceHigh = UInt32(truncatingIfNeeded: path)
    if let opening {
      guard unsafe opening.open(nonceHigh: nonceHigh, counter: header.counter, inPlace: body, count: bodyCount) else { return .forged }
    } else {
      guard unsafe plain.open(nonceHigh, header.counter, inPlace: body, count: bodyCount) else { return .forged }
    }
    return unsafe windows[path].accept(header.counter) ? .opened : .replayed
  }

  /// As above for a span, for tests and rare messages.
  public func open(_ header: TransportHeader, _ message: inout MutableSpan<UInt8>) -> Opening {
    guard message.count >= TransportHeader.overhead else { return .forged }
    // SAFETY: the span outlives the call.
    return unsafe message.withUnsafeMutableBufferPointer {
      unsafe open(header, at: $0.baseAddress.unsafelyUnwrapped, count: $0.count)
    }
  }

  /// The greatest counter received on a path; 0 at first.
  public func newestCounter(on path: PathID) -> UInt64 { unsafe windows[Int(path.rawValue)].newest }

  private func setReach(_ reach: UInt64) {
    for path in 0..<PathID.limit { unsafe windows[path].reach = reach }
  }

  // MARK: Age

  /// Whether the keys may still send and receive.
  @inline(__always) public func isUsable(at now: Instant) -> Bool {
    now < rejectedAt && sentCount < WireGuardLimits.rejectAfterMessages
  }

  /// Whether a handshake is due for the number of messages alone.
  public var isWornOut: Bool { sentCount >= WireGuardLimits.rekeyAfterMessages }
}
