internal import CUCX
internal import CausewayMessagingCore

/// How UCX carries a range of message sizes over one connection, as it says itself.
public struct Route: Equatable, Sendable {
  /// Which of the engine's two ways to hand a message to UCX: with the header in one piece, or to be fetched by the receiver.
  public enum MessageClass: String, Sendable, CaseIterable {
    case eager, rendezvous
  }

  public var messageClass: MessageClass
  /// UCX's words: "copy-in", "rendezvous zero-copy read from remote"; before 1.16 "egr/bcopy", "rndv".
  public var method: String
  /// Transport and device of the lanes: "posix/memory".
  public var lanes: String
  /// Sizes in UCX's count, which may include a header; nil is without end.
  public var from: Int
  public var upTo: Int?

  public init(_ messageClass: MessageClass, _ method: String, lanes: String, from: Int = 0, upTo: Int? = nil) {
    self.messageClass = messageClass
    self.method = method
    self.lanes = lanes
    self.from = from
    self.upTo = upTo
  }

  func holds(_ byteCount: Int) -> Bool { byteCount >= from && byteCount <= upTo ?? .max }
}

extension Engine {
  /// Longest message that goes to its receiver unasked; a longer one is fetched when it has been matched.
  public var eagerByteLimit: Int { driver.eagerLimit }

  public func messageClass(of byteCount: Int) -> Route.MessageClass { byteCount <= eagerByteLimit ? .eager : .rendezvous }
}

extension MessagePort {
  /// The ways that messages of this connection take. From UCX 1.16 on a class is known once a message of it was sent, of more than a few
  /// bytes.
  public func routes() throws(MessagingError) -> [Route] {
    let connection = connection
    let (text, offers) = try unsafe ofEndpoint("routes") { driver, endpoint in
      let slot = unsafe driver.connections.pointer(connection.slot)
      return unsafe (
        Engine.printed { unsafe driver.table.pointee.ep_print_info(endpoint, $0) },
        slot.pointee.takesOffers ? slot.pointee.wasReadLast : nil
      )
    }
    let routes = Route.parse(text, eagerByteLimit: driver.eagerLimit)
    return offers.map { Route.withOffers(routes, wereReadLast: $0) } ?? routes
  }

  /// The way of a message of so many bytes, if UCX has said.
  public func route(of byteCount: Int) throws(MessagingError) -> Route? {
    let wanted = engine.messageClass(of: byteCount)
    return try routes().first { $0.messageClass == wanted && $0.holds(byteCount) }
  }
}

extension Route {
  /// What the peer reads from our memory instead, as UCX would call it. Memory in small pages still goes by UCX from a size on: whichever
  /// way the last message of such a size took comes first.
  static func withOffers(_ routes: [Route], wereReadLast: Bool) -> [Route] {
    let read = Route(.rendezvous, "single copy by the receiver", lanes: "cma/memory", from: Driver.offerLimit)
    var (before, beyond): ([Route], [Route]) = ([], [])
    for route in routes {
      var short = route
      if route.messageClass == .rendezvous {
        short.upTo = min(route.upTo ?? .max, Driver.offerLimit - 1)
        var long = route
        long.from = max(route.from, Driver.smallPageLimit)
        long.method += ", of small pages"
        if long.from <= route.upTo ?? .max { beyond.append(long) }
      }
      if short.from <= short.upTo ?? .max { before.append(short) }
    }
    return before + (wereReadLast ? [read] + beyond : beyond + [read])
  }

  /// Reads what ucp_ep_print_info prints: tables of protocols from 1.16 on, before that lanes with their purposes and thresholds.
  static func parse(_ text: String, eagerByteLimit: Int) -> [Route] {
    let lines = text.split(separator: "\n")
    var found: [Route] = []
    for route in tables(lines) + (text.contains("ucp_am_send*") ? [] : thresholds(lines)) {
      var route = route
      switch route.messageClass {
      case .eager:
        if route.from > eagerByteLimit { continue }
        route.upTo = min(route.upTo ?? .max, eagerByteLimit)
      case .rendezvous:
        if (route.upTo ?? .max) <= eagerByteLimit { continue }
        route.from = max(route.from, eagerByteLimit + 1)
      }
      if !found.contains(route) { found.append(route) }
    }
    return found
  }

  /// `# | 93..8248 | copy-in | posix/memory |` below a title that names the call and, in parentheses, how it was made.
  private static func tables(_ lines: [Substring]) -> [Route] {
    var found: [Route] = []
    var messageClass: MessageClass?
    for line in lines where line.hasPrefix("# |") {
      let cells = line.dropFirst(3).split(separator: "|", omittingEmptySubsequences: false).map { $0.drop { $0 == " " } }
        .map { String($0.reversed().drop { $0 == " " }.reversed()) }
      if cells.count == 2 {
        if cells[0].contains("ucp_am_send*(egr) ") {
          messageClass = .eager
        } else if cells[0].contains("ucp_am_send*(rndv) ") {
          messageClass = .rendezvous
        } else {
          messageClass = nil
        }
      } else if cells.count == 4, let messageClass, let (from, upTo) = range(cells[0]), !cells[2].isEmpty {
        let method = cells[1].hasPrefix("(?) ") ? String(cells[1].dropFirst(4)) : cells[1]
        found.append(Route(messageClass, method, lanes: cells[2], from: from, upTo: upTo))
      }
    }
    return found
  }

  /// `lane[0]: 0:posix/memory.0 md[0] -> … am am_bw#0` and `am_send: 0..<egr/short>..93..<egr/bcopy>..8256..<rndv>..(inf)`.
  private static func thresholds(_ lines: [Substring]) -> [Route] {
    var eager: [String] = []
    var bulk: [String] = []
    var found: [Route] = []
    for line in lines {
      let words = line.split(separator: " ")
      if let index = words.firstIndex(where: { $0.hasPrefix("lane[") }), index + 1 < words.count, let name = lane(words[index + 1]) {
        if words.contains("am") { eager.append(name) }
        if words.contains(where: { $0.hasPrefix("am_bw#") || $0.hasPrefix("rma_bw#") }) { bulk.append(name) }
      } else if let index = words.firstIndex(of: "am_send:"), index + 1 < words.count {
        let steps = words[index + 1].split(separator: ".", omittingEmptySubsequences: true)
        var from = 0
        for (place, step) in steps.enumerated() where step.hasPrefix("<") && step.hasSuffix(">") {
          let method = String(step.dropFirst().dropLast())
          let end = place + 1 < steps.count ? Int(steps[place + 1]) : nil
          if method.hasPrefix("egr") {
            found.append(Route(.eager, method, lanes: "", from: from, upTo: end.map { $0 - 1 }))
          } else {
            found.append(Route(.rendezvous, method, lanes: ""))
          }
          from = end ?? from
        }
      }
    }
    return found.map { route in
      var route = route
      route.lanes = (route.messageClass == .eager || bulk.isEmpty ? eager : bulk).joined(separator: " ")
      return route
    }
  }

  /// `0:posix/memory.0` is posix/memory.
  private static func lane(_ word: Substring) -> String? {
    guard let colon = word.firstIndex(of: ":"), word.contains("/") else { return nil }
    let name = word[word.index(after: colon)...]
    guard let dot = name.lastIndex(of: "."), name[name.index(after: dot)...].allSatisfy(\.isNumber) else { return String(name) }
    return String(name[..<dot])
  }

  /// `0`, `93..8248`, `256K..inf`.
  private static func range(_ text: String) -> (Int, Int?)? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: true)
    guard let first = parts.first, let from = size(first) else { return nil }
    if parts.count == 1 { return (from, from) }
    if parts[1] == "inf" { return (from, nil) }
    return size(parts[1]).map { (from, $0) }
  }

  private static func size(_ text: Substring) -> Int? {
    let units: [Character: Int] = ["K": 10, "M": 20, "G": 30]
    guard let last = text.last, let shift = units[last] else { return Int(text) }
    return Int(text.dropLast()).flatMap { $0 < 1 << 30 ? $0 << shift : nil }
  }
}
