// CausewayTunnelCore
