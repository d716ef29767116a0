"""Callbacks, calls that block, several loops, and programs that end in the middle of things."""

import asyncio
import gc
import os
import select
import signal
import sys
import threading
import time
import unittest
import weakref

from support import Pair, causeway, program, start


class Turns(Pair):
    async def test_a_task_whose_messages_are_always_there_leaves_others_their_turn(self):
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count())
        for number in range(2000):
            received = self.server.recv(bytearray(1), number)
            await self.client.send(b"x", number)
            self.assertEqual(await received, (number, 1))
        other.cancel()
        self.assertGreaterEqual(turns, 2000 // 64)


class Callbacks(Pair):
    async def test_callbacks_run_on_one_thread(self):
        told, over = [], threading.Event()

        def note(*values):
            told.append((threading.current_thread().name, values))
            if len(told) == 3:
                over.set()

        self.server.post_recv(bytearray(4), 1, None, note, note)
        self.client.post_send(b"abc", 1, note, note)
        self.client.post_recv(bytearray(4), done=note, failed=note, timeout=0.05)
        self.assertTrue(await asyncio.to_thread(over.wait, 20))
        self.assertEqual({name for name, _ in told}, {"causeway callbacks"})
        self.assertIn((1, 3), [values for _, values in told])
        self.assertIsInstance(told[-1][1][0], causeway.TimedOutError)

    async def test_batches_call_back_once(self):
        told = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def note(*values):
            loop.call_soon_threadsafe(told.put_nowait, values)

        buffers = [bytearray(2) for _ in range(3)]
        self.server.post_recv_many(buffers, done=note, failed=note)
        self.client.post_send_many([b"a", b"bb", b""], [1, 2, 3], note, note)
        ends = [await asyncio.wait_for(told.get(), 20) for _ in range(2)]
        self.assertEqual(sorted(ends, key=len), [(), ([(1, 1), (2, 2), (3, 0)],)])
        self.assertEqual(buffers[1], b"bb")
        self.server.post_recv_many([bytearray(2), bytearray(2)], [1, 2], failed=note)
        await self.client.send_many([b"ok", b"too long"], [1, 2])
        (error,) = await asyncio.wait_for(told.get(), 20)
        self.assertEqual(error.results, [(1, 2), None])
        operation = self.server.post_recv_many([bytearray(1)], [9], failed=note)
        self.assertTrue(operation.cancel())
        self.assertIsInstance((await asyncio.wait_for(told.get(), 20))[0], causeway.OperationCancelledError)

    async def test_what_a_callback_raises_goes_to_the_hook(self):
        caught, old = threading.Event(), sys.unraisablehook
        sys.unraisablehook = lambda found: caught.set() if isinstance(found.exc_value, KeyError) else None
        try:
            self.server.post_recv(bytearray(4), done=lambda tag, length: {}["nothing"])
            await self.client.send(b"x", tag=1)
            self.assertTrue(await asyncio.to_thread(caught.wait, 20))
        finally:
            sys.unraisablehook = old

    async def test_an_operation_with_callbacks_can_be_cancelled(self):
        failed = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        operation = self.server.post_recv(bytearray(4), failed=lambda error: loop.call_soon_threadsafe(failed.set_result, error))
        self.assertTrue(operation.cancel())
        self.assertIsInstance(await asyncio.wait_for(failed, 20), causeway.OperationCancelledError)
        self.assertFalse(operation.cancel())

    async def test_a_server_is_collected_with_a_callback_that_knows_it(self):
        def make():
            server = causeway.Server()
            server.on_accept(lambda endpoint: server.clients)
            return weakref.ref(server)

        made = make()
        gc.collect()
        self.assertIsNone(made())
        with self.assertRaises(TypeError):
            self.server.on_accept(None)

    async def test_threads_that_begin_together_share_the_callbacks_thread(self):
        begun, second = [], threading.Event()

        class Slow(causeway.Engine):
            def _start_notifier(self):
                begun.append(threading.current_thread())
                other = threading.Thread(target=lambda: (server.post_recv(bytearray(1)), second.set()))
                if len(begun) == 1:
                    other.start()
                    other.join(20)
                super()._start_notifier()

        engine = Slow()
        server = causeway.Server(engine=engine)
        server.post_recv(bytearray(1))
        self.assertTrue(second.is_set())
        self.assertEqual(len(begun), 1)
        engine.close(timeout=5)

    async def test_accepted_endpoints_come_by_callback(self):
        server, accepted, over = causeway.Server(), [], threading.Event()
        server.on_accept(lambda endpoint: (accepted.append(endpoint), over.set()))
        client = causeway.Client()
        await client.connect_address(server.listen_address(), timeout=20)
        self.assertTrue(await asyncio.to_thread(over.wait, 20))
        self.assertEqual(accepted, server.clients)


class Engines(unittest.TestCase):
    def test_every_way_to_progress(self):
        for options in (
            {"progress": "adaptive", "spin": 1e-5},
            {"progress": "blocking"},
            {"progress": "busy", "core": min(os.sched_getaffinity(0))},
            {"transports": "tcp", "unreceived_limit": 1 << 20, "endpoint_grant": 1 << 16},
        ):
            with self.subTest(options), causeway.Engine(**options) as engine:
                server, client = causeway.Server(engine=engine), causeway.Client(engine=engine)
                server.listen("127.0.0.1")
                client.connect_sync("127.0.0.1", server.port, timeout=20)
                client.send_sync(b"x", 1, timeout=20)
                self.assertEqual(server.recv_sync(bytearray(1), timeout=20), (1, 1))
                if "transports" in options:
                    self.assertEqual({transport for transport, _ in client.endpoint.transports()}, {"tcp"})
            self.assertTrue(engine.is_closed and server.is_closed and client.is_closed and not client.is_connected)
            for use in (lambda: causeway.Server(engine=engine), lambda: server.recv_sync(bytearray(1)), engine.metrics, engine.progress, engine.arm):
                with self.assertRaises(causeway.ClosedError):
                    use()

    def test_an_engine_without_a_thread_is_turned_by_its_program(self):
        with causeway.Engine(progress="manual") as engine:
            server, client = causeway.Server(engine=engine), causeway.Client(engine=engine)
            server.listen("127.0.0.1")
            client.connect_sync("127.0.0.1", server.port, timeout=20)
            told = []
            server.post_recv(bytearray(1), done=lambda tag, length: told.append((tag, length)))
            client.post_send(b"x", 1)
            poll = select.poll()
            poll.register(engine.arm(), select.POLLIN)
            while not told:
                poll.poll(1)
                self.assertGreaterEqual(engine.progress(), 0)
            self.assertEqual(told, [(1, 1)])
            late = server.post_recv(bytearray(1))
        self.assertFalse(late.cancel())

    def test_what_may_wait_for_the_engine_leaves_the_gil_to_others(self):
        engine = causeway.Engine(progress="manual")
        server, client = causeway.Server(engine=engine), causeway.Client(engine=engine)
        server.listen("127.0.0.1")
        client.connect_sync("127.0.0.1", server.port, timeout=20)
        endpoint = client.endpoint
        calls = {
            "progress": engine.progress,
            "probe": client.probe,
            "server.probe": server.probe,
            "counters": endpoint.counters,
            "is_connected": lambda: endpoint.is_connected,
            "transports": endpoint.transports,
            "evaluate_performance": lambda: endpoint.evaluate_performance(1),
            "Client": lambda: causeway.Client(engine=engine),
            "metrics": engine.metrics,
        }
        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        for name, call in calls.items():
            with self.subTest(name):
                begin, had_a_turn = threading.Lock(), []
                begin.acquire()
                other = threading.Thread(target=lambda begin=begin, had=had_a_turn: (begin.acquire(), had.append(True)))
                other.start()
                sys.setswitchinterval(1000)  # whoever has the GIL keeps it, unless it is left
                begin.release()
                until = time.monotonic() + 10
                while not had_a_turn and time.monotonic() < until:
                    call()
                sys.setswitchinterval(interval)
                self.assertTrue(had_a_turn)
                other.join()
        engine.close(timeout=5)

    def test_options_that_make_no_sense_are_refused(self):
        for options in (
            {"progress": "often"},
            {"core": -1},
            {"core": 1 << 20},
            {"spin": -1.0},
            {"spin": float("nan")},
            {"unreceived_limit": -1},
            {"endpoint_grant": 1 << 64},
        ):
            with self.subTest(options), self.assertRaises(ValueError):
                causeway.Engine(**options)
        with self.assertRaises(causeway.InvalidError):
            causeway.Engine.shared().close()


class Blocking(unittest.TestCase):
    def setUp(self):
        self.server, self.client = causeway.Server(), causeway.Client()
        self.server.listen("127.0.0.1")
        self.client.connect_sync("127.0.0.1", self.server.port, timeout=20)
        self.endpoint = self.server.accept_sync(timeout=20)

    def tearDown(self):
        self.client.close_sync()
        self.server.close_sync()

    def test_calls_that_block(self):
        buffer = bytearray(8)
        self.client.send_sync(b"there", tag=1)
        self.assertEqual(self.server.recv_sync(buffer, tag=1, timeout=20), (1, 5))
        self.endpoint.send_sync(b"and back", tag=2)
        self.assertEqual(bytes(self.client.recv_message_sync(tag=2, timeout=20)), b"and back")
        self.client.send_many_sync([b"a", b"b"], [1, 2])
        self.client.flush_sync(timeout=20)
        self.assertEqual(self.server.recv_many_sync([bytearray(1), bytearray(1)], timeout=20), [(1, 1), (2, 1)])
        with self.assertRaises(causeway.TimedOutError):
            self.server.recv_sync(buffer, timeout=0.01)
        with self.assertRaises(causeway.TimedOutError):
            self.server.accept_sync(timeout=0.01)

    def test_threads_wait_side_by_side(self):
        results = []
        threads = [threading.Thread(target=lambda tag=tag: results.append(self.server.recv_sync(bytearray(1), tag=tag, timeout=60))) for tag in range(4)]
        for thread in threads:
            thread.start()
        for tag in range(4):
            self.client.send_sync(b"x", tag=tag)
        for thread in threads:
            thread.join(60)
        self.assertEqual(sorted(results), [(tag, 1) for tag in range(4)])

    def test_threads_accept_side_by_side(self):
        accepted, clients = [], [causeway.Client() for _ in range(32)]
        threads = [threading.Thread(target=lambda: accepted.extend(self.server.accept_sync(timeout=60) for _ in range(8))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for client in clients:
            client.connect_sync("127.0.0.1", self.server.port, timeout=20)
        for thread in threads:
            thread.join(60)
        self.assertEqual(len(accepted), 32)
        self.assertEqual(set(accepted) | {self.endpoint}, set(self.server.clients))
        for client in clients:
            client.close_sync()

    def test_a_blocking_call_can_be_interrupted(self):
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(InterruptedError()))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with self.assertRaises(InterruptedError):
            self.server.recv_sync(bytearray(1))

    def test_loops_come_and_go(self):
        async def one():
            left = self.server.recv(bytearray(1), tag=99)
            self.addCleanup(lambda: left)
            received = self.server.recv(bytearray(1), tag=1)
            await self.client.send(b"x", tag=1)
            return await received

        self.assertEqual([asyncio.run(one()) for _ in range(3)], [(1, 1)] * 3)
        results = []
        threads = [threading.Thread(target=lambda: results.append(asyncio.run(one()))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(results, [(1, 1)] * 2)


    def test_a_closed_loop_is_forgotten_when_the_next_one_comes(self):
        async def one():
            received = self.server.recv(bytearray(1), tag=1)
            await self.client.send(b"x", tag=1)
            await received
            return weakref.ref(asyncio.get_running_loop())

        closed = [asyncio.run(one()) for _ in range(3)][:-1]
        gc.collect()
        self.assertEqual([loop() for loop in closed], [None, None])


class Programs(unittest.TestCase):
    BEGIN = """
        import asyncio, os, sys, causeway
        server, client = causeway.Server(), causeway.Client()
        server.listen("127.0.0.1")
        client.connect_sync("127.0.0.1", server.port, timeout=20)
        endpoint = server.accept_sync(20)
    """

    def run_program(self, text, **environment):
        import textwrap

        done = program(textwrap.dedent(self.BEGIN) + textwrap.dedent(text), **environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_a_program_may_end_with_operations_in_flight(self):
        self.run_program(
            """
            async def main():
                global held
                held = [server.recv(bytearray(1 << 20)), client.send(bytearray(1 << 20), 5), client.flush()]
                client.post_recv(bytearray(8), done=print, failed=print)
            asyncio.run(main())
            """
        )

    def test_an_interpreter_without_the_gil_is_refused_in_one_line(self):
        for way in ("sys.abiflags += 't'", "sys._is_gil_enabled = lambda: False"):
            done = program(f"import sys; {way}; import causeway")
            self.assertEqual(done.returncode, 1)
            self.assertEqual(
                done.stderr.splitlines()[-1], "ImportError: causeway needs an interpreter with the GIL: free-threaded Python is not supported"
            )

    def test_a_subinterpreter_is_refused_in_one_line(self):
        for first in ("", "import causeway; causeway.Server()"):
            done = program(
                f"""
                try:
                    import _interpreters as interpreters
                except ImportError:
                    import _xxsubinterpreters as interpreters
                {first}
                code = "try: import causeway\\nexcept ImportError as error: print(error, flush=True)"
                legacy = ["legacy"] if hasattr(interpreters, "exec") else []
                other = interpreters.create(*legacy) if legacy else interpreters.create(isolated=False)
                (interpreters.exec if legacy else interpreters.run_string)(other, code)
                interpreters.destroy(other)
                """
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout, "causeway works in the main interpreter only, not in subinterpreters\n")

    def test_nothing_is_printed(self):
        self.assertEqual(self.run_program("client.close_sync(); server.close_sync()"), "")

    def test_a_child_by_fork_is_refused(self):
        said = self.run_program(
            """
            import warnings
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of a fork beside threads
            child = os.fork()
            if child == 0:
                try:
                    client.send_sync(b"x", 1)
                except causeway.ForkedError as error:
                    print("refused:", error, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            client.send_sync(b"x", 1)
            server.recv_sync(bytearray(1), 1, timeout=20)
            """
        )
        self.assertIn("refused: this process was forked", said)

    def test_a_killed_peer_is_lost(self):
        server = causeway.Server()
        server.listen("127.0.0.1")
        peer = start("import sys, causeway; c = causeway.Client(); c.connect_sync('127.0.0.1', int(sys.argv[1])); sys.stdin.read()", str(server.port))
        endpoint = server.accept_sync(timeout=60)

        async def main():
            waiting = [server.recv(bytearray(1), source=endpoint), endpoint.send(bytearray(1 << 20), tag=1), endpoint.flush()]
            peer.kill()
            return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)

        self.assertEqual({type(result) for result in asyncio.run(main())}, {causeway.PeerLostError})
        self.assertEqual(server.clients, [])
        peer.communicate()

    def test_uvloop_works(self):
        try:
            import uvloop
        except ImportError:
            self.skipTest("no uvloop")

        async def main():
            server, client = causeway.Server(), causeway.Client()
            server.listen("127.0.0.1")
            await client.connect("127.0.0.1", server.port)
            received = server.recv(bytearray(1), timeout=20)
            await client.send(b"x", tag=1)
            return await received

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self.assertEqual(runner.run(main()), (1, 1))
