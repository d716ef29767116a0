// CausewaySimulation
