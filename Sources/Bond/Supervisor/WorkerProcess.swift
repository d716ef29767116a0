package import CausewaySupport

/// The packet child as the parent holds it.
package struct WorkerProcess {
  /// Waits for its end; the exit code, or 128 + signal.
  package var wait: () -> Int32
  package var kill: () -> Void

  package init(wait: @escaping () -> Int32, kill: @escaping () -> Void) {
    self.wait = wait
    self.kill = kill
  }

  /// Starts this program anew as `bond worker`, without the user's environment: channel and queues are all it gets.
  /// - Parameter descriptors: The channel's end, then the TUN queues, from `WorkerConfiguration.channelDescriptor` on.
  package static func start(_ descriptors: [CInt]) throws(CommandFailure) -> WorkerProcess {
    let started = try ChildProgram.start(
      "/proc/self/exe", ["causeway"] + Program.bondWorkerPath, environment: [], descriptors: descriptors,
      from: WorkerConfiguration.channelDescriptor)
    return WorkerProcess(wait: { started.wait() }, kill: { started.kill() })
  }
}
