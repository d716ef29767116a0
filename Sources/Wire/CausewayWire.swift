// CausewayWire
