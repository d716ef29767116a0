import Testing

@testable import CausewayMessaging

@Suite("Message buffers")
struct MessageBufferTests {
  @Test("memory is zeroed and aligned", arguments: [0, 1, 4096, 100_000])
  func zeroed(_ count: Int) throws {
    for buffer in [MessageBuffer(count: count), try #require(MessageBuffer(trying: count))] {
      #expect(buffer.array() == [UInt8](repeating: 0, count: count))
      #expect(Int(bitPattern: unsafe buffer.base) & 63 == 0)
    }
  }

  @Test("memory that is not there is nil, and traps whoever counts on it")
  func absent() async {
    #expect(MessageBuffer(trying: .max) == nil)
    #expect(MessageBuffer(trying: -1) == nil)
    await #expect(processExitsWith: .failure) { _ = MessageBuffer(count: .max) }
  }
}
