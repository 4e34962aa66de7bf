"""Boxes on pictures from Python, in the same process.

    import rook_detect
    detector = rook_detect.Detector("runs/chess", confidence=0.5)
    for box in detector("photo.jpg"):                       # a file, or the bytes of one
        print(box.name, box.score, box.left, box.top, box.width, box.height)
    detector(array)                                         # 8-bit pixels [height, width, 3]: NumPy's, a picture of Pillow
    detector(frame, order="bgr")                            # the order in which OpenCV has the colours

The boxes are those of `rook detect`, by falling score, in pixels of the picture. What fails raises RookError with rook's
message. A detector may be shared by threads; they wait for each other, and Python's other threads run meanwhile. A copy,
or what arrives in another process, opens the model anew. A forked process cannot compute when its parent did before, as
OpenMP's threads do not come along: start processes by "spawn", or open detectors in the children alone.

No build step and nothing to install: standard library only. The library is $ROOK_DETECT_LIBRARY, else
build/release/librookdetect.so.
"""

import ctypes
import os
import pathlib
import threading
import typing

__all__ = ["Box", "Detector", "RookError"]

_ABI = 1
_ORDERS = {"rgb": 0, "bgr": 1, "rgba": 2, "bgra": 3, "grey": 4}
_CHANNELS = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "grey": 1}
_ROOM = 256  # boxes of a picture, before it is asked again with more room


class RookError(RuntimeError):
    """What rook refused, in its words."""


class Box(typing.NamedTuple):
    """In pixels of the picture, cut at its edges."""

    name: str
    score: float
    left: float
    top: float
    width: float
    height: float
    class_id: int


class _Options(ctypes.Structure):
    _fields_ = [("device", ctypes.c_char_p), ("precision", ctypes.c_char_p), ("names", ctypes.c_char_p),
                ("size", ctypes.c_int32), ("confidence", ctypes.c_float), ("nms_threshold", ctypes.c_float)]


class _Box(ctypes.Structure):
    _fields_ = [("left", ctypes.c_float), ("top", ctypes.c_float), ("width", ctypes.c_float), ("height", ctypes.c_float),
                ("score", ctypes.c_float), ("class_id", ctypes.c_int32)]


def _load():
    default = pathlib.Path(__file__).resolve().parent.parent / "build" / "release" / "librookdetect.so"
    file = os.environ.get("ROOK_DETECT_LIBRARY") or str(default)
    try:
        library = ctypes.CDLL(file)
    except OSError as error:
        raise RookError(f"{error}; build it (./run build), or say where it is with ROOK_DETECT_LIBRARY") from None
    if not hasattr(library, "rook_detect_abi") or library.rook_detect_abi() != _ABI:
        raise RookError(f"{file}: is no librookdetect.so, or of another rook than this file")
    detector, place, number = ctypes.c_void_p, ctypes.POINTER(_Box), ctypes.c_int32
    library.rook_detector_open.argtypes = [ctypes.c_char_p, ctypes.POINTER(_Options)]
    library.rook_detector_open.restype = detector
    library.rook_detector_close.argtypes = [detector]
    library.rook_detector_close.restype = None
    library.rook_detector_file.argtypes = [detector, ctypes.c_char_p, place, number]
    library.rook_detector_encoded.argtypes = [detector, ctypes.c_char_p, ctypes.c_int64, place, number]
    library.rook_detector_pixels.argtypes = [detector, ctypes.c_char_p, number, number, ctypes.c_int64, number, place, number]
    library.rook_detector_classes.argtypes = [detector]
    library.rook_detector_class.argtypes = [detector, number]
    library.rook_detector_class.restype = ctypes.c_char_p
    library.rook_detector_input.argtypes = [detector, ctypes.POINTER(number), ctypes.POINTER(number)]
    library.rook_detector_input.restype = None
    library.rook_detector_error.argtypes = []
    library.rook_detector_error.restype = ctypes.c_char_p
    return library


_library = None


def _lib():
    global _library
    if _library is None:
        _library = _load()
    return _library


def _error():
    return RookError(_lib().rook_detector_error().decode(errors="replace"))


def _text(value):
    text = None if value is None else os.fsencode(value)
    if text and b"\0" in text:
        raise RookError(f"{text!r}: has a byte 0")
    return text


def _open(model, options):
    return Detector(model, **options)


def _pixels(picture, order):
    """Bytes without gaps, width and height, of anything with the buffer protocol. (A copy: a thousandth of a second.)"""
    if not isinstance(order, str) or order not in _ORDERS:
        raise RookError(f"order: {order!r} is not one of {', '.join(_ORDERS)}")
    array = getattr(picture, "__array_interface__", {})
    if isinstance(array.get("data"), bytes) and array.get("typestr") == "|u1":  # Pillow's
        picture = memoryview(array["data"]).cast("B", array["shape"])
    try:
        view = memoryview(picture)
    except TypeError:
        raise RookError(f"a picture is a file's name, its bytes or an array of pixels, not {type(picture).__name__}") from None
    channels = _CHANNELS[order]
    flat = channels == 1 and view.ndim == 2
    if view.format != "B" or not (flat or (view.ndim == 3 and view.shape[2] == channels)):
        raise RookError(f"an array of 8-bit pixels [height, width, {channels}] is wanted for order {order!r}, not one of "
                        f"format {view.format} and shape {list(view.shape)}")
    height, width = view.shape[:2]
    if not height or not width:
        raise RookError("a picture without pixels")
    return view.tobytes(), width, height


class Detector:
    """A model, opened once. `model`: a run folder, a checkpoint, "NETWORK.cfg:FILE.weights" or "rendered"."""

    _detector = None

    def __init__(self, model, *, device="auto", precision="auto", names=None, size=0, confidence=0.25, nms_threshold=0.45):
        if not 0 <= size < 2**31:
            raise RookError(f"size: {size} is no side of a network's input")
        self._opened = (model, {"device": device, "precision": precision, "names": names, "size": size,
                                "confidence": confidence, "nms_threshold": nms_threshold})
        self._lock = threading.Lock()
        options = _Options(_text(device), _text(precision), _text(names), size, confidence, nms_threshold)
        self._detector = _lib().rook_detector_open(_text(model), ctypes.byref(options))
        if not self._detector:
            raise _error()
        count = _lib().rook_detector_classes(self._detector)
        self.names = [_lib().rook_detector_class(self._detector, i).decode(errors="replace") for i in range(count)]
        width, height = ctypes.c_int32(), ctypes.c_int32()
        _lib().rook_detector_input(self._detector, ctypes.byref(width), ctypes.byref(height))
        self.input_size = (width.value, height.value)

    def __call__(self, picture, order="rgb"):
        """Boxes by falling score. `order`, of arrays: rgb, bgr, rgba, bgra or grey."""
        if isinstance(picture, (str, os.PathLike)):
            run, arguments = _lib().rook_detector_file, (_text(picture),)
        elif isinstance(picture, (bytes, bytearray)):
            run, arguments = _lib().rook_detector_encoded, (bytes(picture), len(picture))
        else:
            run, arguments = _lib().rook_detector_pixels, (*_pixels(picture, order), 0, _ORDERS[order])
        room = _ROOM
        while True:
            boxes = (_Box * room)()
            with self._lock:  # so that nobody closes it meanwhile
                if not self._detector:
                    raise RookError("the detector is closed")
                found = run(self._detector, *arguments, boxes, room)
            if found < 0:
                raise _error()
            if found <= room:
                return [Box(self.names[b.class_id], b.score, b.left, b.top, b.width, b.height, b.class_id)
                        for b in boxes[:found]]
            room = found

    def close(self):
        """Gives the memory back; so does the end of a `with`, or of the object."""
        with self._lock:
            detector, self._detector = self._detector, None
        if detector:
            _lib().rook_detector_close(detector)

    def __reduce__(self):
        return _open, self._opened

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if self._detector:
            self.close()
