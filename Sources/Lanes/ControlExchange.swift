public import CausewayBase
internal import CausewayLinuxIO
public import CausewayTunnelCore

/// Who talks over a lane that has no session yet.
public protocol ControlExchangeOwner: AnyObject {
  /// False while an answer is being looked up: what comes meanwhile waits in the lane.
  var acceptsMessages: Bool { get }
  func exchangeReceived(_ message: ControlMessage)
  /// The lane is over, or its peer sent something that is no control message. Called once.
  func exchangeFailed(_ reason: String)
}

/// Control messages on a lane before its session: both sides' logins stand on it. It takes one message at a time, so that the rest of the
/// bytes goes to the session if the message starts one.
public final class ControlExchange: LaneOwner {
  /// A message's length before anybody has proven anything.
  public static let messageByteLimit = 4096

  public let lane: Lane
  public weak var owner: (any ControlExchangeOwner)?
  private let output = ByteBuffer()
  private var isOver = false

  public init(_ lane: Lane, _ owner: any ControlExchangeOwner) {
    self.lane = lane
    self.owner = owner
    lane.start(self)
  }

  public func send(_ message: ControlMessage) {
    let scratch = ByteBuffer()
    message.encode(to: scratch)
    FrameHeader.appendControl(scratch.bytes, to: output)
    lane.scheduleFlush()
  }

  /// The owner accepts messages again.
  public func proceed() { lane.stream.continueSoon() }

  /// The lane goes to somebody else, or is closed; nothing more is heard here.
  public func end() {
    isOver = true
    owner = nil
  }

  public func laneReceived(_ bytes: Span<UInt8>) -> Int {
    guard !isOver, let owner, owner.acceptsMessages, bytes.count >= FrameHeader.byteCount else { return 0 }
    guard let count = FrameHeader.controlFrameByteCount(bytes) else {
      if bytes[0] != FrameHeader.Kind.control.rawValue || bytes.count > Self.messageByteLimit {
        fail("the other side does not speak this protocol")
      }
      return 0
    }
    guard count <= Self.messageByteLimit else {
      fail("the other side's message is too long")
      return 0
    }
    do throws(ControlError) {
      owner.exchangeReceived(try ControlMessage(bytes.extracting(FrameHeader.byteCount..<count)))
    } catch {
      fail(error.message)
    }
    return count
  }

  public func laneWantsOutput(into out: ByteBuffer, target: Int) {
    out.append(output)
    output.removeAll()
  }

  public func laneClosed(_ reason: String) { fail(reason) }

  private func fail(_ reason: String) {
    guard !isOver else { return }
    isOver = true
    lane.close()
    owner?.exchangeFailed(reason)
  }
}
