public import CausewayBase

extension ByteBuffer {
  /// `HTTP/1.1 404 Not Found`, with the line end.
  public func appendStatusLine(_ status: UInt16) {
    append("HTTP/1.1 ")
    append(decimal: UInt64(status))
    append(0x20)
    append(HTTPStatus.reason(status))
    append("\r\n")
  }

  /// A field line whose parts are our own.
  public func appendField(_ name: StaticString, _ value: StaticString) {
    append(name)
    append(": ")
    append(value)
    append("\r\n")
  }

  public func appendField(_ name: StaticString, _ value: UInt64) {
    append(name)
    append(": ")
    append(decimal: value)
    append("\r\n")
  }

  /// A field line whose value was checked by a parser. `value` must hold field-value bytes only.
  public func appendField(_ name: StaticString, _ value: Span<UInt8>) {
    append(name)
    append(": ")
    append(value)
    append("\r\n")
  }

  /// A field line as the peer sent it, in canonical white space.
  @inlinable public func appendField(_ line: FieldLine, of bytes: Span<UInt8>) {
    append(bytes.extracting(line.name))
    append(": ")
    append(bytes.extracting(line.value))
    append("\r\n")
  }
}

extension RequestHead {
  /// Appends the target in origin form, as an origin server wants it: absolute forms lose scheme and host, and an absent path
  /// becomes `/` (or `*` for OPTIONS, RFC 9112 §3.2.4).
  public func appendOriginTarget(of bytes: Span<UInt8>, to buffer: ByteBuffer) {
    switch targetForm {
    case .origin: buffer.append(bytes.extracting(path))
    case .asterisk, .authority: buffer.append(bytes.extracting(target))
    case .absolute:
      if path.isEmpty {
        buffer.append(method == .options ? "*" : "/")
      } else {
        if bytes[Int(path.start)] != UInt8(ascii: "/") { buffer.append("/") }
        buffer.append(bytes.extracting(path))
      }
    }
  }
}

public enum HTTPStatus {
  /// The reason phrase of RFC 9110 §15 and its companions; empty for what we don't know.
  public static func reason(_ status: UInt16) -> StaticString {
    switch status {
    case 100: "Continue"
    case 101: "Switching Protocols"
    case 102: "Processing"
    case 103: "Early Hints"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 203: "Non-Authoritative Information"
    case 204: "No Content"
    case 205: "Reset Content"
    case 206: "Partial Content"
    case 207: "Multi-Status"
    case 300: "Multiple Choices"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 402: "Payment Required"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 406: "Not Acceptable"
    case 407: "Proxy Authentication Required"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 410: "Gone"
    case 411: "Length Required"
    case 412: "Precondition Failed"
    case 413: "Content Too Large"
    case 414: "URI Too Long"
    case 415: "Unsupported Media Type"
    case 416: "Range Not Satisfiable"
    case 417: "Expectation Failed"
    case 421: "Misdirected Request"
    case 422: "Unprocessable Content"
    case 423: "Locked"
    case 425: "Too Early"
    case 426: "Upgrade Required"
    case 428: "Precondition Required"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 451: "Unavailable For Legal Reasons"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    case 507: "Insufficient Storage"
    case 508: "Loop Detected"
    default: ""
    }
  }
}
