public import CausewayBase
public import CausewayWire

/// In which form a visitor reads a page of ours.
public enum PageFormat: UInt8, Sendable {
  case plain, html, json

  /// By `Accept`: whichever of HTML and JSON comes first in it; plain text for all others, curl among them.
  public init(accept value: Span<UInt8>) {
    self = .plain
    var index = 0
    while index < value.count {
      if Self.holds(value, index, "html") {
        self = .html
        return
      }
      if Self.holds(value, index, "json") {
        self = .json
        return
      }
      index += 1
    }
  }

  public init(_ head: RequestHead, _ bytes: Span<UInt8>) {
    guard let field = head.first(.accept) else {
      self = .plain
      return
    }
    self.init(accept: bytes.extracting(field.value))
  }

  private static func holds(_ bytes: Span<UInt8>, _ start: Int, _ word: StaticString) -> Bool {
    start + word.utf8CodeUnitCount <= bytes.count && bytes.matches(ByteRange(start, start + word.utf8CodeUnitCount), lowercased: word)
  }
}

/// Whole answers of the relay's own.
public enum RefusalPage {
  /// Appends the answer to a request that is refused. What it says comes from us only; nothing of the request is repeated.
  /// - Parameters:
  ///   - unixSeconds: for Date.
  ///   - scratch: empty, and empty again afterwards.
  public static func append(
    _ refusal: Refusal, _ format: PageFormat, to request: RequestFacts, keepsAlive: Bool, at unixSeconds: Int64, scratch: ByteBuffer,
    into out: ByteBuffer
  ) {
    switch format {
    case .plain: appendPlain(refusal, scratch)
    case .json: appendJSON(refusal, scratch)
    case .html: appendHTML(refusal, scratch)
    }
    out.appendStatusLine(refusal.status)
    switch refusal {
    case .methodNotAllowed: out.append("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n")
    case .unauthorized: out.append("WWW-Authenticate: Basic realm=\"tunnel\", charset=\"UTF-8\"\r\n")
    case .upgradeRequired: out.append("Upgrade: causeway/3, websocket\r\n")
    case .head(.webSocketVersionUnsupported): out.append("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
    default: break
    }
    if let seconds = refusal.retryAfter { out.appendField("Retry-After", seconds) }
    appendRest(
      contentType: contentType(format), to: request, keepsAlive: keepsAlive, at: unixSeconds, body: scratch,
      isUpgrade: refusal.status == 426, into: out)
    scratch.removeAll()
  }

  /// Appends a small 200 answer.
  public static func appendOK(
    _ text: StaticString, to request: RequestFacts, keepsAlive: Bool, at unixSeconds: Int64, scratch: ByteBuffer, into out: ByteBuffer
  ) {
    scratch.append(text)
    out.appendStatusLine(200)
    appendRest(
      contentType: contentType(.plain), to: request, keepsAlive: keepsAlive, at: unixSeconds, body: scratch, isUpgrade: false, into: out)
    scratch.removeAll()
  }

  private static func contentType(_ format: PageFormat) -> StaticString {
    switch format {
    case .plain: "text/plain; charset=utf-8"
    case .json: "application/json"
    case .html: "text/html; charset=utf-8"
    }
  }

  private static func appendRest(
    contentType: StaticString, to request: RequestFacts, keepsAlive: Bool, at unixSeconds: Int64, body: ByteBuffer, isUpgrade: Bool,
    into out: ByteBuffer
  ) {
    DateField.append(unixSeconds, to: out)
    out.appendField("Content-Type", contentType)
    out.appendField("Content-Length", UInt64(body.count))
    out.append("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n")
    out.append("Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n")
    if isUpgrade {
      out.append(keepsAlive ? "Connection: Upgrade\r\n" : "Connection: Upgrade, close\r\n")
    } else {
      ConnectionField.append(keepsAlive: keepsAlive, minorVersion: request.minorVersion, to: out)
    }
    out.append("\r\n")
    if !request.isHead { out.append(body.bytes) }
  }

  private static func appendPlain(_ refusal: Refusal, _ out: ByteBuffer) {
    out.append(decimal: UInt64(refusal.status))
    out.append(" ")
    out.append(HTTPStatus.reason(refusal.status))
    out.append("\n\n")
    out.append(refusal.explanation)
    out.append("\n")
    out.append(refusal.advice)
    out.append("\nWhere it failed: ")
    out.append(refusal.side.rawValue)
    out.append(".\n")
  }

  /// All texts are ours and free of quotes, backslashes and control bytes.
  private static func appendJSON(_ refusal: Refusal, _ out: ByteBuffer) {
    out.append("{\"error\":{\"status\":")
    out.append(decimal: UInt64(refusal.status))
    out.append(",\"code\":\"")
    out.append(refusal.code)
    out.append("\",\"side\":\"")
    out.append(refusal.side.rawValue)
    out.append("\",\"message\":\"")
    out.append(refusal.explanation)
    out.append("\",\"advice\":\"")
    out.append(refusal.advice)
    out.append("\"}}\n")
  }

  private static func appendHTML(_ refusal: Refusal, _ out: ByteBuffer) {
    out.append(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n<title>")
    out.append(decimal: UInt64(refusal.status))
    out.append(" ")
    out.append(HTTPStatus.reason(refusal.status))
    out.append(
      """
      </title>
      <style>
      body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:12vh auto;padding:0 1rem;color:#222;background:#fff}
      h1{font-size:1.4rem}ol{display:flex;gap:.5rem;padding:0;list-style:none;flex-wrap:wrap}
      li{flex:1;min-width:6rem;padding:.5rem;border:1px solid #bbb;border-radius:.4rem;text-align:center;font-size:.85rem}
      li[aria-current]{border:2px solid #c33;color:#c33;font-weight:600}
      @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}li{border-color:#555}li[aria-current]{border-color:#f77;color:#f77}}
      </style>
      <h1>
      """)
    out.append(refusal.explanation)
    out.append("</h1>\n<ol>")
    for (side, label) in [(FaultSide.visitor, "you"), (.relay, "relay"), (.tunnel, "client"), (.service, "service")]
      as [(FaultSide, StaticString)]
    {
      out.append(side == refusal.side ? "<li aria-current=\"true\">" : "<li>")
      out.append(label)
      out.append("</li>")
    }
    out.append("</ol>\n<p>Where it failed: ")
    out.append(refusal.side.rawValue)
    out.append(". ")
    out.append(refusal.advice)
    out.append("</p>\n<p><small>")
    out.append(decimal: UInt64(refusal.status))
    out.append(" ")
    out.append(refusal.code)
    out.append("</small></p>\n</html>\n")
  }
}
