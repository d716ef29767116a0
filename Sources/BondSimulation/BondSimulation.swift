// CausewayBondSimulation: whole bonds over virtual links in virtual time, with inner TCP and UDP flows. For `causeway bond simulate`
// and for tests of BondCore. Start with Scenario.
