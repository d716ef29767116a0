import Testing

@testable import CausewayMessaging

@Suite("How long an engine's thread spins")
struct PaceTests {
  private static let most: UInt64 = 50_000

  /// A thread whose cores and involuntary switches are told.
  private final class Scene {
    var cores = 1
    var switches: Int64 = 0
    private(set) lazy var pace = Pace(.standard, coreCount: { self.cores }, switchCount: { self.switches })

    /// So many sleeps, each after a spin; before each of them so many more that something ended, and so often pushed off its core.
    func sleep(_ times: Int, hits: Int = 0, pushed: Bool = false) {
      for _ in 0..<times {
        for _ in 0...hits { pace.willSpin() }
        if pushed { switches += 1 }
        pace.willSleep()
      }
    }
  }

  @Test("alone on one core it stops when nothing comes meanwhile")
  func oneCoreInVain() {
    let scene = Scene()
    scene.sleep(7)
    #expect(scene.pace.budget == Self.most)
    scene.sleep(1)
    #expect(scene.pace.budget == 0)
  }

  @Test("alone on one core it goes on while messages come from another")
  func oneCoreWithHits() {
    let scene = Scene()
    scene.sleep(1000, hits: 1)
    #expect(scene.pace.budget == Self.most)
    // Whoever needs the core has it.
    scene.sleep(8, hits: 1, pushed: true)
    #expect(scene.pace.budget == 0)
  }

  @Test("what stopped is tried again, seldom on one core")
  func again() {
    let scene = Scene()
    scene.sleep(8)
    var spinning = 0
    for _ in 0..<10_320 {
      scene.sleep(1)
      if scene.pace.budget > 0 { spinning += 1 }
    }
    #expect(spinning == 80)
  }

  @Test("with several cores it spins, but not where others push it off")
  func severalCores() {
    let scene = Scene()
    scene.cores = 2
    scene.sleep(1000)
    #expect(scene.pace.budget == Self.most)
    scene.sleep(64, pushed: true)
    #expect(scene.pace.budget == 0)
    scene.sleep(512)
    #expect(scene.pace.budget == Self.most)
  }

  @Test("a core that isn't there is refused", arguments: [-1, 4095, 1 << 40])
  func noCore(_ core: Int) {
    let error = #expect(throws: MessagingError.self) { try Pair.engine { $0.progress = .busy(core: core) } }
    #expect(error?.code == .invalidArgument && error?.description.contains("core \(core)") == true)
  }

  @Test("modes that never sleep, or never spin, stay as they are", arguments: [ProgressMode.blocking, .manual, .busy(core: nil)])
  func fixed(_ mode: ProgressMode) {
    let pace = Pace(mode)
    for _ in 0..<1000 { pace.willSleep() }
    #expect(pace.budget == (mode == .busy(core: nil) ? .max : 0))
  }
}
