// CausewayRelay
