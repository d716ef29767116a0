"""Whoever waits for a connection: on loops and in threads, until the deadline or the end."""

import asyncio
import threading
import unittest

from support import causeway


class Accepting(unittest.TestCase):
    def setUp(self):
        self.engine = causeway.Engine()
        self.addCleanup(self.engine.close, timeout=5)
        self.server = causeway.Server(engine=self.engine)
        self.server.listen("127.0.0.1")
        self.results = []

    def begin(self, accept) -> threading.Thread:
        thread = threading.Thread(target=self.note, args=(accept,), daemon=True)
        thread.start()
        return thread

    def note(self, accept) -> None:
        try:
            self.results.append(accept())
        except causeway.Error as error:
            self.results.append(type(error))

    def on_a_loop(self) -> threading.Thread:
        waits = threading.Event()

        async def main():
            asyncio.get_running_loop().call_soon(waits.set)
            return await self.server.accept()

        thread = self.begin(lambda: asyncio.run(main()))
        self.assertTrue(waits.wait(20))
        return thread

    def everybody(self) -> list[threading.Thread]:
        return [self.on_a_loop(), self.on_a_loop(), self.begin(self.server.accept_sync)]

    def end(self, threads: list[threading.Thread]) -> list:
        for thread in threads:
            thread.join(20)
        return self.results

    def test_the_servers_end_is_told(self):
        threads = self.everybody()
        self.server.close_sync()
        self.assertEqual(self.end(threads), [causeway.ClosedError] * 3)

    def test_the_engines_end_is_told(self):
        threads = self.everybody()
        self.engine.close(timeout=5)
        self.assertEqual(self.end(threads), [causeway.ClosedError] * 3)
        self.assertTrue(self.server.is_closed)

    def test_a_close_on_a_loop_is_told_to_others(self):
        threads = self.everybody()
        asyncio.run(self.server.close())
        self.assertEqual(self.end(threads), [causeway.ClosedError] * 3)

    def test_loops_and_threads_get_one_each(self):
        threads = self.everybody()
        clients = [causeway.Client(engine=self.engine) for _ in threads]
        for client in clients:
            client.connect_sync("127.0.0.1", self.server.port, timeout=20)
        self.assertEqual(set(self.end(threads)), set(self.server.clients))
        self.assertEqual(len(self.results), 3)

    def test_nobody_waits_for_a_closed_server(self):
        self.server.close_sync()
        self.assertEqual(self.server.clients, [])
        with self.assertRaises(causeway.ClosedError):
            asyncio.run(asyncio.wait_for(self.server.accept(), 20))
        with self.assertRaises(causeway.ClosedError):
            self.server.accept_sync()

    def test_deadlines_are_ours_and_sensible(self):
        for timeout in (0, 0.01):
            with self.assertRaises(causeway.TimedOutError):
                asyncio.run(self.server.accept(timeout))
            with self.assertRaises(causeway.TimedOutError):
                self.server.accept_sync(timeout)
        for timeout in (-1, float("nan")):
            with self.assertRaises(ValueError):
                asyncio.run(self.server.accept(timeout))
            with self.assertRaises(ValueError):
                self.server.accept_sync(timeout)

    def test_one_that_gives_up_as_it_is_told_loses_nobody(self):
        async def main():
            task = asyncio.create_task(self.server.accept())
            await asyncio.sleep(0)
            client = causeway.Client(engine=self.engine)
            client.connect_sync("127.0.0.1", self.server.port, timeout=20)
            while self.server._accepting:
                self.server._hand_out()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual([await self.server.accept(timeout=20)], self.server.clients)
            self.assertFalse(self.server._accepting)

        asyncio.run(main())


if __name__ == "__main__":
    unittest.main()
