"""The benchmark of the bond: peers, cases and the report. Start with cases.py."""
