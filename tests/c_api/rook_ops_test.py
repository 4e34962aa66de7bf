#!/usr/bin/env python3
"""bench/python/rook_ops.py beside NumPy. Exit status 77 where NumPy is missing."""

import pathlib
import re
import sys
import unittest

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no NumPy (python3-numpy)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench" / "python"))
import rook_ops as rook  # noqa: E402

RANDOM = np.random.default_rng(1)


def normal(*shape):
    return RANDOM.normal(size=shape).astype("f4")


def poisoned(*shape):
    return np.full(shape, np.nan, "f4")


def windows(x, size, stride, pad):
    """[N,P,Q,R,S,C] of x padded with zeros."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    found = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]
    return found.transpose(0, 1, 2, 4, 5, 3)


class Operations(unittest.TestCase):
    def close(self, actual, expected, tolerance=1e-5):
        self.assertTrue(bool(np.all(np.abs(actual - expected) <= tolerance)), f"differs by {np.abs(actual - expected).max()}")

    def test_all_of_the_header(self):
        header = (ROOT / "kernels" / "ops.h").read_text()
        listed = re.findall(r"X\((\w+), \w+\)", header.split("#define ROOK_OP_LIST(X)")[1].split("#define")[0])
        self.assertEqual(sorted(listed), sorted(rook.OPERATIONS))
        self.assertGreater(len(listed), 30)
        for op in listed:
            self.assertTrue(callable(getattr(rook, op)))
        self.assertEqual(rook.version().count("."), 2)

    def test_activation_on_each_device(self):
        x = normal(2, 5, 3, 7)
        for device in (None, "emu", "ref"):
            y = poisoned(2, 5, 3, 7)
            try:
                rook.activation_forward(x=x, y=y, activation="logistic", device=device)
            except rook.RookError as error:
                self.assertEqual(device, "emu", error)  # a build without the emulator
                continue
            self.close(y, 1 / (1 + np.exp(-x)))

    def test_normalize_channels(self):
        x = normal(2, 5, 3, 7)
        y, dx, e = poisoned(2, 5, 3, 7), poisoned(2, 5, 3, 7), np.exp(x - x.max(3, keepdims=True))
        rook.normalize_channels_forward(x=x, y=y, kind="softmax_maxval")
        self.close(y, e / (1e-4 + e.sum(3, keepdims=True)))
        rook.normalize_channels_forward(x=x, y=y, kind="relu")
        sums = 1e-4 + np.maximum(x, 0).sum(3, keepdims=True)
        self.close(y, np.maximum(x, 0) / sums)
        rook.normalize_channels_backward(x=x, dy=x, dx=dx, kind="relu", mode="overwrite")
        self.close(dx, (x > 0) * (x - (x * y).sum(3, keepdims=True)) / sums)

    def test_slices(self):
        x, wide = normal(1, 4, 6, 5), np.zeros((1, 4, 6, 12), "f4")
        rook.copy_channels(src=x, dst=wide[..., 3:8])
        self.close(wide[..., 3:8], x, 0)
        self.assertEqual(float(np.abs(wide[..., :3]).sum() + np.abs(wide[..., 8:]).sum()), 0)
        rook.copy_channels(src=x, dst=wide[..., 3:8], mode="accumulate")
        self.close(wide[..., 3:8], 2 * x, 1e-6)

    def test_maxpool(self):
        x, y, taps = normal(1, 6, 8, 5), poisoned(1, 3, 4, 5), np.zeros((1, 3, 4, 5), np.uint16)
        rook.maxpool_forward(geometry=(2, 2, 2, 2, 0), x=x, y=y, taps=taps)
        blocks = x.reshape(1, 3, 2, 4, 2, 5).transpose(0, 1, 3, 5, 2, 4).reshape(1, 3, 4, 5, 4)
        self.close(y, blocks.max(-1), 0)
        self.close(taps, blocks.argmax(-1), 0)

    def test_batchnorm_with_its_workspace(self):
        z, y, gamma, beta = normal(3, 4, 5, 6), poisoned(3, 4, 5, 6), normal(6), normal(6)
        mean, inv_std, running_mean, running_var = poisoned(6), poisoned(6), np.zeros(6, "f4"), np.ones(6, "f4")
        rook.batchnorm_forward(z=z, y=y, gamma=gamma, beta=beta, mean=mean, inv_std=inv_std, running_mean=running_mean,
                               running_var=running_var, momentum=1, eps=1e-5)
        flat = z.reshape(-1, 6).astype("f8")
        self.close(y.reshape(-1, 6), gamma * (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5) + beta)
        self.close(running_var, flat.var(0, ddof=1))

    def test_convolution_of_every_row(self):
        x, weights, bias = normal(2, 9, 7, 4), normal(6, 3, 3, 4), normal(6)
        truth = np.einsum("npqrsc,krsc->npqk", windows(x.astype("f8"), 3, 1, 1), weights) + bias
        ran = 0
        for row in [None, *rook.conv_rows()]:
            y = poisoned(2, 9, 7, 6)
            try:
                rook.conv("fprop", x=x, y=y, weights=weights, bias=bias, pad=1, activation="relu", row=row)
            except rook.RookError as error:
                self.assertIn("does not support", str(error))
                continue
            self.close(y, np.maximum(truth, 0), 1e-4)
            ran += 1
        self.assertGreaterEqual(ran, 2)

    def test_convolution_of_slices(self):
        wide, weights, into = normal(1, 6, 5, 11), normal(6, 3, 3, 4), poisoned(1, 6, 5, 9)
        x, y = wide[..., 2:6], into[..., 1:7]
        rook.conv("fprop", x=x, y=y, weights=weights, pad=1)
        self.close(y, np.einsum("npqrsc,krsc->npqk", windows(x.astype("f8"), 3, 1, 1), weights), 1e-4)
        self.assertTrue(np.isnan(into[..., 0]).all() and np.isnan(into[..., 7:]).all())

    def test_convolution_gradients(self):
        x, dy, weights = normal(1, 5, 6, 3), normal(1, 5, 6, 4), normal(4, 3, 3, 3)
        dx, dw, db = poisoned(1, 5, 6, 3), np.zeros((4, 3, 3, 3), "f4"), np.zeros(4, "f4")
        rook.conv("dgrad", x=dx, y=dy, weights=weights, pad=1)
        turned = np.ascontiguousarray(weights[:, ::-1, ::-1])
        self.close(dx, np.einsum("npqrsk,krsc->npqc", windows(dy.astype("f8"), 3, 1, 1), turned), 1e-4)
        rook.conv("wgrad", x=x, y=dy, dweights=dw, dbias=db, pad=1)
        self.close(dw, np.einsum("npqrsc,npqk->krsc", windows(x.astype("f8"), 3, 1, 1), dy), 1e-4)
        self.close(db, dy.sum((0, 1, 2)), 1e-4)

    def test_prepared_operations_run_again_on_the_same_memory(self):
        x, y = normal(1, 4, 4, 3), poisoned(1, 2, 2, 3)
        pool = rook.prepare("maxpool_forward", geometry=(2, 2, 2, 2, 0), x=x, y=y)
        self.assertTrue(np.isnan(y).all())  # nothing has run yet
        for _ in range(2):
            x[...] = normal(1, 4, 4, 3)
            pool()
            self.close(y, x.reshape(1, 2, 2, 2, 2, 3).max((2, 4)), 0)
        weights, z = normal(5, 1, 1, 3), poisoned(1, 4, 4, 5)
        product = rook.prepare("conv", "fprop", x=x, y=z, weights=weights)
        before = weights.copy()
        weights[...] = 0  # they were packed
        x[...] = normal(1, 4, 4, 3)
        product()
        self.close(z, np.einsum("nhwc,kc->nhwk", x, before[:, 0, 0]), 1e-5)
        with self.assertRaisesRegex(rook.RookError, "no operation"):
            rook.prepare("maxpool", x=x)

    def test_bf16(self):
        x, y = normal(1, 3, 4, 8), np.zeros((1, 3, 4, 8), np.uint16)
        rook.copy_channels(src=x, dst=rook.view(y, "bf16"))
        self.close((y.astype(np.uint32) << 16).view("f4"), x, 0.02)

    def test_lists_of_structs(self):
        w, g, v = normal(20), normal(20), np.zeros(20, "f4")
        before = w.copy()
        segments = [{"begin": 0, "end": 12, "lr_scale": 1}, (12, 20, 0.5)]
        rook.sgd_update(weights=w, gradient=g, velocity=v, segments=segments, lr=0.5, momentum=0.9, gradient_scale=1)
        self.close(w, before - np.where(np.arange(20) < 12, 0.5, 0.25) * g, 1e-6)
        a, b, y = normal(1, 2, 3, 5), normal(1, 2, 3, 2), poisoned(1, 2, 3, 5)
        rook.shortcut_forward(inputs=[a, b], y=y)
        self.close(y, a + np.pad(b, ((0, 0),) * 3 + ((0, 3),)), 1e-6)

    def test_refusals(self):
        x = normal(1, 4, 4, 3)
        for fields in ({"x": x, "y": poisoned(1, 4, 5, 3)}, {"x": x, "y": x, "activation": "leeky"}, {"x": x, "z": x},
                       {"x": x, "y": x[:, ::2]}, {"x": x.astype("i4"), "y": x}, {}):
            with self.assertRaises(rook.RookError):
                rook.activation_forward(**fields)
        with self.assertRaises(rook.RookError):  # f8 where f4 is expected
            rook.fold_batchnorm(weights=np.zeros((2, 3)), k=2, count=3)


if __name__ == "__main__":
    unittest.main()
