"""What carries the traffic of a case: nothing at all, MPTCP, wireguard-go, the bond. A peer is started on a Network and stopped."""

from harness.bond import INNER, BondPair, Keys, WireGuardEnd, reachable
from harness.netns import Network
from harness.processes import binary, tool

PORT = 51820


class Peer:
    """`address` is where the server's services listen; `wrap` goes before the programs that use it."""

    name = "?"
    #: carries UDP and ICMP too
    carries_packets = True
    wrap: tuple = ()
    address = ""

    def __init__(self, network: Network):
        self.network = network

    @classmethod
    def missing(cls) -> str | None:
        """Why it can't run here, or None."""
        return None

    @property
    def pids(self) -> list[int]:
        """The processes whose CPU time counts as its own."""
        return []

    def stop(self):
        pass


class Direct(Peer):
    """One link, no tunnel."""

    link = 0

    def __init__(self, network: Network):
        super().__init__(network)
        self.address = f"10.77.{self.link}.2"


class MPTCP(Peer):
    """The kernel's MPTCP, no tunnel and no encryption: TCP only."""

    wrap = (tool("mptcpize") or "mptcpize", "run")
    carries_packets = False

    def __init__(self, network: Network):
        super().__init__(network)
        self.address = "10.77.0.2"
        for host in (network.client, network.server):
            host.sysctl("net.mptcp.enabled", 1)
            host.ip("mptcp limits set subflow 8 add_addr_accepted 8")
        for index in range(1, len(network.links)):
            network.server.ip(f"mptcp endpoint add 10.77.{index}.2 dev p{index} signal")

    @classmethod
    def missing(cls):
        return None if tool("mptcpize") else "mptcpize is not installed: run scripts/setup.sh bench"

    def stop(self):
        for host in (self.network.client, self.network.server):
            host.ip("mptcp endpoint flush", check=False)


class WireGuardGo(Peer):
    """wireguard-go at both ends of the first link."""

    link = 0

    def __init__(self, network: Network):
        super().__init__(network)
        self.address = INNER["server"]
        mine, its = Keys(), Keys()
        self.ends = []
        try:
            peer = {"public": mine.public, "allowed": f"{INNER['client']}/32"}
            self.ends.append(WireGuardEnd(network.server, its, [f"{INNER['server']}/24"], [peer], PORT, mtu=1420))
            peer = {"public": its.public, "allowed": f"{INNER['server']}/32", "endpoint": f"10.77.{self.link}.2:{PORT}"}
            self.ends.append(WireGuardEnd(network.client, mine, [f"{INNER['client']}/24"], [peer], mtu=1420))
            reachable(network.client, INNER["server"])
        except BaseException:
            self.stop()
            raise

    @classmethod
    def missing(cls):
        for name in ("wireguard-go", "wg"):
            if not tool(name):
                return f"{name} is not installed: run scripts/setup.sh bench"
        return None

    @property
    def pids(self):
        return [pid for end in self.ends for pid in end.pids]

    def stop(self):
        for end in self.ends:
            end.stop()


class Bond(Peer):
    """`causeway bond` at both ends, over all links or those of `links`; TCP on those of `tcp`."""

    links: tuple[int, ...] | None = None
    tcp: tuple[int, ...] = ()
    options: dict = {}

    def __init__(self, network: Network):
        super().__init__(network)
        self.address = INNER["server"]
        listen = {"ListenTCP": PORT} if self.tcp else {}
        words = {link: "tcp" for link in self.tcp}
        self.pair = BondPair(network, links=self.links, both_options=self.options, server_options=listen, path_words=words)
        try:
            self.pair.wait_up()
        except BaseException:
            self.stop()
            raise

    @classmethod
    def missing(cls):
        return None if binary() else "no causeway binary: run 'make build', or set CAUSEWAY_BIN"

    @property
    def pids(self):
        return self.pair.pids

    def stop(self):
        self.pair.stop()


def named(name: str, base: type, **values) -> type:
    return type(name, (base,), {"name": name, "__doc__": base.__doc__, **values})


PEERS = {
    peer.name: peer
    for peer in (
        named("direct", Direct),
        named("direct-2", Direct, link=1),
        named("mptcp", MPTCP),
        named("wireguard-go", WireGuardGo),
        named("bond-1", Bond, links=(0,)),
        named("bond", Bond),
        named("bond-cfs", Bond, options={"Scheduler": "cfs"}),
        named("bond-earliest", Bond, options={"Scheduler": "earliest"}),
        named("bond-backup", Bond, options={"Scheduler": "backup"}),
        named("bond-redundant", Bond, options={"Scheduler": "redundant"}),
        named("bond-plain", Bond, options={"Duplicate": "off"}),
        named("bond-tcp", Bond, links=(0,), tcp=(0,)),
        named("bond-udp+tcp", Bond, tcp=(1,)),
        named("bond-tcp+tcp", Bond, tcp=(0, 1)),
    )
}
