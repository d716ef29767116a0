"""A session belongs to who holds its key: strangers that really speak the wire, and the owner's own unlucky moments."""

import contextlib
import hashlib
import hmac
import os
import threading
import time

from harness.cases import Case
from harness.causeway import Client, Relay
from harness.http import Visitor, fetch
from harness.origin import Origin, body_of, hash_of
from harness.processes import wait_for
from harness.wire import Lane, Wiretap, pack, proof, unpack

MIB = 1 << 20


class WireCase(Case):
    def setUp(self):
        self.relay = self.own(Relay(), "stop")
        self.token = self.relay.account()
        self.origin = self.own(Origin(), "close")
        self.link = self.own(Wiretap(self.relay.port), "close")

    def client(self, *options) -> Client:
        server = f"http://127.0.0.1:{self.link.port}"
        return self.own(Client("http", self.origin.port, *options, server=server, token=self.token), "stop")

    def host(self, client) -> str:
        return f"{client.host}:{client.port}"

    def lane(self, token=None) -> Lane:
        """Logged in."""
        lane = self.own(Lane(self.relay.port), "close")
        answer = lane.log_in(token or self.token)
        self.assertEqual((answer["Type"], answer["version"], len(lane.nonce)), ("HeartbeatAck", 3, 32))
        return lane


class Wire(Case):
    """The tests' own wire against itself."""

    needs = ()

    def test_values_come_back(self):
        value = {"Type": "x" * 40, "n": 5, "big": 1 << 40, "less": -7, "bytes": bytes(300), "yes": True, "none": None, "map": {"a": "ä"}}
        self.assertEqual(unpack(pack(value)), (value, len(pack(value))))

    def test_the_proof_is_the_documented_one(self):
        by_hand = hmac.digest(bytes(range(32)), b"r" * 32 + b"c" * 32 + b"s" * 16 + b"\0\0\0\7", "sha256")
        self.assertEqual(proof(bytes(range(32)), b"r" * 32, b"c" * 32, b"s" * 16, 7), by_hand)


class Strangers(WireCase):
    def test_every_wrong_resume_is_answered_alike_and_harms_nothing(self):
        other = self.relay.account("stranger@example.org")
        client = self.client("--subdomain", "mine")
        first = self.link.said("SessionStarted")[0]
        session, key = first["session"], first["key"]
        self.link.cut()  # generation 1 from now on, and a proof is overheard
        client.process.event("resumed", 5)
        overheard = self.link.said("SessionResume")[0]
        self.assertEqual((overheard["session"], overheard["generation"]), (session, 0))
        wait_for(lambda: fetch(self.relay.port, self.host(client), "/bytes/1").status == 200, 5, "service after the resume")

        def another_account():
            return self.lane(other).resume(session, key, 1)

        def wrong_key():
            return self.lane().resume(session, bytes(32), 1)

        def wrong_proof():
            return self.lane().resume_with(session, 1, os.urandom(32), os.urandom(32))

        def replayed():
            return self.lane().resume_with(session, 0, overheard["nonce"], overheard["proof"])

        def replayed_as_the_present_generation():
            return self.lane().resume_with(session, 1, overheard["nonce"], overheard["proof"])

        def replayed_by_another_account():
            return self.lane(other).resume_with(session, 0, overheard["nonce"], overheard["proof"])

        def stale_generation():
            return self.lane().resume(session, key, 0)

        def future_generation():
            return self.lane().resume(session, key, 2)

        def unknown_session():
            return self.lane().resume(os.urandom(16), key, 1)

        def short_proof():
            return self.lane().resume_with(session, 1, os.urandom(32), b"")

        def short_nonce():
            lane = self.lane()
            return lane.resume_with(session, 1, b"", proof(key, lane.nonce, b"", session, 1))

        strangers = (another_account, wrong_key, wrong_proof, replayed, replayed_as_the_present_generation, replayed_by_another_account)
        strangers += (stale_generation, future_generation, unknown_session, short_proof, short_nonce)
        with self.download(client, 64 * MIB) as download:
            answers = {stranger.__name__: stranger() for stranger in strangers}
        for name, answer in answers.items():
            with self.subTest(name):
                self.assertEqual(answer, answers["unknown_session"])
        self.assertEqual((answers["unknown_session"]["Type"], answers["unknown_session"]["code"]), ("Error", "RESUME_REFUSED"))
        self.assertEqual(download(), hash_of(64 * MIB))
        self.assertEqual([line for line in client.process.lines if "reconnecting" in line][1:], [], "a stranger disturbed the session")

        # The same words by who has everything: that it was refused above was no misspelling.
        lane = self.lane()
        answer = lane.resume(session, key, 1)
        self.assertEqual((answer["Type"], answer["generation"]), ("SessionResumed", 2))

    @contextlib.contextmanager
    def download(self, client, size):
        """A download that is under way, slowly, while the body of the `with` runs; gives its digest, as a function, after it."""
        digest = hashlib.sha256()
        inside = threading.Event()
        with Visitor(self.relay.port, self.host(client), seconds=20) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            self.assertEqual(visitor.head().status, 200)

            def read():
                count = 0
                while count < size and (piece := visitor.exactly(min(256 * 1024, size - count))):
                    digest.update(piece)
                    count += len(piece)
                    if not inside.is_set() and count < size - 8 * MIB:
                        time.sleep(0.01)

            reader = threading.Thread(target=read)
            reader.start()
            yield digest.hexdigest
            self.assertTrue(reader.is_alive(), "the download had ended before the strangers came")
            inside.set()
            reader.join()

    def test_a_session_without_an_account_is_not_resumed(self):
        """Its key and everything else is right, but the owner of the relay has withdrawn the account or the token."""
        tokens = {"disable": self.relay.account("disable@example.org"), "revoke": self.relay.account("revoke@example.org")}
        revoked = self.relay.token_ids("revoke@example.org")[0]
        further = self.relay.admin("token", "create", "revoke@example.org")[1].strip()
        lanes = {what: self.lane(token) for what, token in tokens.items()}
        secrets = {what: lane.start() for what, lane in lanes.items()}
        for words in (("account", "disable", "disable@example.org"), ("token", "revoke", revoked)):
            self.assertEqual(self.relay.admin(*words)[0], 0, words)
        for what, lane in lanes.items():
            with self.subTest(what):
                self.assertEqual(lane.hear()["code"], "UNAUTHORIZED")
                self.assertIsNone(lane.hear())
        with Lane(self.relay.port) as lane:
            self.assertEqual(lane.log_in(tokens["revoke"])["code"], "UNAUTHORIZED")
        with Lane(self.relay.port) as lane:
            self.assertEqual(lane.log_in(tokens["disable"])["code"], "UNAUTHORIZED")
        self.assertEqual(self.lane(further).resume(*secrets["revoke"], 0)["code"], "RESUME_REFUSED")

    def test_a_login_under_way_ends_with_its_account(self):
        token = self.relay.account("slow@example.org")
        lane = self.lane(token)
        self.assertEqual(self.relay.admin("account", "disable", "slow@example.org")[0], 0)
        with contextlib.suppress(ConnectionError):
            lane.say("SessionStart")
        answer = lane.hear()
        self.assertTrue(answer is None or answer.get("code") == "UNAUTHORIZED", answer)

    def test_another_account_cannot_take_a_detached_name(self):
        two = self.relay.account("two@example.org")
        client = self.client("--subdomain", "mine")
        self.link.accepting = False
        self.link.cut()
        stranger = self.own(Client("http", 9, "--subdomain", "mine", server=self.relay.url, token=two, ready=False), "stop")
        self.assertEqual(stranger.process.wait(10), 69)
        self.link.accepting = True
        wait_for(lambda: fetch(self.relay.port, client.host, "/bytes/1").status == 200, 10, "the owner again")


class UnluckyOwners(WireCase):
    def test_a_lost_answer_to_a_resume_costs_nothing(self):
        """The relay went on to the next generation, the client never heard of it."""
        lane = self.lane()
        session, key = lane.start()
        lane.close()
        for _ in range(3):
            lost = self.lane()
            self.assertEqual(lost.resume(session, key, 0)["Type"], "SessionResumed")
            lost.close()
        again = self.lane().resume(session, key, 0)
        self.assertEqual(again["Type"], "SessionResumed")

    def test_an_older_lane_is_fenced(self):
        lane = self.lane()
        session, key = lane.start()
        created = lane.create("fenced")
        self.assertEqual(created["Type"], "TunnelCreated")
        newer = self.lane()
        self.assertEqual(newer.resume(session, key, 0)["Type"], "SessionResumed")
        with contextlib.suppress(ConnectionError):
            lane.say("SessionEnd", reason="from the past")
        self.assertIsNone(lane.hear())
        newer.say("TunnelCreate", request=7, protocol="http", subdomain="fenced-too")
        self.assertEqual((answer := newer.hear())["Type"], "TunnelCreated", answer)
