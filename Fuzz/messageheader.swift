import CausewayBase
import CausewayMessagingCore

// The first 24 bytes are one header, the rest says how a core is when it comes: nothing traps, and what is read is written alike.

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  var core = MessagingCore(seed: 7)
  let mailbox = core.openMailbox(.server)
  guard let connection = core.openConnection(in: mailbox, check: 0x0102) else { return 0 }
  core.establish(connection, peer: ConnectionAddress(identifier: 1, check: 2, grant: 64), eagerLimit: 8192)
  var place = 0
  while place + MessageHeader.byteCount + 1 <= bytes.count {
    let head = Array(bytes[place..<place + MessageHeader.byteCount])
    let choice = bytes[place + MessageHeader.byteCount]
    place += MessageHeader.byteCount + 1
    guard var header = MessageHeader(head.span) else { continue }
    law(MessageHeader(words: header.words) == header, "a header reads differently from its words")
    if choice & 1 == 0 {
      header.connection = connection.rawValue
      header.check = 0x0102
    }
    if choice & 2 == 0 {
      _ = core.receive(in: mailbox, tag: header.tag, mask: choice & 4 == 0 ? .max : 0, capacity: 100, drops: choice & 8 == 0)
    }
    if choice & 16 == 0 { _ = core.send(on: connection, tag: header.tag, length: Int(choice) * 99, synchronous: choice & 32 == 0) }
    let length = header.kind == .data ? Int(choice) * 77 : 0
    if case .matched(let id, _) = core.arrive(header, length: length, rendezvous: choice & 64 == 0 && length > 0) { core.finishReceive(id) }
    while let effect = core.nextEffect() {
      switch effect {
      case .deliver(_, let id, _): core.finishReceive(id)
      case .start(let id, _, _): _ = core.sendFinished(id)
      default: break
      }
    }
  }
  law(core.counters(of: connection).unreceivedByteCount <= core.limits.maximumGrant, "more was kept than was granted")
  return 0
}
