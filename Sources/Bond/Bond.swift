// CausewayBond: TUN device, sockets, processes and files around BondCore. Configuration/ reads what the user wrote; Supervisor/ is the
// parent that keeps root and reads nothing from the network; Worker/ is the child with packets and keys; Status/ is what they tell.
