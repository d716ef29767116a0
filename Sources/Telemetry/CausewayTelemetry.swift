// CausewayTelemetry
