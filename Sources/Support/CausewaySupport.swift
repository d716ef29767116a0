// CausewaySupport
