"""A tensor that has DLPack and nothing else, in memory of a test."""

import ctypes


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("dimensions", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]


make_capsule = ctypes.pythonapi.PyCapsule_New
make_capsule.restype, make_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class DLPack:
    """`memory` None: no address, as PyTorch's empty tensors have it. `given_back` counts what the user of the tensor gave back."""

    def __init__(self, memory, shape, strides=None, bits=8, lanes=1, device=1, offset=0):
        self.memory, self.given_back = memory, 0
        numbers = ctypes.c_int64 * len(shape)
        self.shape, self.strides = numbers(*shape), numbers(*strides) if strides else None
        address = None if memory is None else ctypes.addressof((ctypes.c_char * len(memory)).from_buffer(memory))
        tensor = Tensor(address, (device, 0), len(shape), 1, bits, lanes, self.shape, self.strides, offset)
        self.managed = Managed(tensor, None, DELETER(self.give_back))

    def give_back(self, _):
        self.given_back += 1

    def __dlpack__(self, **_):
        return make_capsule(ctypes.addressof(self.managed), b"dltensor", None)
