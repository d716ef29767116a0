"""An observer of the real program from outside: its processes, its ports, its wires.

Python's standard library only, and nothing of the program under test: a second implementation of what it speaks.
Start reading with `stand.py` (a relay, a client and an origin that belong together).
"""
