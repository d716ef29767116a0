package import CausewayBase
internal import CausewaySupport
internal import CausewayWire

extension WorkerMessage {
  /// A line without its LF; a longer one ends the conversation. Room for the status of `BondConfiguration.maximumPeerCount` peers.
  package static let maximumLineByteCount = 32 << 20
  static let timestampByteCount = 12

  /// Appends the message with its LF.
  package func append(to buffer: ByteBuffer) {
    var json = JSONWriter(buffer)
    json.beginObject()
    json.member("type", type.rawValue)
    switch self {
    case .configure(let configuration, let timestamp):
      json.member("timestamp", Hexadecimal.encode(timestamp.span))
      Self.append(configuration, &json)
    case .reload(let configuration): Self.append(configuration, &json)
    case .statusRequest(let id): json.member("id", id)
    case .stop: break
    case .ready(let readiness): Self.append(readiness, &json)
    case .failed(let text), .reloaded(let text): json.member("text", text)
    case .status(let id, let status):
      json.member("id", id)
      Self.append(status, &json)
    case .timestamp(let bytes): json.member("timestamp", Hexadecimal.encode(bytes.span))
    case .log(let line): Self.append(line, &json)
    case .pathEvent(let event): Self.append(event, &json)
    }
    json.endObject()
    json.finishLine()
  }

  /// - Throws: What is wrong, without a value of the line.
  package init(line: Span<UInt8>) throws(WorkerMessageError) {
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue(parsing: line) } catch { throw WorkerMessageError(error.description) }
    guard let type = json["type"]?.string.flatMap(Kind.init(rawValue:)) else { throw WorkerMessageError("unknown type of message") }
    do throws(JSONRecordError) { self = try Self.message(type, json) } catch { throw WorkerMessageError(error.description) }
  }

  private static func message(_ type: Kind, _ json: JSONValue) throws(JSONRecordError) -> WorkerMessage {
    let id = json["id"]?.integer.flatMap { UInt32(exactly: $0) } ?? 0
    let text = json["text"]?.string ?? ""
    let content = json["content"] ?? .null
    switch type {
    case .configure: return .configure(try WorkerConfiguration(json: content), timestamp: try timestamp(json, mayBeEmpty: true))
    case .reload: return .reload(try WorkerConfiguration(json: content))
    case .statusRequest: return .statusRequest(id: id)
    case .stop: return .stop
    case .ready: return .ready(try WorkerReadiness(json: content))
    case .failed: return .failed(text)
    case .reloaded: return .reloaded(text)
    case .status: return .status(id: id, try BondStatus(json: content))
    case .timestamp: return .timestamp(try timestamp(json, mayBeEmpty: false))
    case .log: return .log(try WorkerLogLine(json: content))
    case .pathEvent: return .pathEvent(try PathEvent(json: content))
    }
  }

  private static func timestamp(_ json: JSONValue, mayBeEmpty: Bool) throws(JSONRecordError) -> [UInt8] {
    let text = Array((json["timestamp"]?.string ?? "").utf8)
    guard let bytes = Hexadecimal.decode(text.span), bytes.count == timestampByteCount || (mayBeEmpty && bytes.isEmpty) else {
      throw JSONRecordError("timestamp", "expected 12 bytes in hexadecimal")
    }
    return bytes
  }

  private static func append(_ record: some JSONRecord, _ json: inout JSONWriter) {
    json.key("content")
    record.write(to: &json)
  }

  private enum Kind: String {
    case configure, reload, stop, ready, failed, reloaded, status, timestamp, log
    case statusRequest = "status_request"
    case pathEvent = "path_event"
  }

  private var type: Kind {
    switch self {
    case .configure: .configure
    case .reload: .reload
    case .statusRequest: .statusRequest
    case .stop: .stop
    case .ready: .ready
    case .failed: .failed
    case .reloaded: .reloaded
    case .status: .status
    case .timestamp: .timestamp
    case .log: .log
    case .pathEvent: .pathEvent
    }
  }
}

package struct WorkerMessageError: Error, Equatable, Sendable, CustomStringConvertible {
  package var description: String
  init(_ description: String) { self.description = description }
}
