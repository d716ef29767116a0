"""The systemd unit, as far as it can be judged where systemd doesn't run."""

import json

from harness.cases import Case
from harness.processes import REPOSITORY, Scratch, binary, run, tool


class Unit(Case):
    needs = ("causeway", "systemd-analyze")

    def setUp(self):
        self.scratch = self.own(Scratch("causeway-unit"), "remove")
        (self.scratch / "bin").mkdir()
        (self.scratch / "bin" / "causeway").symlink_to(binary())
        text = (REPOSITORY / "scripts" / "systemd" / "causeway-bond@.service").read_text()
        self.unit = self.scratch / "causeway-bond@bond0.service"
        self.unit.write_text(text.replace("@PREFIX@", str(self.scratch)))

    def test_systemd_finds_nothing_to_complain_about(self):
        self.assertEqual(run([tool("systemd-analyze"), "verify", self.unit]), (0, "", ""))

    def test_it_notifies_and_keeps_what_a_bond_needs(self):
        settings = dict(line.split("=", 1) for line in self.unit.read_text().splitlines() if "=" in line and not line.startswith("#"))
        self.assertEqual((settings["Type"], settings["NotifyAccess"], settings["KillMode"]), ("notify", "main", "mixed"))
        code, report, errors = run([tool("systemd-analyze"), "security", "--offline=true", "--json=short", self.unit])
        self.assertEqual((code, errors), (0, ""))
        isSet = {row["json_field"]: row["set"] for row in json.loads(report)}
        # A device node, routes and addresses, sysctls, a child that drops its rights, hooks that may be anything.
        for name in ("PrivateDevices", "PrivateNetwork", "ProtectKernelTunables", "ProtectClock", "NoNewPrivileges",
                     "CapabilityBoundingSet_CAP_NET_ADMIN", "CapabilityBoundingSet_CAP_SET_UID_GID_PCAP"):
            self.assertIs(isSet[name], False, name)
        for name in ("LockPersonality", "ProtectControlGroups", "ProtectKernelLogs", "RestrictRealtime", "RestrictSUIDSGID"):
            self.assertIs(isSet[name], True, name)
