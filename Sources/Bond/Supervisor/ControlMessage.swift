internal import CausewayBase
package import CausewaySupport

/// One question and one answer a connection on a bond's control socket, each a JSON object in a line.
package enum ControlQuestion: String, Sendable {
  case status, reload, down
}

package struct ControlAnswer: JSONRecord, Equatable, Sendable {
  /// Empty: it is done.
  package var error = ""
  package var exitCode: Int32 = 0
  /// What to tell besides.
  package var notes: [String] = []
  package var hasStatus = false
  package var status = BondStatus()

  package init() {}

  package init(status: BondStatus) {
    hasStatus = true
    self.status = status
  }

  package static func failure(_ error: String, _ code: ExitCode = .failure) -> ControlAnswer {
    var answer = ControlAnswer()
    answer.error = error
    answer.exitCode = code.rawValue
    return answer
  }

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("error", &error)
    try json.field("exit_code", &exitCode)
    try json.field("notes", &notes)
    try json.field("has_status", &hasStatus)
    if hasStatus { try json.field("status", &status) }
  }
}

enum ControlCodec {
  /// A question with its LF.
  static let maximumQuestionByteCount = 256

  static func encode(_ question: ControlQuestion) -> [UInt8] { Array("{\"ask\":\"\(question.rawValue)\"}\n".utf8) }

  /// nil when it is no question of ours.
  static func question(_ line: Span<UInt8>) -> ControlQuestion? {
    guard let json = try? JSONValue(parsing: line) else { return nil }
    return json["ask"]?.string.flatMap(ControlQuestion.init(rawValue:))
  }
}
