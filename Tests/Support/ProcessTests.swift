import CausewaySupport
import Glibc
import Testing

/// What only a process of its own can show.
@Suite struct ProcessTests {
  @Test func overwrittenArgumentsAreGoneFromTheKernel() async {
    await #expect(processExitsWith: .success) {
      func words() -> [[UInt8]] {
        Array((try? PrivateFile.read("/proc/self/cmdline", isSecret: false)) ?? []).split(separator: 0, omittingEmptySubsequences: false)
          .map(Array.init)
      }
      let before = words()
      guard before[0].count > 4 else { exit(2) }
      guard ProgramArguments.overwrite(at: 0, from: 3) else { exit(3) }
      let after = words()
      let expected = before[0][..<3] + [UInt8](repeating: 0x2A, count: before[0].count - 3)
      if after[0] != Array(expected) { exit(4) }
      if after.dropFirst() != before.dropFirst() { exit(5) }
      // Places that don't exist are left alone.
      if ProgramArguments.overwrite(at: before.count + 5) || ProgramArguments.overwrite(at: -1) { exit(6) }
      if ProgramArguments.overwrite(at: 0, from: before[0].count + 1) { exit(7) }
      if ProgramArguments.overwrite(.environment("X")) { exit(8) }
      exit(0)
    }
  }

  @Test func takenSecretsAreGoneFromTheEnvironment() async {
    await #expect(processExitsWith: .success) {
      // PATH stands for a secret: it came with the process, so its bytes are the kernel's copy.
      guard let value = Environment.takeSecret("PATH"), !value.isEmpty else { exit(2) }
      if Environment.process["PATH"] != nil { exit(3) }
      let kernel = String(decoding: (try? PrivateFile.read("/proc/self/environ", isSecret: false)) ?? [], as: UTF8.self)
      if kernel.isEmpty || kernel.contains("PATH=" + value) { exit(4) }
      if Environment.takeSecret("PATH") != nil { exit(5) }
      exit(0)
    }
  }

  @Test func coreDumpsAreOff() async {
    await #expect(processExitsWith: .success) {
      ProgramArguments.disableCoreDumps()
      let limits = String(decoding: (try? PrivateFile.read("/proc/self/limits", isSecret: false)) ?? [], as: UTF8.self)
      let line = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") } ?? ""
      exit(line.split(separator: " ").suffix(3).prefix(2).allSatisfy { $0 == "0" } ? 0 : 2)
    }
  }

  @Test func anEmptyVariableIsUnset() {
    #expect(Environment.fixed(["A": "", "B": "b"])["A"] == nil)
    #expect(Environment.fixed(["A": "", "B": "b"])["B"] == "b")
  }
}
