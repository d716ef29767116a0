internal import CLinux
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTelemetry
internal import Glibc
internal import Synchronization

/// A number that one thread writes and another may read.
final class Figure: Sendable {
  private let bits = Atomic<UInt64>(0)
  var value: Double {
    get { Double(bitPattern: bits.load(ordering: .relaxed)) }
    set { bits.store(newValue.bitPattern, ordering: .relaxed) }
  }
}

/// What Prometheus expects of any process, by its own names.
struct ProcessFigures {
  private let resident: Gauge
  private let descriptors: Gauge
  private let processorTime = Figure()

  init(_ registry: MetricsRegistry) {
    resident = registry.gauge("process_resident_memory_bytes", "Resident memory")
    descriptors = registry.gauge("process_open_fds", "Open descriptors")
    // A relay starts within milliseconds of its process.
    registry.gauge("process_start_time_seconds", "Start, in seconds since 1970").set(Int(WallTime.current.seconds))
    let time = processorTime
    registry.counter("process_cpu_seconds_total", "Processor time used, user and system", reading: { time.value })
  }

  func refresh() {
    resident.set(Self.residentByteCount)
    descriptors.set(Self.openDescriptorCount)
    var time = timespec()
    // SAFETY: `time` outlives the call.
    if unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
      processorTime.value = Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
  }

  /// The second field of /proc/self/statm, in pages; 0 when it cannot be read.
  private static var residentByteCount: Int {
    guard let text = try? Files.read("/proc/self/statm") else { return 0 }
    let fields = String(decoding: text, as: UTF8.self).split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(CInt(_SC_PAGESIZE))) : 0
  }

  /// Entries of /proc/self/fd without the one that reads them.
  private static var openDescriptorCount: Int {
    guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
    var count = 0
    // SAFETY: the folder is open until the end of this function; entries are only counted.
    while let entry = unsafe readdir(folder) {
      if unsafe entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
    }
    unsafe closedir(folder)
    return max(0, count - 1)
  }
}
