internal import CausewayBase
internal import CausewayLanes
public import CausewayLinuxIO

/// Which names and TCP ports are served, on this loop.
public final class RouteTable {
  /// Visitors that may wait for one detached name at once.
  public static let waitersPerName = 256
  /// After the relay's start, known names are waited for so long.
  public static let startGrace = Duration.seconds(30)

  private let loop: EventLoop
  private var routes: [String: Route] = [:]
  private var knownNames: Set<String>
  /// Known at the start and not served since: their clients are on their way back.
  private var awaitedNames: Set<String>
  private var waiters: [String: [Waiting]] = [:]
  private let startedAt: Instant

  private struct Waiting {
    weak var waiter: (any RouteWaiter)?
  }

  /// - Parameter knownNames: names with a reservation, from the store.
  public init(loop: EventLoop, knownNames: Set<String>) {
    self.loop = loop
    self.knownNames = knownNames
    awaitedNames = knownNames
    startedAt = loop.now
  }

  /// `name` in lower case, without the domain.
  public func lookUp(_ name: String) -> RouteLookup {
    if let route = routes[name] { return route.driver.isAttached ? .ready(route) : .waiting }
    guard knownNames.contains(name) else { return .unknown }
    return awaitedNames.contains(name) && loop.now < startedAt + Self.startGrace ? .waiting : .offline
  }

  public func wait(_ waiter: any RouteWaiter, for name: String) -> Bool {
    var list = waiters[name, default: []]
    list.removeAll { $0.waiter == nil }
    guard list.count < Self.waitersPerName else { return false }
    list.append(Waiting(waiter: waiter))
    waiters[name] = list
    return true
  }

  public func stopWaiting(_ waiter: any RouteWaiter, for name: String) {
    waiters[name]?.removeAll { $0.waiter == nil || $0.waiter === waiter }
    if waiters[name]?.isEmpty == true { waiters[name] = nil }
  }

  /// Serves `name`; the route that held it before is dead.
  public func install(_ route: Route) {
    routes[route.name]?.isLive = false
    routes[route.name] = route
    knownNames.insert(route.name)
    awaitedNames.remove(route.name)
    wake(route.name)
  }

  public func remove(_ route: Route) {
    route.isLive = false
    if routes[route.name] === route { routes[route.name] = nil }
    wake(route.name)
  }

  /// The name belongs to nobody any more.
  public func forget(_ name: String) {
    knownNames.remove(name)
    awaitedNames.remove(name)
    if let route = routes[name] { remove(route) }
    wake(name)
  }

  /// These names have a reservation now; of the others only those that are served stay known.
  public func keepKnown(_ names: Set<String>) { knownNames = names.union(routes.keys) }

  public func route(named name: String) -> Route? { routes[name] }

  /// A session came back or went: visitors look again.
  public func wake(_ name: String) {
    guard let list = waiters.removeValue(forKey: name) else { return }
    for entry in list { entry.waiter?.routeMayHaveChanged() }
  }
}
