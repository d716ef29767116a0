"""The cases: their links, who runs in them, and what is measured. Times are whole runs of iperf3 as its receiver saw them."""

import dataclasses
import random
import statistics
import time

from harness.netns import Link, Network, shaped
from harness.processes import cpu_seconds
from harness.traffic import EchoServer, Iperf, Pinger, Stream, ping

#: TCP payload and Ethernet bytes of a full packet: through the bond at MTU 1400, and without a tunnel.
BOND_SHARE = 1348 / 1482
DIRECT_SHARE = 1448 / 1514


@dataclasses.dataclass
class Plan:
    """How long things take; `quick` is for development."""

    quick: bool = False
    long_seconds: float = 40
    short_seconds: float = 8
    echoes: int = 600
    congestion: str | None = None

    @property
    def lengths(self) -> list[float]:
        return [self.long_seconds] if self.short_seconds == self.long_seconds else [self.long_seconds, self.short_seconds]


@dataclasses.dataclass
class Case:
    """`links` of a fresh network for each peer; `measure(network, peer, plan)` gives figures by name."""

    name: str
    title: str
    links: object
    peers: list[str]
    measure: object
    #: what the links let through the bond, Mbit/s; None: nothing to compare with
    limit: float | None = None


def download(network, peer, plan, seconds, flows, pinged=True) -> dict:
    """A download with an inner ping beside it, and the CPU time it took."""
    more = ("-C", plan.congestion) if plan.congestion else ()
    before = cpu_seconds(peer.pids)
    load = Iperf(network.client, network.server, peer.address, seconds, flows, wrap=peer.wrap, more=more)
    echoes = Pinger(network.client, peer.address, int((seconds - 0.5) * 50)) if pinged else None
    try:
        result = load.result()
        used = cpu_seconds(peer.pids) - before
        found = {"mbit": result.mbit, "retransmits": result.retransmits}
        if peer.pids and result.byte_count:
            found["cpu_s_per_gbit"] = used / (result.byte_count * 8 / 1e9)
        if echoes:
            echoes = echoes.result()
            after = min(3, seconds / 2)
            found["ping_p50_ms"], found["ping_p99_ms"] = echoes.median(after), echoes.percentile(0.99, after)
            found["ping_lost"] = len(echoes.sent) - echoes.replies
        return found
    finally:
        load.stop()
        if isinstance(echoes, Pinger):
            echoes.stop()


def throughput(flows=(1, 4), idle=False):
    def measure(network, peer, plan) -> dict:
        values = {}
        if idle and peer.carries_packets:
            echoes = ping(network.client, peer.address, 100 if plan.quick else 500, 0.01)
            values["idle_rtt_ms"] = echoes.median()
        for count in flows:
            for seconds in plan.lengths:
                key = f"{count}f_t{seconds:g}"
                values.update({f"{key}_{name}": value for name, value in download(network, peer, plan, seconds, count).items()})
        return values

    return measure


# Blackholes: after a random moment link i discards, both ways or one way, until the echoes end.


def blackhole(network, peer, plan, seed) -> dict:
    chance = random.Random(seed)
    values = {}
    rounds = 1 if plan.quick else 5
    for link in (0, 1):
        for direction in ("both", "up", "down"):
            for kind, port in (("icmp", None), ("udp", 7007)):
                replies, gaps = [], []
                for _ in range(rounds):
                    server = EchoServer(network.server, peer.address) if port else None
                    try:
                        time.sleep(1)  # both paths have been used and are quiet
                        echoes = Pinger(network.client, peer.address, plan.echoes, size=400 if port else 56, port=port)
                        time.sleep(plan.echoes * 0.02 * chance.uniform(0.2, 0.5))
                        network.emulator.set(link, direction, blackhole=True)
                        echoes = echoes.result()
                        network.emulator.set(link, "both", blackhole=False)
                        replies.append(echoes.replies / len(echoes.sent) * 600)
                        gaps.append(echoes.longest_gap())
                        wait_normal(peer, plan)
                    finally:
                        network.emulator.set(link, "both", blackhole=False)
                        if server:
                            server.stop()
                key = f"{kind}_{link}_{direction}"
                values[f"{key}_replies_of_600"], values[f"{key}_gap_s"] = statistics.median(replies), statistics.median(gaps)
    return values


def wait_normal(peer, plan):
    if hasattr(peer, "pair"):
        peer.pair.wait_up(15)
    else:
        time.sleep(2 if plan.quick else 8)


def blackhole_download(network, peer, plan) -> dict:
    """A link goes under a download and comes back: the worst 100 ms from half a second on, the sum once it is back."""
    values = {}
    single = 50 * BOND_SHARE
    for link in (0, 1):
        for direction in ("both", "down"):
            load = Stream(network.client, network.server, peer.address, 14, wrap=peer.wrap)
            try:
                time.sleep(5)
                gone = network.emulator.set(link, direction, blackhole=True)
                time.sleep(3)
                back = network.emulator.set(link, "both", blackhole=False)
                result = load.result()
            finally:
                network.emulator.set(link, "both", blackhole=False)
                load.stop()
            key = f"{link}_{direction}"
            without = [mbit for _, mbit in result.each(gone + 0.5, back)]
            windows = [gone + 0.02 * step for step in range(int((back - gone - 0.1) / 0.02))]
            slow = [start + 0.1 for start in windows if result.mbit(start, start + 0.1) < 0.9 * single]
            values[f"{key}_before_mbit"] = result.mbit(gone - 2, gone)
            values[f"{key}_worst_100ms_mbit"] = min(without)
            values[f"{key}_share_of_100ms_at_90_percent"] = sum(mbit >= 0.9 * single for mbit in without) / len(without)
            values[f"{key}_at_90_percent_for_good_after_s"] = max(slow, default=gone) - gone
            values[f"{key}_first_3s_after_return_mbit"] = result.mbit(back, back + 3)
            values[f"{key}_from_3s_after_return_mbit"] = result.mbit(back + 3, result.at[-1])
            if result.error:
                raise RuntimeError(f"the connection ended: {result.error}")
            wait_normal(peer, plan)
    return values


def unequal_pairs(seed: int, count: int = 10) -> list[tuple[dict, dict]]:
    """Pairs of links drawn from a seed: 5-200 Mbit/s and 2-100 ms evenly on a logarithmic scale, 0-2 % loss on every second link."""
    chance = random.Random(seed)

    def link():
        rate = 5 * (200 / 5) ** chance.random()
        delay = 2 * (100 / 2) ** chance.random()
        loss = chance.uniform(0, 0.02) if chance.random() < 0.5 else 0
        return {"mbit": round(rate, 1), "delay": round(delay / 2, 1), "loss": round(loss, 4)}

    return [(link(), link()) for _ in range(count)]


def pair_links(pair) -> list[Link]:
    """The queue holds what a router of that rate has: 256 KB."""
    return [shaped(end["mbit"], end["delay"], loss=end["loss"]) for end in pair]


LOSSY = [dict(mbit=50, delay=10), dict(mbit=20, delay=40, jitter=5, loss=0.005)]


def lossy_links() -> list[Link]:
    return [shaped(**end) for end in LOSSY]


def cases(seed: int) -> dict[str, Case]:
    found = [
        Case("unshaped", "unshaped veth", lambda: [Link(), Link()], ["direct", "mptcp", "wireguard-go", "bond-1", "bond"], throughput(idle=True)),
        Case(
            "100+100", "100 + 100 Mbit/s", lambda: [Link(tbf=100), Link(tbf=100)], ["mptcp", "wireguard-go", "bond"], throughput(), 200 * BOND_SHARE
        ),
        Case("100+50", "100 + 50 Mbit/s", lambda: [Link(tbf=100), Link(tbf=50)], ["mptcp", "wireguard-go", "bond"], throughput(), 150 * BOND_SHARE),
        Case(
            "lossy", "(50 Mbit/s, 10 ms) + (20 Mbit/s, 40±5 ms, 0.5 % loss)", lossy_links,
            ["direct", "direct-2", "mptcp", "wireguard-go", "bond-1", "bond", "bond-cfs", "bond-earliest", "bond-backup"], throughput(),
            70 * BOND_SHARE,
        ),
        Case(
            "lossy-in-order", "the same, jitter that never reorders (here MPTCP's second subflow always works)",
            lambda: [shaped(**{**end, "jitterReorders": False}) for end in LOSSY], ["direct-2", "mptcp", "bond"], throughput(), 70 * BOND_SHARE,
        ),
        Case(
            "tcp-50+50", "(50 Mbit/s, 10 ms) twice, paths over TCP", lambda: [shaped(50, 10), shaped(50, 10)],
            ["bond", "bond-udp+tcp", "bond-tcp+tcp"], throughput(), 100 * BOND_SHARE,
        ),
        Case(
            "tcp-100+50", "100 + 50 Mbit/s, paths over TCP", lambda: [Link(tbf=100), Link(tbf=50)],
            ["bond", "bond-udp+tcp", "bond-tcp+tcp"], throughput(), 150 * BOND_SHARE,
        ),
        Case(
            "tcp-lossy", "(50 Mbit/s, 10 ms) twice, 0.5 % loss on the second, paths over TCP", lambda: [shaped(50, 10), shaped(50, 10, loss=0.005)],
            ["bond", "bond-udp+tcp", "bond-tcp+tcp"], throughput(), (50 + 50 * 0.995) * BOND_SHARE,
        ),
        Case("tcp-unshaped", "unshaped veth, paths over TCP", lambda: [Link(), Link()], ["bond-1", "bond-tcp", "bond", "bond-udp+tcp"], throughput()),
        Case(
            "blackhole", "blackhole of one of two (50 Mbit/s, 10 ms), echoes", lambda: [shaped(50, 10), shaped(50, 10)],
            ["bond-plain", "bond", "bond-redundant"], lambda network, peer, plan: blackhole(network, peer, plan, seed),
        ),
        Case(
            "blackhole-download", "the same under a TCP download", lambda: [shaped(50, 10), shaped(50, 10)],
            ["mptcp", "bond"], blackhole_download, 50 * BOND_SHARE,
        ),
    ]  # fmt: skip
    for index, pair in enumerate(unequal_pairs(seed)):
        words = " + ".join(f"({e['mbit']:g} Mbit/s, {e['delay'] * 2:g} ms, {e['loss'] * 100:.1f} %)" for e in pair)
        limit = sum(end["mbit"] * (1 - end["loss"]) for end in pair) * BOND_SHARE
        found.append(Case(f"pair-{index}", words, lambda pair=pair: pair_links(pair), ["mptcp", "bond"], throughput(flows=(1,)), limit))
    return {case.name: case for case in found}


def run_case(case: Case, peer_class, plan: Plan, seed: int) -> dict:
    """One peer in one case, on a network of its own."""
    network = Network(case.links(), seed=seed)
    peer = None
    try:
        peer = peer_class(network)
        return case.measure(network, peer, plan)
    finally:
        if peer:
            peer.stop()
        network.close()
