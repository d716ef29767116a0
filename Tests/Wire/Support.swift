import CausewayBase
import CausewayWire

/// What a parse of a request came to, comparable.
struct ParsedRequest: Equatable, CustomStringConvertible {
  var byteCount: Int
  var method: HTTPMethod
  var target: String
  var form: TargetForm
  var path: String
  var minorVersion: UInt8
  var fields: [FieldLine]
  var framing: BodyFraming
  var keepAlive: Bool
  var expectsContinue: Bool
  var upgrade: UpgradeProtocol
  var host: String?
  var port: UInt16?

  init(_ head: RequestHead, _ bytes: Span<UInt8>, _ byteCount: Int) {
    self.byteCount = byteCount
    method = head.method
    target = bytes.string(in: head.target)
    form = head.targetForm
    path = bytes.string(in: head.path)
    minorVersion = head.minorVersion
    fields = head.fields
    framing = head.framing
    keepAlive = head.keepAlive
    expectsContinue = head.expectsContinue
    upgrade = head.upgrade
    host = head.host?.lowercasedName(of: bytes)
    port = head.host?.port
  }

  var description: String { "\(method) \(target) \(form) HTTP/1.\(minorVersion) \(framing) host \(host ?? "-")" }
}

enum Outcome<Value: Equatable>: Equatable {
  case head(Value)
  case incomplete
  case refused(HTTPHeadError)

  var value: Value? { if case .head(let value) = self { value } else { nil } }
  var error: HTTPHeadError? { if case .refused(let error) = self { error } else { nil } }
}

func parseRequest(_ text: String, limits: HeadLimits = .standard) -> Outcome<ParsedRequest> {
  parseRequest(Array(text.utf8), limits: limits)
}

func parseRequest(_ bytes: [UInt8], limits: HeadLimits = .standard) -> Outcome<ParsedRequest> {
  let head = RequestHead()
  do {
    guard let count = try head.parse(bytes.span, limits: limits) else { return .incomplete }
    return .head(ParsedRequest(head, bytes.span, count))
  } catch {
    return .refused(error)
  }
}

/// The same, one byte more at each call.
func parseRequestInPieces(_ bytes: [UInt8], limits: HeadLimits = .standard) -> Outcome<ParsedRequest> {
  let head = RequestHead()
  do {
    for end in 1...max(1, bytes.count) where end <= bytes.count {
      if let count = try head.parse(bytes.span.extracting(0..<end), limits: limits) { return .head(ParsedRequest(head, bytes.span, count)) }
    }
    return .incomplete
  } catch {
    return .refused(error)
  }
}

struct ParsedResponse: Equatable {
  var byteCount: Int
  var status: UInt16
  var reason: String
  var minorVersion: UInt8
  var fields: [FieldLine]
  var framing: BodyFraming
  var contentLength: UInt64?
  var keepAlive: Bool
  var upgrade: UpgradeProtocol

  init(_ head: ResponseHead, _ bytes: Span<UInt8>, _ byteCount: Int) {
    self.byteCount = byteCount
    status = head.status
    reason = bytes.string(in: head.reason)
    minorVersion = head.minorVersion
    fields = head.fields
    framing = head.framing
    contentLength = head.contentLength
    keepAlive = head.keepAlive
    upgrade = head.upgrade
  }
}

func parseResponse(_ text: String, to method: HTTPMethod = .get, limits: HeadLimits = .standard) -> Outcome<ParsedResponse> {
  let bytes = Array(text.utf8)
  let head = ResponseHead()
  do {
    guard let count = try head.parse(bytes.span, to: method, limits: limits) else { return .incomplete }
    return .head(ParsedResponse(head, bytes.span, count))
  } catch {
    return .refused(error)
  }
}

func parseResponseInPieces(_ text: String, to method: HTTPMethod = .get) -> Outcome<ParsedResponse> {
  let bytes = Array(text.utf8)
  let head = ResponseHead()
  do {
    for end in 1...max(1, bytes.count) where end <= bytes.count {
      if let count = try head.parse(bytes.span.extracting(0..<end), to: method) { return .head(ParsedResponse(head, bytes.span, count)) }
    }
    return .incomplete
  } catch {
    return .refused(error)
  }
}

extension ByteBuffer {
  /// A copy of the readable bytes.
  var array: [UInt8] {
    let bytes = self.bytes
    return bytes.array(in: 0..<bytes.count)
  }
}

/// One call of a throwing parser, as a value.
func outcome<T, E: Error>(_ body: () throws(E) -> T) -> Result<T, E> {
  do throws(E) { return .success(try body()) } catch { return .failure(error) }
}

extension SeededRandom {
  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}
