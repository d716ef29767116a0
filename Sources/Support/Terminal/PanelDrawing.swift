/// Turns a model into lines: a panel for a terminal, or one line an event for everything else.
package enum PanelDrawing {
  private static let column = 12

  /// At most `columns - 1` cells a line, so that no terminal wraps, and at most `rows - 1` lines; requests go first, newest last.
  package static func lines(_ model: PanelModel, columns: Int, rows: Int) -> [StyledText] {
    var lines = [head(model)]
    for tunnel in model.tunnels { lines.append(line(of: tunnel, named: model.tunnels.count > 1)) }
    lines.append(row("Relay", model.server))
    lines.append(row("Latency", model.latency.map(Quantity.duration) ?? "-"))
    lines.append(
      row(
        "Traffic",
        "in \(Quantity.rate(model.bytesPerSecondIn)), out \(Quantity.rate(model.bytesPerSecondOut))",
        dim: "  total \(Quantity.bytes(model.totalBytesIn)), \(Quantity.bytes(model.totalBytesOut))"))
    lines.append(row("Connections", "\(model.openConnections) open", dim: "  \(model.totalConnections) in all"))
    let free = max(0, rows - 1 - lines.count - 1)
    let requests = model.requests.suffix(free)
    if !requests.isEmpty {
      lines.append(StyledText())
      lines += requests.map(line)
    }
    return lines.prefix(max(1, rows - 1)).map { $0.truncated(to: max(1, columns - 1)) }
  }

  private static func head(_ model: PanelModel) -> StyledText {
    var line = StyledText("causeway", .bold)
    line.pad(to: column)
    let style: StyledText.Style =
      switch model.state {
      case .online: .green
      case .connecting, .reconnecting: .yellow
      case .closed: .red
      }
    line.append(model.state.rawValue, style)
    if !model.detail.isEmpty { line.append("  " + model.detail, .dim) }
    return line
  }

  private static func row(_ label: String, _ text: String, dim: String = "") -> StyledText {
    var line = StyledText(label, .dim)
    line.pad(to: column)
    line.append(text)
    line.append(dim, .dim)
    return line
  }

  private static func line(of tunnel: PanelModel.Tunnel, named: Bool) -> StyledText {
    var line = StyledText(named ? tunnel.name : "URL", .dim)
    line.pad(to: column)
    line.append(tunnel.url, .cyan)
    line.append("  to ", .dim)
    line.append(tunnel.service)
    if tunnel.isServiceDown { line.append("  (down)", .red) }
    return line
  }

  private static func line(of request: PanelModel.Request) -> StyledText {
    var line = StyledText(request.time, .dim)
    line.append("  ")
    if let status = request.status {
      line.append(String(status), status < 400 ? .green : status < 500 ? .yellow : .red)
    } else {
      line.append("cut", .red)
    }
    line.append("  ")
    line.append(request.method)
    line.pad(to: 23)
    line.append(request.target)
    line.append("  " + Quantity.duration(request.duration), .dim)
    return line
  }

  /// What happened between two models, one line an event, for pipes and files.
  package static func events(from old: PanelModel?, to new: PanelModel) -> [StyledText] {
    var lines: [StyledText] = []
    if old?.state != new.state || old?.detail != new.detail {
      lines.append(StyledText(new.state.rawValue + (new.detail.isEmpty ? "" : ": " + new.detail)))
    }
    for tunnel in new.tunnels {
      let before = old?.tunnels.first { $0.name == tunnel.name }
      if before?.url != tunnel.url { lines.append(StyledText("\(tunnel.url) to \(tunnel.service)")) }
      if before?.isServiceDown ?? false != tunnel.isServiceDown {
        lines.append(StyledText("\(tunnel.service) is \(tunnel.isServiceDown ? "down" : "up")"))
      }
    }
    let lastSerial = old?.requests.last?.serial
    for request in new.requests where lastSerial.map({ request.serial > $0 }) ?? true { lines.append(self.line(of: request)) }
    return lines
  }
}
