import CausewayBase

@testable import CausewayMessagingCore

extension TwinDriver {
  mutating func change(_ connection: NaiveTwin.Connection?) {
    switch pick(60) {
    case 0..<20: for connection in twin.connections where connection.state == .connecting { establish(connection) }
    case 20..<35: if twin.connections.count < 5 && !twin.mailboxes[0].isClosed { open(twin.mailboxes[0]) }
    case 35..<42:
      guard let connection else { return }
      note("failed \(connection.id)")
      core.connectionFailed(connection.id)
      twin.end(connection, .failed)
    case 42..<47:
      guard let connection else { return }
      note("close \(connection.id)")
      core.closeConnection(connection.id)
      twin.end(connection, .closed)
    case 47..<58:
      for connection in twin.connections where !connection.isLiving {
        note("release \(connection.id)")
        // A shell lets go once it has sent what it was given.
        drain(.max)
        core.releaseConnection(connection.id)
        connection.isReleased = true
        twin.forget(connection)
      }
    default:
      let mailbox = twin.mailboxes[pick(2)]
      note("close mailbox \(mailbox.id)")
      core.closeMailbox(mailbox.id)
      twin.close(mailbox)
    }
  }

  mutating func open(_ mailbox: NaiveTwin.Mailbox) {
    let check = UInt16(truncatingIfNeeded: random.next())
    guard let id = core.openConnection(in: mailbox.id, check: check) else { return expect(true, false, "no connection") }
    let connection = NaiveTwin.Connection(id, check: check, mailbox, announced: 0)
    twin.connections.append(connection)
    connection.announced = twin.share
    connection.greatest = twin.share
    note("open \(id)")
    expect(core.address(of: id), ConnectionAddress(identifier: id.rawValue, check: check, grant: UInt32(twin.share)), "address")
  }

  mutating func establish(_ connection: NaiveTwin.Connection) {
    connection.peer = ConnectionAddress(
      identifier: UInt32(truncatingIfNeeded: random.next()), check: UInt16(truncatingIfNeeded: random.next()),
      grant: UInt32([0, 8, 16, 40, 150, 300][pick(6)]))
    connection.grant = Int(connection.peer.grant)
    connection.eagerLimit = [64, 2048, 10_000][pick(3)]
    note("establish \(connection.id) eager \(connection.eagerLimit) grant \(connection.grant)")
    core.establish(connection.id, peer: connection.peer, eagerLimit: connection.eagerLimit)
    connection.state = .open
    twin.startQueued(connection)
  }
}
