#!/usr/bin/env python3
"""The process in which PyTorch is measured; bench/vs_torch.py starts it, as it does everything that needs torch.

    torch_worker.py worker train|infer|gate|first|version ARGUMENTS...     prints JSON
"""

import json
import sys
import time

import numpy as np

import agree
import common
import darknet

WARM_UP = 2
SCORE_TOLERANCE, BOX_TOLERANCE = 2e-5, 1e-4  # f32 sums in another order; a box over its size


def start_torch():
    import torch

    torch.set_num_threads(common.threads())
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    return torch


def compiled(torch, module):
    """Compiled at its first runs, which are not timed."""
    if not hasattr(torch, "compile"):
        raise RuntimeError(f"PyTorch {torch.__version__} has no torch.compile (2.0 has)")
    return torch.compile(module, mode="max-autotune")


def seconds_of(run, steps):
    for _ in range(WARM_UP):
        run()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def synthetic_batches(torch, size, batch, classes, count=4):
    """Noise and ten boxes a photo, of the sizes `rook bench train` has: lists of (photos, truths, photo of each truth,
    boxes by photo)."""
    random = np.random.default_rng(1)
    batches = []
    for _ in range(count):
        u = random.uniform(size=(batch, 10, 4)).astype("f4")
        boxes = np.concatenate([0.1 + 0.8 * u[..., :2], 0.03 + 0.1 * u[..., 2:3], 0.05 + 0.15 * u[..., 3:]], -1)
        kinds = random.integers(0, classes, (batch, 10, 1)).astype("f4")
        truths = torch.tensor(np.concatenate([kinds, boxes], -1).reshape(-1, 5))
        batches.append((torch.rand(batch, 3, size, size), truths, torch.arange(batch).repeat_interleave(10), torch.tensor(boxes)))
    return batches


class Trainer:
    """What `rook bench train` does in a step, but for the augmentation: the photos are ready here."""

    def __init__(self, torch, cfg, weights, mode, batch):
        from darknet_torch import Darknet, YoloLoss

        self.torch = torch
        precision, way = mode.split()
        self.half, self.device = precision == "bf16", "cpu"
        self.model = Darknet(cfg, weights).train()
        size, heads = int(darknet.read_cfg(cfg)[0][1]["width"]), self.model.heads
        format = torch.contiguous_format if way == "nchw" else torch.channels_last
        self.model.to(memory_format=format)
        self.batches = [(x.to(memory_format=format), *rest) for x, *rest in synthetic_batches(torch, size, batch, heads[0].classes)]
        self.loss = YoloLoss(heads, size)
        convs = [p for p in self.model.parameters() if p.dim() == 4]
        others = [p for p in self.model.parameters() if p.dim() != 4]
        groups = [{"params": convs, "weight_decay": 0.02}, {"params": others, "weight_decay": 0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, foreach=True)
        self.live = [v.detach() for v in [*self.model.parameters(), *self.model.buffers()] if v.is_floating_point()]
        self.average = [v.clone() for v in self.live]
        self.forward = compiled(torch, self.model) if way == "compiled" else self.model
        self.steps = 0

    def step(self):
        torch = self.torch
        photos, truths, photo, padded = self.batches[self.steps % len(self.batches)]
        self.steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            logits = self.forward(photos)
        loss = self.loss(logits, truths, photo, padded)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 20.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(self.average, 0.99)
            torch._foreach_add_(self.average, self.live, alpha=0.01)
        if not np.isfinite(loss.item()):
            raise RuntimeError("the loss is not finite")


def worker_train(cfg, weights, mode, batch, steps):
    trainer = Trainer(start_torch(), cfg, weights, mode, int(batch))
    return common.timing(seconds_of(trainer.step, int(steps)), int(batch))


def worker_infer(cfg, weights, mode, steps):
    torch = start_torch()
    from darknet_torch import Darknet, decode

    precision, way = mode.split()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    net = Darknet(cfg, weights, folded=True).eval()
    heads, size = net.heads, int(darknet.read_cfg(cfg)[0][1]["width"])
    layout = torch.contiguous_format if way == "nchw" else torch.channels_last
    net = net.to(dtype).to(memory_format=layout)
    photo = torch.rand(1, 3, size, size).to(dtype).contiguous(memory_format=layout)
    with torch.no_grad():
        if way in ("jit", "optimized"):
            net = torch.jit.freeze(torch.jit.trace(net, photo))
            if way == "optimized":
                net = torch.jit.optimize_for_inference(net)
        run = lambda: decode(net(photo), heads, size)
        return common.timing(seconds_of(compiled(torch, run) if way == "compiled" else run, int(steps)), 1)


def worker_gate(cfg, weights, png, pixels):
    """PyTorch's boxes beside rook's, in f32."""
    torch = start_torch()
    from darknet_torch import Darknet, decode

    image = np.load(pixels)
    x = torch.tensor(image.transpose(2, 0, 1)[None].astype("f4") / 255)
    found = {}
    for folded in (False, True):
        net = Darknet(cfg, weights, folded=folded).eval()
        with torch.no_grad():
            boxes, scores = (v[0].numpy() for v in decode(net(x), net.heads, len(image)))
        conf = agree.quiet_threshold(scores)
        which, kind = np.nonzero(scores > conf)
        theirs = np.column_stack([kind, scores[which, kind], agree.clipped(boxes[which], len(image))])
        ours = agree.rook_boxes(cfg, weights, png, conf)
        if len(ours) != len(theirs):
            common.die(f"outputs differ: {len(ours)} boxes of rook, {len(theirs)} of PyTorch above {conf}")
        found["folded" if folded else "with batch norm"] = agree.compare(theirs, ours, SCORE_TOLERANCE, BOX_TOLERANCE)
    return found


def worker_first(cfg, weights, pixels):
    """One photo from nothing, as a program would: eager, the quickest to start."""
    torch = start_torch()
    from darknet_torch import Darknet, decode

    image = np.load(pixels)
    net = Darknet(cfg, weights, folded=True).eval()
    with torch.no_grad():
        boxes, _ = decode(net(torch.tensor(image.transpose(2, 0, 1)[None].astype("f4") / 255)), net.heads, len(image))
    return {"boxes": boxes.shape[1]}


def worker_version():
    import torch

    return {"torch": torch.__version__}


def main():
    workers = {"train": worker_train, "infer": worker_infer, "gate": worker_gate, "first": worker_first, "version": worker_version}
    if sys.argv[1:2] != ["worker"]:
        common.die(f"is started by vs_torch.py; {__doc__.splitlines()[0]}")
    print(json.dumps(workers[sys.argv[2]](*sys.argv[3:])))


if __name__ == "__main__":
    common.one_line_errors(main)
