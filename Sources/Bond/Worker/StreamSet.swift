import CausewayBase
import CausewayBondCore
import CausewayLinuxIO

/// The TCP connections of one packet thread, and what its listeners need.
struct StreamSet {
  /// A connection that this side made and that proved nothing by then is made anew.
  static let connectPatience: UInt64 = 15_000_000_000
  /// How long a connection may take to stand.
  static let connectTimeout: UInt64 = 5_000_000_000
  /// Connections accepted in one turn.
  static let acceptLimit = 32
  /// Reads of one connection in a turn.
  static let readLimit = 4
  /// The kernel holds at most so much of a path's time unsent: beyond it its queue would become the delay.
  static let unsentTime: UInt64 = 2_000_000
  /// Gap between two looks at the capacity for it.
  static let tuneInterval: UInt64 = 100_000_000

  /// Gap between two looks at what the kernel knows of a connection, while it is sent on.
  static let reportInterval: UInt64 = 2_000_000

  var listeners: [TCPPathListener] = []
  var admission = TCPAdmission()
  /// When something of it is due.
  var deadline = Instant.distantFuture
  let output = StreamOutput()
  var figures = StreamFigures()
  /// Connections that the engine wants closed; closed after its events were read.
  var closing: [UInt32] = []
  /// Connections that the engine wants to hear of.
  var asked: [UInt32] = []
  private var numbers = StreamNumbers()
  private var places = [StreamConnection?](repeating: nil, count: StreamNumbers.limit)
  private(set) var count = 0

  /// nil also for the number of one that is gone.
  @inline(__always) subscript(number: UInt32) -> StreamConnection? {
    let place = StreamNumbers.place(number)
    guard place < StreamNumbers.limit, let connection = places[place], connection.number == number else { return nil }
    return connection
  }

  mutating func takeNumber() -> UInt32? { numbers.take() }
  mutating func giveNumber(_ number: UInt32) { numbers.give(number) }

  mutating func insert(_ connection: StreamConnection) {
    places[StreamNumbers.place(connection.number)] = connection
    count += 1
  }

  mutating func remove(_ connection: StreamConnection) {
    places[StreamNumbers.place(connection.number)] = nil
    numbers.give(connection.number)
    count -= 1
  }

  /// Those that match, for what happens seldom.
  func first(where matches: (StreamConnection) -> Bool) -> StreamConnection? {
    for case let connection? in places where matches(connection) { return connection }
    return nil
  }

  func forEach(_ body: (StreamConnection) -> Void) {
    guard count > 0 else { return }
    for case let connection? in places { body(connection) }
  }
}

/// Counts since the start.
struct StreamFigures: Sendable {
  /// Closed without a word: a wrong magic, length or first message.
  var violations: UInt64 = 0
  /// Strangers closed for want of room or time.
  var evictions: UInt64 = 0
  /// Refused: the table was full.
  var refusals: UInt64 = 0
  /// Datagrams that no buffer had room for.
  var droppedDatagrams: UInt64 = 0
  /// Connections of ours that failed or ended.
  var reconnects: UInt64 = 0
}
