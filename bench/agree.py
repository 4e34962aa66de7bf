"""Correctness before timing: the picture that contestants look at, and whether their boxes are the same.

Standard library and numpy only.
"""

import pathlib
import struct
import zlib

import numpy as np

import common


def picture(size, seed=1):
    """[size, size, 3] u8: smooth colours, rectangles and a little noise, so that a network finds something to answer."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    image = np.empty((size, size, 3))
    for channel in range(3):
        fx, fy, phase = random.uniform(1, 9), random.uniform(1, 9), random.uniform(0, 6.28)
        image[..., channel] = 128 + 90 * np.sin(6.28 * (fx * x + fy * y) + phase)
    for _ in range(40):
        left, top = random.integers(0, size, 2)
        width, height = random.integers(8, size // 3, 2)
        image[top:top + height, left:left + width] = random.uniform(0, 255, 3)
    image += random.normal(0, 12, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def write_png(file, pixels):
    """[height, width, 3] u8 RGB."""
    height, width, _ = pixels.shape

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[y].tobytes() for y in range(height))
    pathlib.Path(file).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                                   chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def gate_picture(folder, size):
    """The picture that contestants must agree about, as a PNG and as an array: their files."""
    image = picture(size)
    png, pixels = f"{folder}/picture.png", f"{folder}/picture.npy"
    write_png(png, image)
    np.save(pixels, image)
    return png, pixels


# ---- agreement ------------------------------------------------------------------------------------------------------

def rook_boxes(cfg, weights, png, conf):
    """[K, 6]: class, score, left, top, width, height in pixels. No suppression, and no resizing as the picture has the
    network's size."""
    found = common.rook_json("detect", "--model", f"{cfg}:{weights}", "--conf", repr(float(conf)), "--nms-threshold", "1", "--classes", "all",
                      "--resize", "align-corners", "--precision", "f32", "--quiet", png)[0]["detections"]
    return np.array([[d["class_id"], d["score"], *d["box"]] for d in found]).reshape(-1, 6)


def clipped(centre_boxes, size):
    """Relative centre boxes [K, 4] as left, top, width, height in pixels, cut at the edges as rook does."""
    low = np.clip((centre_boxes[:, :2] - centre_boxes[:, 2:] / 2) * size, 0, size)
    high = np.clip((centre_boxes[:, :2] + centre_boxes[:, 2:] / 2) * size, 0, size)
    return np.concatenate([low, high - low], axis=1)


def quiet_threshold(scores, low=1500, high=2500):
    """A confidence in the widest gap between the scores of rank `low` and `high`: rounding moves no box across it."""
    ranked = np.sort(scores.ravel())[::-1]
    window = ranked[min(low, len(ranked) // 4):min(high, len(ranked) // 2)]
    at = int(np.argmax(window[:-1] - window[1:]))
    return float((window[at] + window[at + 1]) / 2)


def compare(theirs, ours, score_tolerance, box_tolerance):
    """Finds for each of their boxes the nearest of ours of the same class. Returns the largest difference of the scores,
    and of the boxes over their larger side (at least 32 pixels). Dies when one has no partner within the tolerances."""
    worst_score = worst_box = 0.0
    for kind in np.unique(theirs[:, 0]):
        a, b = theirs[theirs[:, 0] == kind], ours[ours[:, 0] == kind]
        if len(b) == 0:
            common.die(f"outputs differ: rook finds no box of class {int(kind)}")
        size = np.maximum(a[:, None, 4:6].max(axis=2), 32)
        box = np.abs(a[:, None, 2:] - b[None, :, 2:]).max(axis=2) / size
        score = np.abs(a[:, None, 1] - b[None, :, 1])
        nearest = np.argmin(np.maximum(score / score_tolerance, box / box_tolerance), axis=1)
        if len(np.unique(nearest)) != len(a):
            common.die(f"outputs differ: boxes of class {int(kind)} share a partner")
        rows = np.arange(len(a))
        worst_score = max(worst_score, float(score[rows, nearest].max()))
        worst_box = max(worst_box, float(box[rows, nearest].max()))
    if not (worst_score <= score_tolerance and worst_box <= box_tolerance):
        common.die(f"outputs differ: score by up to {worst_score:.2e}, box by up to {worst_box:.2e} of its size")
    return {"boxes": len(theirs), "score_difference": worst_score, "box_difference": worst_box}
