internal import CYAML
internal import CausewayBase

/// Reads one YAML document into a tree. Duplicate keys, tags, keys that aren't scalars and second documents are refused; size, depth and
/// what aliases expand to are bounded.
package enum YAMLDocument {
  package static let maximumByteCount = 1 << 20
  package static let maximumDepth = 32
  /// Nodes of the tree, those that aliases repeat counted each time.
  package static let maximumNodeCount = 20_000

  /// - Parameter file: The name that errors show.
  package static func parse(_ text: [UInt8], file: String) throws(YAMLError) -> YAMLNode {
    guard text.count <= maximumByteCount else {
      throw YAMLError(file: file, line: 1, column: 1, key: "", reason: "larger than \(maximumByteCount >> 20) MiB")
    }
    let events = YAMLEvents(text, file: file)
    var composer = Composer(events: events, file: file)
    return try composer.document()
  }

  package static func parse(_ text: String, file: String) throws(YAMLError) -> YAMLNode { try parse(Array(text.utf8), file: file) }
}

private struct Composer {
  /// A finished node, with what repeating it costs.
  struct Anchored {
    var node: YAMLNode
    var nodeCount: Int
    var height: Int
  }

  let events: YAMLEvents
  let file: String
  var anchors: [String: Anchored] = [:]
  var nodeCount = 0

  init(events: YAMLEvents, file: String) {
    self.events = events
    self.file = file
  }

  mutating func document() throws(YAMLError) -> YAMLNode {
    var root: YAMLNode?
    while true {
      let (event, place) = try events.next()
      switch event {
      case .ignored: continue
      case .streamEnd: return root ?? YAMLNode(content: .scalar("", isPlain: true), file: file, place: .init(line: 1, column: 1))
      default:
        if root != nil { throw error(place, "a second document: one file holds one") }
        root = try node(event, place, depth: 0, path: "").node
      }
    }
  }

  func error(_ place: YAMLNode.Place, _ reason: String, key: String = "") -> YAMLError {
    YAMLError(file: file, line: place.line, column: place.column, key: key, reason: reason)
  }

  mutating func count(_ nodes: Int, _ place: YAMLNode.Place) throws(YAMLError) {
    nodeCount += nodes
    if nodeCount > YAMLDocument.maximumNodeCount {
      throw error(place, "more than \(YAMLDocument.maximumNodeCount) values, repeated ones included")
    }
  }

  mutating func node(_ event: YAMLEvent, _ place: YAMLNode.Place, depth: Int, path: String) throws(YAMLError) -> Anchored {
    if depth >= YAMLDocument.maximumDepth { throw error(place, "nested deeper than \(YAMLDocument.maximumDepth) levels", key: path) }
    let before = nodeCount
    if case .alias(let name) = event {
      guard let anchored = anchors[name] else { throw error(place, "unknown alias '*\(name.printable)'", key: path) }
      if depth + anchored.height > YAMLDocument.maximumDepth {
        throw error(place, "nested deeper than \(YAMLDocument.maximumDepth) levels", key: path)
      }
      try count(anchored.nodeCount, place)
      return anchored
    }
    try count(1, place)
    var height = 1
    let content: YAMLNode.Content
    let anchor: String?
    switch event {
    case .scalar(let text, let isPlain, let name):
      content = .scalar(text, isPlain: isPlain)
      anchor = name
    case .sequenceStart(let name):
      anchor = name
      var items: [YAMLNode] = []
      while true {
        let (event, place) = try events.next()
        if case .sequenceEnd = event { break }
        let item = try node(event, place, depth: depth + 1, path: "\(path)[\(items.count)]")
        height = max(height, item.height + 1)
        items.append(item.node)
      }
      content = .sequence(items)
    case .mappingStart(let name):
      anchor = name
      var entries: [YAMLNode.Entry] = []
      var seen: [String: YAMLNode.Place] = [:]
      while true {
        let (event, keyPlace) = try events.next()
        if case .mappingEnd = event { break }
        guard case .scalar(let key, _, _) = event else { throw error(keyPlace, "a key must be a plain text", key: path) }
        try count(1, keyPlace)
        let keyPath = YAMLNode.join(path, key)
        if let first = seen.updateValue(keyPlace, forKey: key) {
          throw error(keyPlace, "given twice, first in line \(first.line)", key: keyPath)
        }
        let (valueEvent, valuePlace) = try events.next()
        let value = try node(valueEvent, valuePlace, depth: depth + 1, path: keyPath)
        height = max(height, value.height + 1)
        entries.append(.init(key: key, keyPlace: keyPlace, value: value.node))
      }
      content = .mapping(entries)
    case .alias, .sequenceEnd, .mappingEnd, .ignored, .streamEnd:
      throw error(place, "the document ends too early", key: path)
    }
    let result = Anchored(
      node: YAMLNode(content: content, file: file, place: place), nodeCount: nodeCount - before, height: height)
    if let anchor { anchors[anchor] = result }
    return result
  }
}
