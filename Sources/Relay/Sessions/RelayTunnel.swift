internal import CausewayLinuxIO

/// One public name or port of a session.
final class RelayTunnel {
  let number: UInt16
  /// The client's own number for it.
  let request: Int
  let name: String
  let url: String
  let port: UInt16?
  let route: Route
  /// TCP only.
  var listener: Listener?

  init(number: UInt16, request: Int, name: String, url: String, port: UInt16?, route: Route, listener: Listener?) {
    self.number = number
    self.request = request
    self.name = name
    self.url = url
    self.port = port
    self.route = route
    self.listener = listener
  }
}
