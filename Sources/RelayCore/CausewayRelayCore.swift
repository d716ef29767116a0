// CausewayRelayCore
