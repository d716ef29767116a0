extension MessagingCore {
  /// A control message of a living connection.
  mutating func takeControl(_ connection: Slot, _ header: MessageHeader) {
    switch header.kind {
    case .data: break
    case .credit:
      let grant = UInt32(truncatingIfNeeded: header.tag)
      if grant != 0 { connections[connection].credit.setPeerGrant(grant) }
      if header.flags.contains(.wantsCredit), connections[connection].credit.want(UInt32(truncatingIfNeeded: header.tag &>> 32)) {
        makeDue(.credit, connection)
      }
    case .acknowledgement, .rejection, .returned:
      var bits = header.tag
      while bits != 0 {
        let index = UInt32(truncatingIfNeeded: bits.trailingZeroBitCount)
        bits &= bits &- 1
        let send = sending.find(connection, header.sequence &+ index)
        if send == .none { continue }
        switch header.kind {
        case .acknowledgement: matched(send)
        case .rejection: rejected(send)
        default: takeBack(send, failed: false)
        }
      }
    case .flush:
      if connections[connection].flush.want(header.sequence, connections[connection].order) {
        makeDue(.flushAcknowledgement, connection)
      }
    case .flushAcknowledgement:
      connections[connection].flush.confirm(header.sequence, sent: connections[connection].nextSequence)
      advanceFlushes(connection)
    }
  }

  /// Tells the peer that a message was matched.
  mutating func acknowledge(_ connection: Slot, _ sequence: UInt32) {
    guard connections[connection].state.isLiving else { return }
    if !connections[connection].acknowledgements.add(sequence) {
      pass(connections[connection].acknowledgements, .acknowledgement, connection)
      connections[connection].acknowledgements.clear()
      _ = connections[connection].acknowledgements.add(sequence)
    }
    list(connection)
  }

  /// The data of an offered message were read, or will not be: its sender may have its memory back.
  public mutating func offerEnded(_ id: ConnectionID, sequence: UInt32) {
    let connection = slot(of: id)
    guard connection != .none, connections[connection].state.isLiving else { return }
    if !connections[connection].returns.add(sequence) {
      pass(connections[connection].returns, .returned, connection)
      connections[connection].returns.clear()
      _ = connections[connection].returns.add(sequence)
    }
    list(connection)
  }

  /// Tells the peer that a message was given up.
  mutating func reject(_ connection: Slot, _ sequence: UInt32) {
    guard !connections[connection].isMute else { return }
    if !connections[connection].rejections.add(sequence) {
      pass(connections[connection].rejections, .rejection, connection)
      connections[connection].rejections.clear()
      _ = connections[connection].rejections.add(sequence)
    }
    list(connection)
  }

  private mutating func pass(_ batch: AcknowledgementBatch, _ kind: MessageKind, _ connection: Slot) {
    overflow.append(.control(connectionID(connection), MessageHeader(kind: kind, tag: batch.bits, sequence: batch.base)))
  }

  /// The next full batch of a connection that can be told.
  mutating func nextOverflow() -> Effect? {
    while let effect = overflow.take() {
      guard case .control(let id, let header) = effect else { continue }
      let connection = slot(of: id)
      guard connection != .none else { continue }
      switch connections[connection].state {
      case .connecting: early.append(effect)
      case .failed: continue
      case .closed where header.kind != .rejection || connections[connection].isMute: continue
      case .open, .closed:
        return .control(id, connections[connection].header(header.kind, tag: header.tag, sequence: header.sequence))
      }
    }
    return nil
  }
}
