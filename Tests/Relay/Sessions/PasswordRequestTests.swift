import CausewayCrypto
import CausewayTunnelCore
import Testing

@testable import CausewayRelay

@Suite("a tunnel's password as a client sends it")
struct PasswordRequestTests {
  private static func auth(salt: Int = 16, iterations: Int = PasswordVerifier.defaultIterations, hash: Int = 32) -> TunnelRequest.BasicAuth
  {
    .init(salt: .init(repeating: 1, count: salt), iterations: iterations, hash: .init(repeating: 2, count: hash))
  }

  @Test("the relay's loop never computes more than a few milliseconds for one try")
  func cost() {
    #expect(PasswordVerifier.maximumIterations <= 5000 && PasswordVerifier.defaultIterations <= PasswordVerifier.maximumIterations)
  }

  @Test(
    "what cannot be asked of visitors is refused, never ignored",
    arguments: [
      (auth(), true, nil), (auth(iterations: PasswordVerifier.maximumIterations), true, nil), (nil, false, nil), (nil, true, nil),
      (auth(), false, "TCP"),
      (auth(iterations: 100_000), true, "iterations"), (auth(iterations: 0), true, "iterations"),
      (auth(salt: 15), true, "salt"), (auth(hash: 31), true, "hash"),
    ] as [(TunnelRequest.BasicAuth?, Bool, String?)])
  func refusals(_ auth: TunnelRequest.BasicAuth?, isHTTP: Bool, word: String?) {
    let fault = SessionRegistry.fault(of: auth, isHTTP: isHTTP)
    #expect(fault?.code == (word == nil ? nil : .protocolError))
    #expect(fault?.message.contains(word ?? "") ?? true, "\(fault?.message ?? "")")
  }
}
