"""rook's kernels from Python: on arrays of NumPy, tensors of PyTorch, or anything else that has __dlpack__.

    import numpy as np, rook_ops as rook
    x = np.random.rand(1, 52, 52, 64).astype("f4")
    y = np.empty((1, 26, 26, 64), "f4")
    rook.maxpool_forward(geometry=(2, 2, 2, 2, 0), x=x, y=y)
    rook.conv("fprop", x=x, y=z, weights=w, bias=b, pad=1, activation="leaky")

There is a function for each operation of bench/c_api/rook.h, and its arguments are the fields of the operation's struct:
arrays and tensors for tensors and pointers (or None), names without ROOK_ for enumerations ("leaky", "accumulate"),
tuples or dicts for structs. Nothing is copied; outputs are written in place. What is left out is zero, and `workspace` is
provided. Arrays have the order NHWC; axes="nchw" takes PyTorch's, in the memory format channels_last. NumPy has no
bf16: view(array_of_uint16, "bf16") says that it is. A failed call raises RookError with rook's message.

The device is that of the tensors; device="emu" or "ref" runs host arrays there. On a GPU the work is put on PyTorch's
current stream (or stream=address), and nothing waits.

To time a kernel, prepare it: what prepare("maxpool_forward", geometry=..., x=x, y=y) or prepare("conv", "fprop", ...)
returns runs the operation on the same memory each time it is called, and does nothing else: arguments are read, weights
packed and scratch memory taken once.

No build step: the structs are read from rook.h. The library is $ROOK_LIBRARY, else build/release/librook.so. Standard
library only.
"""

import ctypes
import os
import pathlib
import re
import sys

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_HEADER = re.sub(r"/\*.*?\*/", "", (_ROOT / "bench" / "c_api" / "rook.h").read_text(), flags=re.S)
_NUMBERS = {"int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64,
            "uint16_t": ctypes.c_uint16, "uint8_t": ctypes.c_uint8, "size_t": ctypes.c_size_t, "float": ctypes.c_float,
            "double": ctypes.c_double}
_FLOATS = ("float", "double")


class RookError(RuntimeError):
    """What rook refused, in its words."""


# ---- rook.h -----------------------------------------------------------------------------------------------------------

CONSTANTS = {name: int(value) for name, value in re.findall(r"\b(ROOK_\w+) = (\d+)", _HEADER)}
CONSTANTS |= {name: int(value) for name, value in re.findall(r"#define (ROOK_\w+) (\d+)", _HEADER)}
ENUMS = {name: re.findall(r"\bROOK_\w+", body)
         for name, body in re.findall(r"typedef int32_t (rook_\w+);\s*enum \{([^}]*)\};", _HEADER)}
STRUCTS, FIELDS = {}, {}  # name: ctypes class; name: {field: (C type, is a pointer)}


def _ctype(kind, pointer, count):
    if pointer:
        return ctypes.c_void_p
    base = STRUCTS.get(kind) or (ctypes.c_int32 if kind in ENUMS else _NUMBERS[kind])
    return base * (CONSTANTS[count] if count in CONSTANTS else int(count)) if count else base


for _name, _body in re.findall(r"typedef struct (rook_\w+) \{(.*?)\} \1;", _HEADER, flags=re.S):
    _fields = re.findall(r"(?:const )?(\w+)(\*?) (\w+)(?:\[(\w+)\])?;", _body)
    FIELDS[_name] = {field: (kind, bool(pointer)) for kind, pointer, field, _ in _fields}
    STRUCTS[_name] = type(_name, (ctypes.Structure,),
                          {"_fields_": [(field, _ctype(kind, pointer, count)) for kind, pointer, field, count in _fields]})
OPERATIONS = [op for op in re.findall(r"rook_status rook_(\w+)\(const rook_\1_args\* args,\s+rook_stream stream\);", _HEADER)]


def _load():
    file = os.environ.get("ROOK_LIBRARY", str(_ROOT / "build" / "release" / "librook.so"))
    try:
        library = ctypes.CDLL(file)
    except OSError as error:
        raise ImportError(f"{file}: {error}; build it with `./run build` or name another one with ROOK_LIBRARY=...") from None
    library.rook_last_error.restype = library.rook_version.restype = library.rook_conv_row.restype = ctypes.c_char_p
    if library.rook_abi_version() != CONSTANTS["ROOK_ABI"]:
        raise ImportError(f"{file}: has interface {library.rook_abi_version()}, rook.h has {CONSTANTS['ROOK_ABI']}; build it again")
    return library


_library = _load()


def _check(status):
    if status != 0:
        raise RookError(_library.rook_last_error().decode(errors="replace"))


def version():
    return _library.rook_version().decode()


def describe(device="cpu"):
    """The device's name, driver and libraries."""
    text = ctypes.create_string_buffer(1024)
    _check(_library.rook_describe_device(_enum("rook_device", device), text, ctypes.c_size_t(len(text))))
    return text.value.decode(errors="replace")


def conv_rows(device="cpu"):
    """Names of the implementations of convolution."""
    names, device = [], _enum("rook_device", device)
    while (name := _library.rook_conv_row(device, len(names))) is not None:
        names.append(name.decode())
    return names


# ---- arrays -----------------------------------------------------------------------------------------------------------


class _DlTensor(ctypes.Structure):  # bench/c_api/dlpack_abi.h
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("offset", ctypes.c_uint64),
                ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


_DL_INT, _DL_UINT, _DL_FLOAT, _DL_BFLOAT = 0, 1, 2, 4
_DL_CUDA = (2, 13)
_DTYPES = {"f32": (_DL_FLOAT, 32), "bf16": (_DL_BFLOAT, 16), "f16": (_DL_FLOAT, 16), "f64": (_DL_FLOAT, 64), "u8": (_DL_UINT, 8)}
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class view:
    """An array whose elements are of another type of the same size: view(array_of_uint16, "bf16")."""

    def __init__(self, array, dtype):
        self.array, self.dtype = array, dtype


class _Call:
    """Where a call runs, and what must live until it has."""

    def __init__(self, axes, device, stream):
        self.axes, self.device, self.stream, self.kept = _enum("rook_axes", axes), device, stream, []

    def dlpack(self, value):
        """The value's DLPack tensor; learns the device from it."""
        dtype = None
        if isinstance(value, view):
            value, dtype = value.array, _DTYPES[value.dtype]
        on_gpu = value.__dlpack_device__()[0] in _DL_CUDA
        capsule = value.__dlpack__(stream=-1) if on_gpu else value.__dlpack__()
        self.kept.append(capsule)  # frees the tensor with itself
        found = _DlTensor.from_address(_pointer_of(capsule, b"dltensor"))
        if dtype:
            found = _DlTensor.from_buffer_copy(found)
            if found.bits != dtype[1]:
                raise RookError(f"view: elements of {found.bits} bits cannot be seen as {dtype[1]} bits")
            found.code = dtype[0]
            self.kept.append(found)
        device = "cuda" if on_gpu else "cpu"
        if (self.device or device) == "cuda" and device != "cuda" or device == "cuda" and self.device not in (None, "cuda"):
            raise RookError(f"a tensor lies on {device}, others on {self.device}")
        self.device = self.device or device
        return found

    def tensor(self, value):
        made = STRUCTS["rook_tensor"]()
        if value is not None:
            _check(_library.rook_tensor_from_dlpack(ctypes.byref(self.dlpack(value)), self.axes, ctypes.byref(made), None))
        return made

    def address(self, name, kind, value):
        """Of what a pointer field points to."""
        if value is None or isinstance(value, int):
            return value
        if kind in STRUCTS and isinstance(value, (list, tuple)):
            value = (STRUCTS[kind] * len(value))(*(self.value(name, kind, v) for v in value))
        self.kept.append(value)
        if isinstance(value, (ctypes.Array, ctypes.Structure)):
            return ctypes.addressof(value)
        found = self.dlpack(value)
        expected = 1
        for i in range(found.ndim - 1, -1, -1):
            if found.strides and found.shape[i] != 1 and found.strides[i] != expected:
                raise RookError(f"{name}: the array has gaps or another order; make it contiguous")
            expected *= found.shape[i]
        if kind in _NUMBERS:
            is_float = kind in _FLOATS
            if found.bits != 8 * ctypes.sizeof(_NUMBERS[kind]) or (found.code == _DL_FLOAT) != is_float:
                raise RookError(f"{name}: elements must be {kind}")
        return found.data + found.offset

    def value(self, name, kind, value):
        if kind == "rook_tensor":
            return self.tensor(value)
        if kind in ENUMS:
            return _enum(kind, value)
        if kind in STRUCTS:
            if isinstance(value, STRUCTS[kind]):
                return value
            given = value if isinstance(value, dict) else dict(zip(FIELDS[kind], value))
            return self.struct(kind, given)
        return value

    def struct(self, kind, given):
        unknown = [name for name in given if name not in FIELDS[kind]]
        if unknown:
            raise RookError(f"{kind}: has no field {unknown[0]}; there are: {', '.join(FIELDS[kind])}")
        made = STRUCTS[kind]()
        for name, value in given.items():
            field, pointer = FIELDS[kind][name]
            if pointer:
                setattr(made, name, self.address(name, field, value))
                counter = name.rstrip("s") + "_count"
                if counter in FIELDS[kind] and counter not in given:
                    setattr(made, counter, _length(value))
            elif isinstance(getattr(made, name), ctypes.Array):
                array = getattr(made, name)
                array[:len(value)] = list(value)
            else:
                setattr(made, name, self.value(name, field, value))
        return made

    def where(self):
        """The stream; to be asked after the arguments, which say the device."""
        handle = self.stream
        if handle is None and self.device == "cuda" and "torch" in sys.modules:
            handle = sys.modules["torch"].cuda.current_stream().cuda_stream
        return STRUCTS["rook_stream"](_enum("rook_device", self.device or "cpu"), handle)

    def memory(self, count):
        """Address of scratch memory."""
        if self.device == "cuda":
            import torch

            scratch = torch.empty(max(count, 1), dtype=torch.uint8, device="cuda")
            self.kept.append(scratch)
            return scratch.data_ptr()
        scratch = (ctypes.c_byte * (count + 256))()
        self.kept.append(scratch)
        return ctypes.addressof(scratch) + -ctypes.addressof(scratch) % 256


def _length(value):
    return 0 if value is None else len(value)


def _enum(kind, value):
    """A number, or a name without ROOK_ and without what all names of the enumeration begin with."""
    if isinstance(value, int):
        return value
    for name in ENUMS[kind]:
        if name.lower() == f"rook_{value}" or name.lower().endswith(f"_{value}"):
            return CONSTANTS[name]
    names = ", ".join(name.removeprefix("ROOK_").lower() for name in ENUMS[kind])
    raise RookError(f"{kind}: there is no {value}; there are: {names}")


# ---- operations -------------------------------------------------------------------------------------------------------


def _prepared(op, given, axes, device, stream):
    call = _Call(axes, device, stream)
    args = call.struct(f"rook_{op}_args", given)
    if "workspace" in FIELDS[f"rook_{op}_args"] and "workspace" not in given:
        size = ctypes.c_size_t()
        _check(getattr(_library, f"rook_{op}_workspace")(ctypes.byref(args), call.where(), ctypes.byref(size)))
        args.workspace = call.memory(size.value)
    return _caller(getattr(_library, f"rook_{op}"), call, ctypes.byref(args))


def _caller(function, call, *arguments):
    """Of a C function: what calls it with these arguments, and keeps alive what they point to."""
    where = call.where()

    def run(_kept=call):
        _check(function(*arguments, where))
        if call.device == "emu":  # host arrays, which are read next; the emulator is as late as a GPU may be
            _check(_library.rook_synchronize(where))

    return run


def _make(op):
    def run(*, axes="nhwc", device=None, stream=None, **fields):
        _prepared(op, fields, axes, device, stream)()

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"rook_{op} of rook.h; fields: {', '.join(FIELDS[f'rook_{op}_args'])}."
    return run


globals().update({op: _make(op) for op in OPERATIONS})


def _prepared_conv(direction, *, x, y, weights=None, bias=None, dweights=None, dbias=None, stride=1, pad=0, dilation=1, groups=1,
                   activation="linear", mode="overwrite", row=None, axes="nhwc", device=None, stream=None):
    call = _Call(axes, device, stream)
    args = call.struct("rook_conv_args", {"x": x, "y": y, "bias": bias, "dweights": dweights, "dbias": dbias, "mode": mode})
    filters = dweights if direction == "wgrad" else weights
    if filters is None:
        raise RookError(f"conv: {direction} needs {'dweights' if direction == 'wgrad' else 'weights'}")
    k, r, s, _ = (int(v) for v in filters.shape)
    problem = STRUCTS["rook_conv_problem"](
        direction=_enum("rook_conv_direction", direction), c=args.x.c, k=k, r=r, s=s, stride_h=stride, stride_w=stride, pad_h=pad,
        pad_w=pad, dilation=dilation, groups=groups, n=args.x.n, h=args.x.h, w=args.x.w, pitch_x=args.x.pitch,
        pitch_y=args.y.pitch, x=args.x.dtype, y=args.y.dtype,
        bias=int((dbias if direction == "wgrad" else bias) is not None), activation=_enum("rook_activation", activation))
    plan, where = STRUCTS["rook_conv_plan"](), call.where()
    name = row.encode() if row else None
    _check(_library.rook_conv_plan_for(ctypes.byref(problem), ctypes.c_char_p(name), where, ctypes.byref(plan)))
    args.workspace = call.memory(plan.workspace_bytes)
    if direction != "wgrad":
        args.weights = call.memory(plan.packed_bytes)
        packed = ctypes.c_void_p(args.weights)
        source = ctypes.c_void_p(call.address("weights", "float", weights))
        _check(_library.rook_conv_pack(ctypes.byref(problem), ctypes.byref(plan), source, packed, where))
    return _caller(_library.rook_conv, call, ctypes.byref(problem), ctypes.byref(plan), ctypes.byref(args))


def conv(direction, **fields):
    """Convolution: "fprop" writes y from x and weights [K,R,S,C/groups] f32; "dgrad" writes x, a gradient, from y and
    weights; "wgrad" adds to dweights, and to dbias, from x and y. Fields: x, y, weights, bias, dweights, dbias, stride,
    pad, dilation, groups, activation, mode, and row: one of conv_rows(). Weights are packed in the call: to time kernels
    take prepare("conv", ...)."""
    _prepared_conv(direction, **fields)()


def prepare(op, *arguments, axes="nhwc", device=None, stream=None, **fields):
    """What runs an operation, or "conv" with its direction, again and again on the memory given here."""
    if op == "conv":
        return _prepared_conv(*arguments, axes=axes, device=device, stream=stream, **fields)
    if op not in OPERATIONS:
        raise RookError(f"{op}: is no operation; there are: conv, {', '.join(OPERATIONS)}")
    return _prepared(op, fields, axes, device, stream)
