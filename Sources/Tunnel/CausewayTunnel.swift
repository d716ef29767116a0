// CausewayTunnel
