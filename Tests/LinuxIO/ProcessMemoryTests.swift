import CLinux
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite struct ProcessMemoryTests {
  /// Bytes at an address that stays, with a word behind them.
  @safe private final class Memory {
    let base = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 8)
    init(_ bytes: [UInt8], word: UInt64) {
      unsafe base.copyMemory(from: bytes, byteCount: 8)
      unsafe base.storeBytes(of: word, toByteOffset: 8, as: UInt64.self)
    }
    deinit { unsafe base.deallocate() }
    var address: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }
  }

  private func read(_ memory: ProcessMemory, at address: UInt64, wordAddress: UInt64, word: UInt64) -> (ProcessMemory.Outcome, [UInt8]) {
    var bytes = [UInt8](repeating: 0, count: 8)
    let outcome = unsafe bytes.withUnsafeMutableBytes { unsafe memory.read(at: address, into: $0, wordAddress: wordAddress, word: word) }
    return (outcome, bytes)
  }

  @Test("bytes are read where they are, as long as the word behind them is the one that was told")
  func reads() throws {
    let memory = try #require(ProcessMemory(getpid()))
    let source = Memory([1, 2, 3, 4, 5, 6, 7, 8], word: 42)
    #expect(read(memory, at: source.address, wordAddress: source.address + 8, word: 42) == (.read, [1, 2, 3, 4, 5, 6, 7, 8]))
    #expect(read(memory, at: source.address, wordAddress: source.address + 8, word: 43).0 == .unreadable)
  }

  @Test("memory that isn't there is no memory", arguments: [0, 1, 1 << 20, 1 << 63, .max - 4] as [UInt64])
  func nowhere(_ address: UInt64) throws {
    let memory = try #require(ProcessMemory(getpid()))
    let source = Memory([UInt8](repeating: 1, count: 8), word: 42)
    #expect(read(memory, at: address, wordAddress: source.address + 8, word: 42).0 == .unreadable)
    #expect(read(memory, at: source.address, wordAddress: address, word: 42).0 == .unreadable)
  }

  @Test("a process that has ended is gone, though somebody may have its number", arguments: [true, false])
  func ended(_ isReaped: Bool) throws {
    let child = try spawn()
    let memory = try #require(ProcessMemory(child))
    kill(child, SIGKILL)
    var information = unsafe siginfo_t()
    // Ended, and its number taken, until it is waited for.
    let waited = unsafe waitid(P_PID, id_t(child), &information, WEXITED | WNOWAIT)
    #expect(waited == 0)
    if isReaped { waitpid(child, nil, 0) }
    #expect(read(memory, at: 1 << 20, wordAddress: 1 << 20, word: 1).0 == .gone)
    if !isReaped { waitpid(child, nil, 0) }
    #expect(ProcessMemory(child) == nil)
  }

  @Test("no process, no memory", arguments: [0, -1, .min, .max] as [Int32])
  func nobody(_ number: Int32) { #expect(ProcessMemory(number) == nil) }

  @Test("the other end of a connection is told from any other descriptor")
  func otherEnd() throws {
    let memory = try #require(ProcessMemory(getpid()))
    let (ours, theirs) = try connected()
    let (stranger, _) = try connected()
    defer { for descriptor in [ours, theirs, stranger] { close(descriptor) } }
    #expect(memory.holds(theirs, otherEndOf: ours))
    #expect(memory.holds(ours, otherEndOf: theirs))
    for wrong in [ours, stranger, 0, 9999, -1] { #expect(!memory.holds(wrong, otherEndOf: ours)) }
    // Nor has a process it that only has a descriptor of the same number.
    let child = try spawn()
    let childs = try #require(ProcessMemory(child))
    #expect(!childs.holds(theirs, otherEndOf: ours))
    kill(child, SIGKILL)
    waitpid(child, nil, 0)
  }

  private func connected() throws -> (CInt, CInt) {
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    let bound = SocketAddress.loopback4(port: 0).bind(listener)
    #expect(bound == 0 && listen(listener, 1) == 0)
    let client = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    let connected = try #require(SocketAddress.local(of: listener)).connect(client)
    #expect(connected == 0)
    let accepted = accept(listener, nil, nil)
    for descriptor in [client, accepted] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    return (client, accepted)
  }

  private func spawn() throws -> pid_t {
    var child: pid_t = 0
    var words: [UnsafeMutablePointer<CChar>?] = unsafe [strdup("sleep"), strdup("60"), nil]
    defer { for index in unsafe words.indices { unsafe free(words[index]) } }
    let result = unsafe posix_spawnp(&child, "sleep", nil, nil, &words, environ)
    #expect(result == 0)
    return child
  }
}

@Suite struct ReadingThreadTests {
  @Test("a piece given is a piece read, one after the other, and its outcome is told once")
  func pieces() throws {
    let memory = try #require(ProcessMemory(getpid()))
    let thread = try ReadingThread(name: "test")
    let source = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 8)
    let target = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 8)
    defer {
      unsafe source.deallocate()
      unsafe target.deallocate()
    }
    for index in 0..<64 { unsafe source[index] = UInt8(index) }
    let address = UInt64(UInt(bitPattern: source.baseAddress))
    let word = unsafe source.loadUnaligned(fromByteOffset: 56, as: UInt64.self)
    for start in 0..<48 {
      #expect(thread.isIdle && thread.takeOutcome() == nil)
      // Every fourth one finds another word.
      let piece = unsafe ReadingThread.Piece(
        memory, at: address + UInt64(start), into: target, wordAddress: address + 56, word: start % 4 == 3 ? 1 : word)
      thread.give(piece)
      #expect(!thread.isIdle)
      #expect(thread.wait() == (start % 4 == 3 ? .unreadable : .read))
      #expect(thread.wait() == nil)
      #expect(unsafe target.elementsEqual((start..<start + 8).map { UInt8($0) }))
    }
    thread.stop()
    thread.stop()
  }

  @Test("it ends when it is told to, with and without a piece", arguments: [true, false])
  func stops(_ hasPiece: Bool) throws {
    let thread = try ReadingThread(name: "test")
    var byte: UInt64 = 7
    try unsafe withUnsafeMutableBytes(of: &byte) { bytes in
      let address = UInt64(UInt(bitPattern: bytes.baseAddress))
      let memory = try #require(ProcessMemory(getpid()))
      if hasPiece { thread.give(unsafe ReadingThread.Piece(memory, at: address, into: bytes, wordAddress: address, word: 7)) }
      thread.stop()
    }
    #expect(thread.takeOutcome() == nil)
  }
}

@Suite struct PageMapTests {
  @Test("memory in small pages is not in huge ones", .enabled(if: PageMap()?.isHuge(0) != nil, "the kernel tells page sizes from 6.7 on"))
  func small() throws {
    let map = try #require(PageMap())
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 1, count: 4096)
    #expect(map.isHuge(UInt64(UInt(bitPattern: bytes))) == false)
    unsafe bytes.deallocate()
  }
}
