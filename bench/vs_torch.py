#!/usr/bin/env python3
"""rook beside PyTorch on the CPU: training, inference, memory.

    vs_torch.py train [--batch 8] [--classes 12]     whole training steps of yolov4-tiny at 416
    vs_torch.py infer [--arch yolov4-tiny ...]       one photo: forward and decoding
    vs_torch.py memory [--batch 16]                  peak memory of a whole training process

Before anything is timed, both must give the same boxes for the same picture and random weights. bench/README.md says
what is compared with what. Every measurement is a process of its own; the program of rook is $ROOK.
"""

import json
import pathlib
import sys
import tempfile
import time

import numpy as np

import common
import darknet

ZOO = common.ROOT / "model" / "zoo"
WARM_UP = 2
SCORE_TOLERANCE, BOX_TOLERANCE = 2e-5, 1e-4  # f32 sums in another order; a box over its size

# Name: (precision and way, kernels as PyTorch chooses them). PyTorch 1.13 takes its AVX2 kernels on AVX-512 machines unless
# told otherwise; it is told, and one mode is left as it is to show the difference.
TRAIN_MODES = {
    "torch f32": ("f32 nchw", False),
    "torch f32 channels_last": ("f32 nhwc", False),
    "torch bf16 autocast channels_last": ("bf16 nhwc", False),
    "torch bf16 autocast channels_last, default kernels": ("bf16 nhwc", True),
}
INFER_MODES = {
    "torch f32": ("f32 nchw", False),
    "torch f32 channels_last": ("f32 nhwc", False),
    "torch f32 traced, frozen": ("f32 jit", False),
    "torch f32 traced, optimize_for_inference": ("f32 optimized", False),
    "torch bf16 channels_last": ("bf16 nhwc", False),
    "torch bf16 traced, frozen": ("bf16 jit", False),
    "torch bf16 channels_last, default kernels": ("bf16 nhwc", True),
}


def kernels(default):
    """Environment of a mode: the widest vectors PyTorch has for this processor, or what it chooses itself."""
    wide = "avx512vl" in pathlib.Path("/proc/cpuinfo").read_text()
    return {"ATEN_CPU_CAPABILITY": "avx512"} if wide and not default else {}


# ---- in the process of a measurement: the only code that needs torch --------------------------------------------------


def start_torch():
    import torch

    torch.set_num_threads(common.threads())
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    return torch


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
        precision, layout = mode.split()
        self.half, self.device = precision == "bf16", "cpu"
        self.model = Darknet(cfg, weights).train()
        size, heads = int(darknet.read_cfg(cfg)[0][1]["width"]), self.model.heads
        format = torch.channels_last if layout == "nhwc" else torch.contiguous_format
        self.model.to(memory_format=format)
        self.batches = [(x.to(memory_format=format), *rest) for x, *rest in synthetic_batches(torch, size, batch, heads[0].classes)]
        self.loss = YoloLoss(heads, size)
        convs = [p for p in self.model.parameters() if p.dim() == 4]
        others = [p for p in self.model.parameters() if p.dim() != 4]
        groups = [{"params": convs, "weight_decay": 0.02}, {"params": others, "weight_decay": 0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, foreach=True)
        self.live = [v.detach() for v in [*self.model.parameters(), *self.model.buffers()] if v.is_floating_point()]
        self.average = [v.clone() for v in self.live]
        self.steps = 0

    def step(self):
        torch = self.torch
        photos, truths, photo, padded = self.batches[self.steps % len(self.batches)]
        self.steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            logits = self.model(photos)
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
    torch = start_torch()
    trainer = Trainer(torch, cfg, weights, mode, int(batch))
    seconds = seconds_of(trainer.step, int(steps))
    return common.timing(seconds, int(batch))


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
        return common.timing(seconds_of(lambda: decode(net(photo), heads, size), int(steps)), 1)


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
        conf = common.quiet_threshold(scores)
        which, kind = np.nonzero(scores > conf)
        theirs = np.column_stack([kind, scores[which, kind], common.clipped(boxes[which], len(image))])
        ours = common.rook_boxes(cfg, weights, png, conf)
        if len(ours) != len(theirs):
            common.die(f"outputs differ: {len(ours)} boxes of rook, {len(theirs)} of PyTorch above {conf}")
        found["folded" if folded else "with batch norm"] = common.compare(theirs, ours, SCORE_TOLERANCE, BOX_TOLERANCE)
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


# ---- in the process that asks -----------------------------------------------------------------------------------------


def ask(*arguments, **env):
    return common.worker(__file__, arguments, **env)


def gate(folder, cfg, weights, size):
    png, pixels = common.gate_picture(folder, size)
    found = ask("gate", cfg, weights, png, pixels)
    for how, agreement in found.items():
        common.say(f"agreement ({how}): {agreement['boxes']} boxes, score within {agreement['score_difference']:.1e}, "
                   f"box within {agreement['box_difference']:.1e} of its size")
    return found


def train(options):
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, ZOO / f"{options.arch}.cfg", options.classes)
        agreement = gate(folder, cfg, weights, size)

        def rook(precision):
            return lambda: common.rook_bench("train", "--arch", options.arch, "--batch", str(options.batch), "--classes",
                                            str(options.classes), "--precision", precision, "--repetitions", str(options.steps))

        def torch(mode, default):
            return lambda: ask("train", cfg, weights, mode, options.batch, options.steps, **kernels(default))

        modes = TRAIN_MODES
        contestants = {"rook bf16": rook("bf16"), "rook f32": rook("f32")}
        contestants |= {name: torch(*mode) for name, mode in modes.items()}
        measured = common.in_turn(contestants, options.rounds)
    found = [common.ratios(measured, "rook bf16", list(modes)),
             common.ratios(measured, "rook f32", [name for name in modes if " f32" in name])]
    result = {"bench": "train", "arch": options.arch, "size": size, "batch": options.batch, "classes": options.classes, "steps": options.steps,
              "agreement": agreement, "measured": measured, "ratios": found}
    return result, f"Training step, {options.arch} at {size}, batch {options.batch}, {options.classes} classes"


def infer(options):
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, ZOO / f"{options.arch}.cfg")
        agreement = gate(folder, cfg, weights, size)

        def rook(precision):
            return lambda: common.rook_bench("net", "--arch", options.arch, "--batch", "1", "--precision", precision,
                                            "--repetitions", str(options.steps))

        def torch(mode, default):
            return lambda: ask("infer", cfg, weights, mode, options.steps, **kernels(default))

        modes = INFER_MODES
        contestants = {"rook bf16": rook("bf16"), "rook f32": rook("f32")}
        contestants |= {name: torch(*mode) for name, mode in modes.items()}
        measured = common.in_turn(contestants, options.rounds)
        started = common.starts(cfg, weights, f"{folder}/picture.png",
                                {"torch f32": lambda: ask("first", cfg, weights, f"{folder}/picture.npy")})
    found = [common.ratios(measured, "rook bf16", list(modes)),
             common.ratios(measured, "rook f32", [name for name in modes if " f32" in name])]
    result = {"bench": "infer", "arch": options.arch, "size": size, "batch": 1, "steps": options.steps, "agreement": agreement,
              "measured": measured, "ratios": found}
    return result, f"Inference, {options.arch} at {size}, one photo"


def memory(options):
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, ZOO / f"{options.arch}.cfg", options.classes)
        peaks = {}
        for precision in ("bf16", "f32"):
            peaks[f"rook {precision}"] = common.rook_bench("train", "--arch", options.arch, "--batch", str(options.batch), "--classes",
                                                          str(options.classes), "--precision", precision, "--repetitions", "1")["peak_mb"]
            common.say(f"rook {precision}: {peaks[f'rook {precision}']:.0f} MB")
        for name, (mode, default) in TRAIN_MODES.items():
            peaks[name] = ask("train", cfg, weights, mode, options.batch, 1, **kernels(default))["peak_mb"]
            common.say(f"{name}: {peaks[name]:.0f} MB")
    result = {"bench": "memory", "arch": options.arch, "size": size, "batch": options.batch, "classes": options.classes,
              "peak_mb": {name: round(peak, 1) for name, peak in peaks.items()}}
    return result, f"Peak memory of a training process, {options.arch} at {size}, batch {options.batch}"


def print_result(result, title):
    if "peak_mb" in result:
        peaks = result["peak_mb"]
        common.print_table(title, ["", "MB", "over rook bf16"], [[n, f"{p:.0f}", f"{p / peaks['rook bf16']:.2f}x"] for n, p in peaks.items()])
    else:
        common.print_table(title, common.SPEED_HEADER, common.speed_rows(result["measured"]))
        common.ratio_lines(result["ratios"])
        if "start_s" in result:
            common.print_table("Memory and start", common.MEMORY_HEADER, common.memory_rows(result["measured"], result["start_s"]))
    common.caption(result)


def main():
    workers = {"train": worker_train, "infer": worker_infer, "gate": worker_gate, "first": worker_first, "version": worker_version}
    if sys.argv[1:2] == ["worker"]:
        print(json.dumps(workers[sys.argv[2]](*sys.argv[3:])))
        return
    parser = common.arguments(__doc__.splitlines()[0], steps=None)
    parser.add_argument("what", choices=["train", "infer", "memory"])
    parser.add_argument("--arch", default="yolov4-tiny", help="one of model/zoo")
    parser.add_argument("--batch", type=int, default=None, help="photos in a training step (8; memory: 16)")
    parser.add_argument("--classes", type=int, default=12, help="classes when training")
    options = parser.parse_args()
    options.steps = options.steps or (30 if options.what == "infer" else 10)
    options.batch = options.batch or (16 if options.what == "memory" else 8)
    heading = common.heading(**ask("version"))
    result, title = {"train": train, "infer": infer, "memory": memory}[options.what](options)
    result = heading | result
    common.save(f"torch-{options.what}-{options.arch}", result)
    print_result(result, title)


if __name__ == "__main__":
    common.one_line_errors(main)
