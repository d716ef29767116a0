internal import CYAML

/// A value to write as YAML.
package indirect enum YAMLValue: Sendable {
  /// Always quoted, so that `no`, `1e3` and `a: b` stay texts for every reader.
  case text(String)
  case integer(Int)
  case boolean(Bool)
  case sequence([YAMLValue])
  case mapping([(key: String, value: YAMLValue)])
}

/// Writes block-style YAML through libyaml's emitter.
package enum YAMLWriter {
  package static func text(_ value: YAMLValue) -> String {
    var output: [UInt8] = []
    // SAFETY: `output` outlives the emitter, which only writes through the handler; events own what they copy.
    unsafe withUnsafeMutablePointer(to: &output) { output in
      var emitter = unsafe yaml_emitter_t()
      let initialized = unsafe yaml_emitter_initialize(&emitter)
      precondition(initialized == 1, "libyaml is out of memory")
      defer { unsafe yaml_emitter_delete(&emitter) }
      unsafe yaml_emitter_set_unicode(&emitter, 1)
      unsafe yaml_emitter_set_width(&emitter, -1)
      unsafe yaml_emitter_set_output(
        &emitter,
        { context, bytes, count in
          unsafe context!.assumingMemoryBound(to: [UInt8].self).pointee.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
          return 1
        }, output)
      unsafe emit(&emitter) { event in unsafe yaml_stream_start_event_initialize(event, YAML_UTF8_ENCODING) }
      unsafe emit(&emitter) { event in unsafe yaml_document_start_event_initialize(event, nil, nil, nil, 1) }
      unsafe write(value, &emitter)
      unsafe emit(&emitter) { event in unsafe yaml_document_end_event_initialize(event, 1) }
      unsafe emit(&emitter) { event in unsafe yaml_stream_end_event_initialize(event) }
    }
    return String(decoding: output, as: UTF8.self)
  }

  private static func emit(
    _ emitter: UnsafeMutablePointer<yaml_emitter_t>, _ make: (UnsafeMutablePointer<yaml_event_t>) -> CInt
  ) {
    var event = unsafe yaml_event_t()
    let made = unsafe make(&event)
    let emitted = unsafe made == 1 && yaml_emitter_emit(emitter, &event) == 1
    precondition(emitted, "libyaml refused a value")
  }

  private static func write(_ value: YAMLValue, _ emitter: UnsafeMutablePointer<yaml_emitter_t>) {
    switch value {
    case .text(let text): unsafe scalar(text, YAML_DOUBLE_QUOTED_SCALAR_STYLE, emitter)
    case .integer(let number): unsafe scalar(String(number), YAML_PLAIN_SCALAR_STYLE, emitter)
    case .boolean(let flag): unsafe scalar(flag ? "true" : "false", YAML_PLAIN_SCALAR_STYLE, emitter)
    case .sequence(let items):
      unsafe emit(emitter) { event in unsafe yaml_sequence_start_event_initialize(event, nil, nil, 1, YAML_BLOCK_SEQUENCE_STYLE) }
      for item in items { unsafe write(item, emitter) }
      unsafe emit(emitter) { event in unsafe yaml_sequence_end_event_initialize(event) }
    case .mapping(let entries):
      unsafe emit(emitter) { event in unsafe yaml_mapping_start_event_initialize(event, nil, nil, 1, YAML_BLOCK_MAPPING_STYLE) }
      for (key, value) in entries {
        let isWord =
          key.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == 0x5F }
          && !["null", "true", "false", "yes", "no", "on", "off", "y", "n", ""].contains(key)
        unsafe scalar(key, isWord ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE, emitter)
        unsafe write(value, emitter)
      }
      unsafe emit(emitter) { event in unsafe yaml_mapping_end_event_initialize(event) }
    }
  }

  private static func scalar(_ text: String, _ style: yaml_scalar_style_t, _ emitter: UnsafeMutablePointer<yaml_emitter_t>) {
    var text = text
    text.withUTF8 { bytes in
      unsafe emit(emitter) { event in
        unsafe yaml_scalar_event_initialize(event, nil, nil, bytes.baseAddress, CInt(bytes.count), 1, 1, style)
      }
    }
  }
}
