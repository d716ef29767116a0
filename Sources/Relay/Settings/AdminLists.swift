internal import CausewayBase

/// Lists of the managing commands as JSON: their lines are tab-separated columns, some of them `key=value`.
package enum AdminLists {
  package enum Kind: Sendable { case accounts, tokens, names }

  /// One line of JSON with its end for one line of a list. `-` and `never` become null.
  package static func json(_ line: String, _ kind: Kind) -> String {
    let names =
      switch kind {
      case .accounts: ["email", "state"]
      case .tokens: ["id", "email", "state"]
      case .names: ["name", "email", "kind"]
      }
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    json.object { json in
      for (index, column) in line.split(separator: "\t", omittingEmptySubsequences: false).enumerated() {
        // The first two are what somebody chose: an address may hold '=', a name may be a number.
        if index < 2 {
          json.key(names[index])
          if column == "-" { json.null() } else { json.value(String(column)) }
          continue
        }
        var state: String? = index < names.count ? names[index] : "state"
        for word in column.split(separator: " ") {
          let parts = word.split(separator: "=", maxSplits: 1)
          // `held until=…` and `revoked=…` are a state and its time.
          if parts.count < 2 || (index < names.count && kind == .tokens), let key = state {
            json.member(key, String(parts.first ?? ""))
            state = nil
          }
          guard parts.count == 2 else { continue }
          json.key(String(parts[0]))
          if parts[1] == "-" || parts[1] == "never" {
            json.null()
          } else if let number = Int(parts[1]) {
            json.value(number)
          } else {
            json.value(String(parts[1]))
          }
        }
      }
    }
    json.finishLine()
    // SAFETY: the bytes live for the closure.
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }

  /// `{"token":"cw_…"}`
  package static func json(token: String) -> String {
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    json.object { $0.member("token", token) }
    json.finishLine()
    // SAFETY: the bytes live for the closure.
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
