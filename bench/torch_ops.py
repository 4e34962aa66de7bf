#!/usr/bin/env python3
"""Single operations of rook and of PyTorch on the same tensors, in one process; `bench/vs_torch.py ops` starts it.

    torch_ops.py worker ops cpu|cuda f32|bf16 BATCH ROUNDS FILTER       prints JSON: a row for each of the two, per case

rook is called through bench/python/rook_ops.py on PyTorch's own memory (channels_last). Both must give the same result
before they are timed. A sample is as many runs as take 5 ms; samples of the two alternate. The tensors are the same in
every run: what fits into a cache is there.
"""

import json
import math
import pathlib
import statistics
import sys
import time

import numpy as np

import common
import darknet

sys.path.insert(0, str(common.ROOT / "bench" / "python"))
SAMPLE_SECONDS = 0.005
CLASSES, NET = 12, 416
# What sums of n terms may differ by, over the largest value: f32, and what is stored in bf16.
TOLERANCE = {"f32": 2e-5, "bf16": 1 / 64}
# c, k, side, size, stride, groups: of yolov4-tiny at 416 and of yolo-fastest-1.1-xl at 320.
CONVOLUTIONS = ((3, 32, 416, 3, 2, 1), (64, 64, 104, 3, 1, 1), (128, 128, 52, 3, 1, 1), (256, 256, 26, 3, 1, 1), (512, 512, 13, 3, 1, 1),
                (32, 64, 208, 3, 2, 1), (128, 128, 52, 1, 1, 1), (512, 256, 13, 1, 1, 1), (48, 48, 160, 3, 2, 48), (96, 96, 80, 3, 1, 96),
                (272, 272, 20, 3, 1, 272))


class Case:
    """`ours` and `theirs` compute the same; pairs() gives their results in turn, after one run of each."""

    def __init__(self, op, shape, ours, theirs, pairs, tolerance=1.0):
        self.op, self.shape, self.ours, self.theirs, self.pairs, self.tolerance = op, shape, ours, theirs, pairs, tolerance


class Cases:
    """Tensors are PyTorch's, [N,C,H,W] in channels_last."""

    def __init__(self, torch, rook, device, kind, batch):
        self.torch, self.rook, self.device, self.batch = torch, rook, device, batch
        self.dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[kind]

    def normal(self, c, h, w):
        x = self.torch.randn(self.batch, c, h, w, device=self.device).to(self.dtype)
        return x.contiguous(memory_format=self.torch.channels_last)

    def floats(self, *shape, low=-1.0, high=1.0):
        return self.torch.rand(*shape, device=self.device) * (high - low) + low

    def run(self, op, *arguments, **fields):
        return self.rook.prepare(op, *arguments, axes="nchw", **fields)

    def returned(self, op, shape, ours, out, theirs, tolerance=1.0):
        """PyTorch returns what rook writes to `out`."""
        return Case(op, shape, ours, theirs, lambda: [(out, theirs())], tolerance)

    # ---- convolution

    def convolutions(self):
        for c, k, side, size, stride, groups in CONVOLUTIONS:
            shape = f"{side}x{side}x{c} > {k}, {size}x{size}/{stride}" + (f", {groups} groups" if groups > 1 else "")
            pad, out = size // 2, (side + 2 * (size // 2) - size) // stride + 1
            x, y = self.normal(c, side, side), self.normal(k, out, out)
            weights = self.floats(k, c // groups, size, size).to(self.dtype)
            weights = weights.contiguous(memory_format=self.torch.channels_last)
            ours = weights.float().permute(0, 2, 3, 1).contiguous()
            common_fields = {"stride": stride, "pad": pad, "groups": groups}
            yield self.fprop(shape, x, y, weights, ours, common_fields)
            if c > 3:
                yield self.dgrad(shape, x, y, weights, ours, common_fields)
            yield self.wgrad(shape, x, y, weights, common_fields)

    def fprop(self, shape, x, y, weights, ours, fields):
        functional = self.torch.nn.functional
        bias, out = self.floats(len(weights)), self.torch.empty_like(y)
        theirs_bias = bias.to(self.dtype)

        def theirs():
            found = functional.conv2d(x, weights, theirs_bias, fields["stride"], fields["pad"], 1, fields["groups"])
            return functional.leaky_relu(found, 0.1, inplace=True)

        run = self.run("conv", "fprop", x=x, y=out, weights=ours, bias=bias, activation="leaky", **fields)
        return self.returned("conv fprop, bias, leaky", shape, run, out, theirs)

    def gradient(self, x, y, weights, fields, mask):
        stride, pad = [fields["stride"]] * 2, [fields["pad"]] * 2
        return self.torch.ops.aten.convolution_backward(y, x, weights, None, stride, pad, [1, 1], False, [0, 0], fields["groups"], mask)

    def dgrad(self, shape, x, y, weights, ours, fields):
        dx = self.torch.empty_like(x)
        run = self.run("conv", "dgrad", x=dx, y=y, weights=ours, **fields)
        return self.returned("conv dgrad", shape, run, dx, lambda: self.gradient(x, y, weights, fields, [True, False, False])[0])

    def wgrad(self, shape, x, y, weights, fields):
        k, c, r, s = weights.shape
        dweights = self.torch.zeros(k, r, s, c, device=self.device)
        run = self.run("conv", "wgrad", x=x, y=y, dweights=dweights, **fields)
        theirs = lambda: self.gradient(x, y, weights, fields, [False, True, False])[1]
        return Case("conv wgrad", shape, run, theirs, lambda: [(dweights.permute(0, 3, 1, 2), theirs())], 4)

    # ---- layers

    def batchnorm(self, c, side):
        torch, functional, shape = self.torch, self.torch.nn.functional, f"{side}x{side}x{c}"
        z, dy = self.normal(c, side, side), self.normal(c, side, side)
        gamma, beta = self.floats(c, low=0.5, high=1.5), self.floats(c)
        mean, inv_std, running_mean, running_var = (torch.zeros(c, device=self.device) for _ in range(4))
        theirs_mean, theirs_var = running_mean.clone(), running_var.clone()
        y, dz = torch.empty_like(z), torch.empty_like(z)
        forward = self.run("batchnorm_forward", z=z, y=y, gamma=gamma, beta=beta, mean=mean, inv_std=inv_std, running_mean=running_mean,
                           running_var=running_var, momentum=0.1, eps=1e-5, activation="leaky")

        def theirs(x=z, inplace=True):
            found = functional.batch_norm(x, theirs_mean, theirs_var, gamma, beta, True, 0.1, 1e-5)
            return functional.leaky_relu(found, 0.1, inplace=inplace)

        yield self.returned("batchnorm_forward, leaky", shape, forward, y, theirs)
        dgamma, dbeta = torch.zeros(c, device=self.device), torch.zeros(c, device=self.device)
        backward = self.run("batchnorm_backward", z=z, dy=dy, dz=dz, gamma=gamma, beta=beta, mean=mean, inv_std=inv_std, dgamma=dgamma,
                            dbeta=dbeta, activation="leaky")
        forward()
        leaf, gamma_leaf, beta_leaf = (v.detach().clone().requires_grad_() for v in (z, gamma, beta))
        before = functional.batch_norm(leaf, None, None, gamma_leaf, beta_leaf, True, 0.1, 1e-5)
        graph = functional.leaky_relu(before, 0.1)
        gradients = lambda: torch.autograd.grad(graph, (leaf, gamma_leaf, beta_leaf), dy, retain_graph=True)

        # At the kink of leaky rounding decides which slope it is: no gradient comes from there.
        dy *= before.detach().abs() > 1e-5 * before.detach().abs().max()
        yield Case("batchnorm_backward, leaky", shape, backward, gradients, lambda: list(zip((dz, dgamma, dbeta), gradients())), 8)

    def pools(self, c, side, size, stride, padding):
        torch, functional = self.torch, self.torch.nn.functional
        shape = f"{side}x{side}x{c}, {size}x{size}/{stride}"
        x, out = self.normal(c, side, side), (side + padding - size) // stride + 1
        y, dy, dx = self.normal(c, out, out), self.normal(c, out, out), torch.empty_like(x)
        taps = torch.zeros(self.batch, out, out, c, dtype=torch.int16, device=self.device)
        geometry = (size, size, stride, stride, padding)
        forward = self.run("maxpool_forward", geometry=geometry, x=x, y=y, taps=taps)
        how = ([size] * 2, [stride] * 2, [padding // 2] * 2)
        theirs = lambda: torch.ops.aten.max_pool2d_with_indices(x, *how)[0]
        yield self.returned("maxpool_forward", shape, forward, y, theirs, 0)
        indices = torch.ops.aten.max_pool2d_with_indices(x, *how)[1]
        forward()
        backward = self.run("maxpool_backward", geometry=geometry, dy=dy, dx=dx, taps=taps)
        gradient = lambda: torch.ops.aten.max_pool2d_with_indices_backward(dy, x, *how, [1, 1], False, indices)
        yield self.returned("maxpool_backward", shape, backward, dx, gradient)

    def elementwise(self, c, side):
        torch, functional, aten, shape = self.torch, self.torch.nn.functional, self.torch.ops.aten, f"{side}x{side}x{c}"
        x, dy, y, dx = (self.normal(c, side, side) for _ in range(4))
        for name, forward, backward in (
                ("leaky", lambda: functional.leaky_relu(x, 0.1), lambda: aten.leaky_relu_backward(dy, x, 0.1, False)),
                ("mish", lambda: functional.mish(x), lambda: aten.mish_backward(dy, x)),
                ("swish", lambda: functional.silu(x), lambda: aten.silu_backward(dy, x))):
            yield self.returned(f"activation_forward {name}", shape, self.run("activation_forward", x=x, y=y, activation=name), y, forward)
            yield self.returned(f"activation_backward {name}", shape, self.run("activation_backward", x=x, dy=dy, dx=dx, activation=name),
                                dx, backward)
        yield self.returned("shortcut_forward", shape, self.run("shortcut_forward", inputs=[x, dy], y=y), y, lambda: x + dy)
        yield self.returned("softmax_forward", shape, self.run("softmax_forward", x=x, y=y, groups=1, temperature=1.0), y,
                            lambda: torch.softmax(x, 1))
        wide, wide_dy = self.normal(c, 2 * side, 2 * side), self.normal(c, 2 * side, 2 * side)
        yield self.returned("upsample_forward", shape, self.run("upsample_forward", x=x, y=wide, stride=2, scale=1.0), wide,
                            lambda: functional.interpolate(x, scale_factor=2, mode="nearest"))
        yield self.returned("upsample_backward", shape, self.run("upsample_backward", dy=wide_dy, dx=dx, stride=2, scale=1.0), dx,
                            lambda: aten.upsample_nearest2d_backward(wide_dy, [2 * side] * 2, list(x.shape), 2.0, 2.0))

    # ---- training

    def optimizers(self, count=6_054_000):
        torch, shape = self.torch, f"{count / 1e6:.2f} M parameters"
        start, gradient = self.floats(count), self.floats(count)
        segment = np.zeros(1, [("begin", "<i8"), ("end", "<i8"), ("lr_scale", "<f4"), ("decay", "<f4"), ("layer", "<i4"), ("_", "<i4")])
        segment[0] = (0, count, 1, 0.02, 0, 0)
        segments = {"segments": torch.from_numpy(segment.view("u1")).to(self.device), "segment_count": 1, "gradient_scale": 1.0}
        for op, make, fields in (
                ("adamw_update", lambda w: torch.optim.AdamW([w], lr=1e-3, weight_decay=0.02, foreach=True),
                 {"m": torch.zeros_like(start), "v": torch.zeros_like(start), "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8,
                  "optimizer_step": 1}),
                ("sgd_update", lambda w: torch.optim.SGD([w], lr=1e-3, momentum=0.9, weight_decay=0.02, foreach=True),
                 {"velocity": torch.zeros_like(start), "lr": 1e-3, "momentum": 0.9})):
            mine, theirs = start.clone(), torch.nn.Parameter(start.clone())
            theirs.grad = gradient.clone()
            optimizer = make(theirs)
            yield Case(op, shape, self.run(op, weights=mine, gradient=gradient, **segments, **fields), optimizer.step,
                       lambda mine=mine, theirs=theirs, step=optimizer.step: [(mine, (step(), theirs.detach())[1])])
        mine, theirs = start.clone(), start.clone()
        average = lambda: theirs.lerp_(gradient, 0.01)
        yield Case("ema_update", shape, self.run("ema_update", average=mine, value=gradient, count=count, decay=0.99), average,
                   lambda: [(mine, average())])

    def loss(self):
        """The loss of a training step of yolov4-tiny and its gradient."""
        torch = self.torch
        from darknet_torch import Head, YoloLoss

        sections = darknet.read_cfg(common.ROOT / "model" / "zoo" / "yolov4-tiny.cfg")
        darknet.set_classes(sections, CLASSES)
        heads = [Head(options) for kind, options in sections if kind == "yolo"]
        sides = [NET // 32, NET // 16]
        logits = [self.torch.randn(self.batch, 3 * (5 + CLASSES), s, s, device=self.device).contiguous(memory_format=torch.channels_last)
                  for s in sides]
        dlogits = [torch.empty_like(v) for v in logits]
        truths, photo, padded, ours = self.truths()
        described = []
        for head, x, dx in zip(heads, logits, dlogits):
            spec = {"kind": "yolo", "classes": CLASSES, "anchors": 3, "anchor_w": [w for w, _ in head.table],
                    "anchor_h": [h for _, h in head.table], "total_anchors": len(head.table), "mask": head.mask, "scale_x_y": head.scale_x_y}
            params = {"ignore_thresh": 0.7, "truth_thresh": 1.0, "iou_thresh": 0.213, "iou_thresh_kind": "iou", "box_loss": "ciou",
                      "iou_normalizer": 5.0, "obj_normalizer": 1.0, "cls_normalizer": 1.0, "delta_normalizer": 1.0}
            described.append({"head": spec, "params": params, "logits": x, "dlogits": dx})
        parts = torch.zeros(3, 9, device=self.device)
        counts = torch.full((self.batch,), ours.shape[1], dtype=torch.int32, device=self.device)
        run = self.run("yolo_loss", heads=described, truths=ours, truth_counts=counts, max_truths=ours.shape[1], net_w=NET, net_h=NET,
                       gradient_scale=1.0, parts=parts)
        leaves = [v.detach().clone().requires_grad_() for v in logits]
        loss = YoloLoss(heads, NET)

        def theirs():
            value = loss(leaves, truths, photo, padded)
            return value, *torch.autograd.grad(value, leaves)

        def pairs():
            value, *gradients = theirs()
            return [(parts[0, :3].sum(), value.detach()), *zip(dlogits, gradients)]

        yield Case("yolo_loss", f"13x13 and 26x26, {CLASSES} classes", run, theirs, pairs, 10)

    def truths(self, count=10):
        """Ten boxes a photo, in cells of their own: as YoloLoss wants them, and as rook does."""
        random = np.random.default_rng(3)
        boxes = np.zeros((self.batch, count, 4), "f4")
        for n in range(self.batch):
            cells = random.permutation(13 * 13)[:count]
            boxes[n, :, 0] = (cells % 13 + random.uniform(0.1, 0.4, count)) / 13
            boxes[n, :, 1] = (cells // 13 + random.uniform(0.1, 0.4, count)) / 13
        boxes[..., 2:] = random.uniform(0.03, 0.3, boxes[..., 2:].shape)
        kinds = random.integers(0, CLASSES, (self.batch, count, 1))
        ours = np.concatenate([boxes, kinds.astype("<i4").view("<f4")], -1)  # rook_truth
        tensor = lambda values: self.torch.tensor(values, dtype=self.torch.float32, device=self.device)
        flat = np.concatenate([kinds, boxes], -1).reshape(-1, 5)
        photo = self.torch.arange(self.batch, device=self.device).repeat_interleave(count)
        return tensor(flat), photo, tensor(boxes), self.torch.from_numpy(np.ascontiguousarray(ours, "f4")).to(self.device)

    def all(self, wanted):
        """Cases; where `wanted` names a group of them, only those are made."""
        groups = [("conv", self.convolutions), ("batchnorm", lambda: self.batchnorm(64, 104)), ("pool", lambda: self.pools(512, 26, 2, 2, 0)),
                  ("pool", lambda: self.pools(512, 13, 5, 1, 4)), ("", lambda: self.elementwise(128, 52))]
        if self.dtype == self.torch.float32:
            groups.append(("yolo_loss", self.loss))
            if self.batch == 1:  # what is updated knows no batch
                groups.append(("update", self.optimizers))
        named = [group for group in groups if group[0] and group[0] in wanted]
        for _, make in named or groups:
            yield from make()


# ---- equal first, then timed ---------------------------------------------------------------------------------------------


def difference(torch, case, allowed):
    """The largest difference of the results over the largest value; dies when it is too large."""
    case.ours()
    worst = 0.0
    for ours, theirs in case.pairs():
        ours, theirs = ours.double(), theirs.double()
        found = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))
        if not found <= allowed * case.tolerance:  # also when it is NaN
            common.die(f"{case.op} {case.shape}: results differ by {found:.1e} of the largest value; nothing is timed that is not the same")
        worst = max(worst, found)
    return worst


def sampler(torch, device, run):
    """Measures once per call: seconds of one run, of as many as take SAMPLE_SECONDS."""
    def sample(runs):
        start = time.perf_counter()
        for _ in range(runs):
            run()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / runs

    sample(2)
    runs = max(1, math.ceil(SAMPLE_SECONDS / max(sample(1), 1e-7)))
    return lambda: sample(runs)


def rows_of(torch, device, kind, batch, rounds, case):
    agreement = difference(torch, case, TOLERANCE[kind])
    samplers = {"rook": sampler(torch, device, case.ours), "torch": sampler(torch, device, case.theirs)}
    seconds = {name: [] for name in samplers}
    for _ in range(rounds):
        for name, sample in samplers.items():
            seconds[name].append(sample())
    ratios = sorted(b / a for a, b in zip(seconds["rook"], seconds["torch"]))
    rows = []
    for name, found in seconds.items():
        ms = sorted(1e3 * s for s in found)
        row = {"op": case.op, "case": case.shape, "batch": batch, "type": kind, "row": name, "ms_median": statistics.median(ms), "ms_min": ms[0],
               "ms_max": ms[-1]}
        if name == "rook":
            row |= {"over_torch": statistics.median(ratios), "over_torch_min": ratios[0], "over_torch_max": ratios[-1], "difference": agreement}
        rows.append(row)
    return rows


def worker(device, kind, batch, rounds, wanted):
    import rook_ops
    import torch_worker

    torch = torch_worker.start_torch()
    load, rows = common.OtherLoad(), []
    for case in Cases(torch, rook_ops, device, kind, int(batch)).all(wanted):
        if wanted not in f"{case.op} {case.shape}":
            continue
        try:
            rows += rows_of(torch, device, kind, int(batch), int(rounds), case)
        except RuntimeError as error:
            if "not implemented for" not in str(error):  # PyTorch has some operations in f32 alone
                raise
            common.say(f"{kind} batch {batch}  {case.op} {case.shape} is left out: {error}")
            continue
        ours, theirs = rows[-2:]
        common.say(f"{kind} batch {batch}  {case.op:<26} {case.shape:<34} rook {ours['ms_median']:9.3f} ms  torch {theirs['ms_median']:9.3f} ms"
                   f"  {ours['over_torch']:5.2f}x")
    return {"rows": rows, "other_load_percent": load.percent()}


if __name__ == "__main__":
    if sys.argv[1:3] != ["worker", "ops"]:
        common.die(f"is started by vs_torch.py ops; {__doc__.splitlines()[0]}")
    print(json.dumps(worker(*sys.argv[3:])))
