internal import CLinux
internal import CausewayBase

/// Keeps a closed TLS stream's socket until the kernel has taken the ciphertext of what `write` had accepted: a plain stream's
/// `close` loses nothing that was written, and neither does this one.
final class TLSLinger: EventHandler {
  /// A peer that reads nothing for so long gets RST.
  static let limit = Duration.seconds(30)

  private let layer: TLSLayer
  private let descriptor: CInt
  private unowned let loop: EventLoop
  private var registration: EventLoop.Registration?
  private var timer: LoopTimer?
  private var isDone = false

  /// Takes over `descriptor`, which must not be registered any more.
  static func start(_ layer: TLSLayer, _ descriptor: CInt, _ loop: EventLoop) {
    let linger = TLSLinger(layer, descriptor, loop)
    do throws(SystemError) { linger.registration = try loop.register(descriptor, linger) } catch { return linger.finish(abort: true) }
    let timer = LoopTimer(loop) { [weak linger] _ in linger?.finish(abort: true) }
    timer.set(after: limit)
    linger.timer = timer
  }

  private init(_ layer: TLSLayer, _ descriptor: CInt, _ loop: EventLoop) {
    self.layer = layer
    self.descriptor = descriptor
    self.loop = loop
  }

  func handle(_ readiness: Readiness) {
    if readiness.isDisjoint(with: [.writable, .failed, .hungUp]) { return }
    layer.noteWritable()
    let before = layer.waitingByteCount
    if layer.flushWaiting() { return finish(abort: false) }
    if layer.waitingByteCount < before { timer?.set(after: Self.limit) }
  }

  private func finish(abort: Bool) {
    guard !isDone else { return }
    isDone = true
    timer?.cancel()
    if let registration { loop.deregister(registration) }
    if abort { _ = shim_set_abortive_close(descriptor) }
    layer.detach()
    _ = CLinux.close(descriptor)
  }
}
