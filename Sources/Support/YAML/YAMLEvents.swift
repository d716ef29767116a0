internal import CYAML
internal import CausewayBase
internal import Glibc

/// One step of libyaml's parser, copied out of it.
enum YAMLEvent {
  /// Stream start, document start and end.
  case ignored
  case streamEnd
  case alias(String)
  case scalar(String, isPlain: Bool, anchor: String?)
  case sequenceStart(anchor: String?)
  case sequenceEnd
  case mappingStart(anchor: String?)
  case mappingEnd
}

/// The one owner of a `yaml_parser_t` and of the text it reads.
@safe final class YAMLEvents {
  private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
  private let text: UnsafeMutableBufferPointer<UInt8>
  private let file: String

  init(_ text: [UInt8], file: String) {
    self.file = file
    // SAFETY: libyaml keeps the address of the text; both allocations live as long as this object.
    unsafe self.text = .allocate(capacity: max(1, text.count))
    _ = unsafe self.text.initialize(from: text)
    let initialized = unsafe yaml_parser_initialize(parser)
    precondition(initialized == 1, "libyaml is out of memory")
    unsafe yaml_parser_set_input_string(parser, self.text.baseAddress, text.count)
  }

  deinit {
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
    unsafe text.deallocate()
  }

  func next() throws(YAMLError) -> (YAMLEvent, YAMLNode.Place) {
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw problem() }
    defer { unsafe yaml_event_delete(&event) }
    let place = unsafe Self.place(event.start_mark)
    // SAFETY: the union's member belongs to the type; its strings live until yaml_event_delete and are copied here.
    switch unsafe event.type {
    case YAML_STREAM_END_EVENT: return (.streamEnd, place)
    case YAML_ALIAS_EVENT: return (.alias(unsafe Self.string(event.data.alias.anchor) ?? ""), place)
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      try unsafe refuse(tag: scalar.tag, at: place)
      let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE
      return (.scalar(unsafe String(decoding: bytes, as: UTF8.self), isPlain: isPlain, anchor: unsafe Self.string(scalar.anchor)), place)
    case YAML_SEQUENCE_START_EVENT:
      try unsafe refuse(tag: event.data.sequence_start.tag, at: place)
      return (.sequenceStart(anchor: unsafe Self.string(event.data.sequence_start.anchor)), place)
    case YAML_SEQUENCE_END_EVENT: return (.sequenceEnd, place)
    case YAML_MAPPING_START_EVENT:
      try unsafe refuse(tag: event.data.mapping_start.tag, at: place)
      return (.mappingStart(anchor: unsafe Self.string(event.data.mapping_start.anchor)), place)
    case YAML_MAPPING_END_EVENT: return (.mappingEnd, place)
    default: return (.ignored, place)
    }
  }

  private func refuse(tag: UnsafeMutablePointer<yaml_char_t>?, at place: YAMLNode.Place) throws(YAMLError) {
    guard let tag = unsafe Self.string(tag) else { return }
    throw YAMLError(file: file, line: place.line, column: place.column, key: "", reason: "tags ('\(tag.printable)') have no meaning here")
  }

  private func problem() -> YAMLError {
    // SAFETY: libyaml's problem texts are static.
    let failed = unsafe parser.pointee
    var reason = unsafe failed.problem == nil ? "cannot be read" : String(cString: failed.problem)
    var place = unsafe Self.place(failed.problem_mark)
    if unsafe failed.error == YAML_READER_ERROR {
      // Not valid UTF-8, or a control character: libyaml gives the byte only.
      let before = unsafe text.prefix(failed.problem_offset)
      place.line = unsafe 1 + before.count { $0 == 0x0A }
      place.column = unsafe 1 + before.reversed().prefix { $0 != 0x0A }.count
    }
    if let context = unsafe failed.context {
      reason += unsafe " " + String(cString: context)
      let start = unsafe Self.place(failed.context_mark)
      if start != place && start != .init(line: 1, column: 1) { reason += " (begun in line \(start.line))" }
    }
    return YAMLError(file: file, line: place.line, column: place.column, key: "", reason: "broken YAML: " + reason)
  }

  private static func place(_ mark: yaml_mark_t) -> YAMLNode.Place { .init(line: Int(mark.line) + 1, column: Int(mark.column) + 1) }

  private static func string(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? {
    // SAFETY: libyaml's names are NUL-terminated.
    unsafe bytes.map { unsafe String(cString: $0) }
  }
}
