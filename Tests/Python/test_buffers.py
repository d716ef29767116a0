"""What is sent from and received into: whatever is contiguous data in the host's memory."""

import array
import asyncio
import ctypes
import gc
import mmap
import unittest

from support import Pair, causeway, numpy
from tensors import DLPack


class Buffers(Pair):
    async def test_anything_contiguous_will_do(self):
        for sent in (b"12345678", bytearray(b"12345678"), memoryview(b"12345678"), array.array("Q", [5])):
            await self.client.send(sent, tag=1)
            self.assertEqual(await self.server.recv(array.array("Q", [0]), timeout=20), (1, 8))

    async def test_a_buffer_to_receive_into_is_writable(self):
        with self.assertRaises(BufferError):
            self.server.recv(b"constant", tag=1)

    async def test_an_array_with_gaps_is_refused(self):
        with self.assertRaises(BufferError):
            self.client.send(memoryview(b"abcdef")[::2], tag=1)

    async def test_a_buffer_may_be_dropped_early(self):
        sent = self.client.send(bytearray(b"\x07") * (1 << 20), tag=1)
        gc.collect()
        message = await self.server.recv_message(tag=1, timeout=20)
        await sent
        self.assertEqual(bytes(message), b"\x07" * (1 << 20))

    async def test_the_buffer_of_a_late_send_stays_held_until_it_is_free(self):
        buffer = bytearray(1 << 20)
        with self.assertRaises(causeway.TimedOutError):
            await self.client.send(buffer, tag=1, timeout=0.02)
        with self.assertRaises(BufferError):
            buffer.append(0)
        await self.server.recv_message(tag=1, timeout=20)
        await self.client.flush(timeout=20)
        for _ in range(2000):
            try:
                buffer.append(0)
                return
            except BufferError:
                await asyncio.sleep(0.001)
        self.fail("it was never released")

    async def test_every_kind_of_buffer_is_sent_and_received_into(self):
        class Record(ctypes.Structure):
            _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_double)]

        pairs = [
            (memoryview(bytearray(range(24))).cast("i", (2, 3)), memoryview(bytearray(24)).cast("h", (3, 4))),
            (memoryview(bytes(range(9)))[2:5], memoryview(bytearray(9))[3:6]),
            (memoryview(b""), bytearray()),
            (array.array("d", [1, 2]), array.array("d", [0, 0])),
            ((ctypes.c_int * 4)(1, 2, 3, 4), (ctypes.c_int * 4)()),
            (Record(1, 2.5), Record()),
            (mmap.mmap(-1, 4096), mmap.mmap(-1, 4096)),
        ]
        for sent, got in pairs:
            with self.subTest(type(sent).__name__):
                await self.client.send(sent, tag=1)
                self.assertEqual(await self.server.recv(got, timeout=20), (1, memoryview(sent).nbytes))
                self.assertEqual(bytes(got), bytes(sent))
        await self.client.send(b"again", tag=2)
        message = await self.server.recv_message(timeout=20)
        await self.client.send(message, tag=3)
        self.assertEqual(await self.server.recv(message, timeout=20), (3, 5))

    async def test_what_is_no_buffer_is_a_type_error(self):
        for bad in ("text", [1, 2], None, 5):
            with self.assertRaises(TypeError):
                self.client.send(bad, tag=1)
            with self.assertRaises(TypeError):
                self.server.recv(bad)

    async def test_references_are_no_data(self):
        references = (ctypes.py_object * 2)(self, self)
        for bad in (references, memoryview(references)):
            with self.assertRaisesRegex(TypeError, "references"):
                self.client.send(bad, tag=1)
            with self.assertRaisesRegex(TypeError, "references"):
                self.server.recv(bad)

        class Open(ctypes.Structure):  # names are not types
            _fields_ = [("O", ctypes.c_int)]

        await self.client.send(Open(5), tag=1)
        self.assertEqual(await self.server.recv(Open(), timeout=20), (1, 4))


class Tensors(Pair):
    async def exchange(self, sent, got) -> int:
        await self.client.send(sent, tag=1)
        _, length = await self.server.recv(got, timeout=20)
        await self.client.flush(timeout=20)
        return length

    async def test_tensors_by_dlpack_are_used_in_place_and_given_back(self):
        rows = [
            (dict(shape=(6,)), 6),
            (dict(shape=(2, 3)), 6),
            (dict(shape=(2, 3), strides=(3, 1)), 6),
            (dict(shape=(1, 4), strides=(99, 1)), 4),
            (dict(shape=()), 1),
            (dict(shape=(4,), offset=2), 4),
            (dict(shape=(4,), bits=16), 8),
            (dict(shape=(2,), bits=8, lanes=4), 8),
            (dict(shape=(5,), bits=4), 3),
            (dict(shape=(4,), device=3), 4),
        ]
        for row, length in rows:
            with self.subTest(**row):
                memory = bytearray(range(1, 17))
                tensor, into = DLPack(memory, **row), DLPack(bytearray(16), **row)
                self.assertEqual(await self.exchange(tensor, into), length)
                offset = row.get("offset", 0)
                self.assertEqual(into.memory[offset : offset + length], memory[offset : offset + length])
                self.assertFalse(any(into.memory[offset + length :]))
                self.assertEqual((tensor.given_back, into.given_back), (1, 1))

    async def test_empty_tensors_may_have_no_memory(self):
        for shape, strides in (((0,), None), ((0, 3), None), ((3, 0), (1, 1))):
            tensor, into = DLPack(None, shape, strides), DLPack(None, shape, strides)
            self.assertEqual(await self.exchange(tensor, into), 0)
            self.assertEqual((tensor.given_back, into.given_back), (1, 1))
        await self.client.send(b"more", tag=1)
        with self.assertRaises(causeway.TruncatedError):
            await self.server.recv(into, timeout=20)
        self.assertEqual(into.given_back, 2)

    async def test_tensors_elsewhere_or_with_gaps_are_refused(self):
        for row in (dict(shape=(4,), device=2), dict(shape=(4,), strides=(2,)), dict(shape=(4,), strides=(-1,)), dict(shape=(2, 3), strides=(1, 2))):
            tensor = DLPack(bytearray(16), **row)
            with self.assertRaises(BufferError):
                self.client.send(tensor, tag=1)
            with self.assertRaises(BufferError):
                self.server.recv(tensor)
        with self.assertRaises(BufferError):
            self.client.send(DLPack(None, (4,)), tag=1)


@unittest.skipUnless(numpy, "no NumPy")
class Arrays(Pair):
    async def test_arrays_of_every_type(self):
        kinds = ["?", "i1", "<i4", ">i4", "f2", "f8", "g", "F", "D", "S5", "U3", "M8[s]", "m8[ns]", "V7", [("Open", "i4"), ("b", "f8", (2,))], [("a", "M8[s]")]]
        for kind in kinds:
            with self.subTest(kind):
                sent, got = numpy.ones(4, dtype="u1").repeat(numpy.dtype(kind).itemsize).view(kind), numpy.zeros(4, dtype=kind)
                await self.client.send(sent, tag=1)
                self.assertEqual(await self.server.recv(got, timeout=20), (1, sent.nbytes))
                self.assertEqual(got.tobytes(), sent.tobytes())

    async def test_arrays_of_every_shape(self):
        matrix = numpy.arange(12.0).reshape(3, 4)
        for sent, got in (
            (matrix, numpy.zeros((3, 4))),
            (matrix[1:], numpy.zeros((2, 4))),
            (numpy.array(3.5), numpy.array(0.0)),
            (numpy.zeros(0), numpy.zeros((3, 0))),
            (numpy.float64(2), numpy.zeros(1)),
        ):
            await self.client.send(sent, tag=1)
            self.assertEqual(await self.server.recv(got, timeout=20), (1, sent.nbytes))
            self.assertEqual(got.tobytes(), sent.tobytes())

    async def test_arrays_in_another_order_or_with_gaps_are_refused(self):
        matrix = numpy.arange(12.0).reshape(3, 4)
        for bad in (numpy.asfortranarray(matrix), matrix.T, matrix[:, 1:], matrix[0][::-1]):
            with self.assertRaises(BufferError):
                self.client.send(bad, tag=1)
            with self.assertRaises(BufferError):
                self.server.recv(bad)

    async def test_an_array_that_is_not_writable_is_not_received_into(self):
        array = numpy.zeros(4)
        array.flags.writeable = False
        await self.client.send(array, tag=1)
        with self.assertRaises(BufferError):
            self.server.recv(array)

    async def test_objects_are_no_data(self):
        for kind in (object, [("a", "i4"), ("b", object)], [("a", "M8[s]"), ("b", object)]):
            objects = numpy.zeros(2, dtype=kind)
            with self.assertRaisesRegex(TypeError, "references"):
                self.client.send(objects, tag=1)
            with self.assertRaisesRegex(TypeError, "references"):
                self.server.recv(objects)


if __name__ == "__main__":
    unittest.main()
