internal import CMessaging
internal import CausewayMessaging

/// The header's code for one of ours.
func code(_ code: MessagingError.Code) -> Int32 {
  switch code {
  case .deadlineExceeded: CWM_TIMED_OUT.rawValue
  case .cancelled: CWM_CANCELLED.rawValue
  case .peerLost: CWM_PEER_LOST.rawValue
  case .truncated: CWM_TRUNCATED.rawValue
  case .wouldBlock: CWM_WOULD_BLOCK.rawValue
  case .closed: CWM_CLOSED.rawValue
  case .versionMismatch: CWM_VERSION_MISMATCH.rawValue
  case .authenticationFailed: CWM_KEY_REFUSED.rawValue
  case .notConnected, .protocolViolation: CWM_NOT_CONNECTED.rawValue
  case .invalidArgument: CWM_INVALID.rawValue
  case .ucxUnavailable: CWM_NO_UCX.rawValue
  case .forked: CWM_FORKED.rawValue
  case .addressUnavailable: CWM_ADDRESS_IN_USE.rawValue
  case .limitReached: CWM_NO_MEMORY.rawValue
  default: CWM_FAILED.rawValue
  }
}

@inline(__always) func code(of completion: Completion) -> Int32 { completion.isDone ? CWM_OK.rawValue : code(completion.code) }

/// Writes the story of a failure and returns its code.
@discardableResult func fail(_ error: UnsafeMutablePointer<cwm_error>?, _ code: Int32, _ text: String) -> Int32 {
  guard let error = unsafe error, unsafe error.pointee.size >= 16 else { return code }
  // SAFETY: the caller's struct says its size, and no byte beyond that is written.
  let room = unsafe min(error.pointee.size, MemoryLayout<cwm_error>.size) - 12
  unsafe error.pointee.code = code
  unsafe withUnsafeMutableBytes(of: &error.pointee.message) { bytes in
    var count = 0
    for byte in text.utf8.prefix(room - 1) {
      unsafe bytes[count] = byte == 0x0A || byte == 0 ? 0x20 : byte
      count += 1
    }
    unsafe bytes[count] = 0
  }
  return code
}

@discardableResult func fail(_ error: UnsafeMutablePointer<cwm_error>?, _ reason: MessagingError) -> Int32 {
  unsafe fail(error, code(reason.code), reason.description)
}

func misuse(_ error: UnsafeMutablePointer<cwm_error>?, _ text: String) -> Int32 { unsafe fail(error, CWM_INVALID.rawValue, text) }
