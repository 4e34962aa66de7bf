#!/usr/bin/env python3
"""rook beside PyTorch on a CUDA GPU: yolov4-tiny at 416, inference and training steps, by batch.

    gpu_torch.py FILE [--rounds 2] [--seconds 240] [--device cuda]

Writes FILE after every part; parts that do not fit into the time are left out with a word. Before anything is timed,
both must give the same boxes in f32 (PyTorch on the CPU). PyTorch's modes: eager in f32, with TF32, in bf16 and f16,
channels_last, cuDNN choosing its fastest kernels; a CUDA graph of that; torch.compile(mode="max-autotune"), which makes
a graph as well. Compilation and warm-up are not timed. Within a round the contestants follow one another. --device cpu
tries the script where there is no GPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time

import common
import darknet
import vs_torch

ARCH, CLASSES = "yolov4-tiny", 12
PARTS = (("infer", 1), ("train", 64), ("infer", 64), ("train", 8), ("infer", 8))  # the most telling ones first
STEPS = {"infer": 200, "train": 50}
# "precision way"; of each list the last one needs the time, and has a process of its own.
MODES = {
    "infer": ("f32 eager", "tf32 eager", "bf16 eager", "f16 eager", "bf16 graph", "f16 graph", "bf16 compiled"),
    "train": ("f32 eager", "tf32 eager", "bf16 eager", "bf16 compiled"),
}
PRECISIONS = {"infer": ("bf16", "f16", "f32"), "train": ("bf16", "f32")}

# ---- in the process of a measurement --------------------------------------------------------------------------------


def start(device, precision):
    torch = vs_torch.start_torch()
    if device == "cuda":
        torch.set_default_device("cuda")
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch


def timed(torch, device, run, steps, batch):
    def whole():
        run()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(10):
        whole()
    return common.timing(vs_torch.seconds_of(whole, steps), batch)


def remember_grids():
    """Graphs cannot hold copies from the host: what decoding needs of a head's cells is made once."""
    import darknet_torch

    made, make = {}, darknet_torch.grid_of

    def grid(head, h, w):
        if (h, w) not in made:
            made[h, w] = make(head, h, w)
        return made[h, w]

    darknet_torch.grid_of = grid


def recorded(torch, run):
    """`run` as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def infer(device, cfg, weights, batch, steps, mode):
    precision, way = mode.split()
    torch = start(device, precision)
    from darknet_torch import Darknet, decode

    remember_grids()
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision, torch.float32)
    size = int(darknet.read_cfg(cfg)[0][1]["width"])
    net = Darknet(cfg, weights, folded=True).eval().to(dtype).to(memory_format=torch.channels_last)
    photos = torch.rand(batch, 3, size, size).to(dtype).contiguous(memory_format=torch.channels_last)

    def run():
        return decode(net(photos), net.heads, size)

    with torch.no_grad():
        run()
        if way == "compiled":
            run = torch.compile(run, mode="max-autotune")
        elif way == "graph":
            run = recorded(torch, run)
        return timed(torch, device, run, steps, batch)


def train(device, cfg, weights, batch, steps, mode):
    precision, way = mode.split()
    torch = start(device, precision)
    trainer = vs_torch.Trainer(torch, cfg, weights, f"{precision} nhwc", batch)
    trainer.device = device
    if device == "cuda":
        groups = [{key: group[key] for key in ("params", "weight_decay")} for group in trainer.optimizer.param_groups]
        trainer.optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    if way == "compiled":
        trainer.forward = torch.compile(trainer.model, mode="max-autotune")
    return timed(torch, device, trainer.step, steps, batch)


def worker_measure(device, what, cfg, weights, batch, steps, *modes):
    found = {}
    for mode in modes:
        try:
            found[mode] = {"infer": infer, "train": train}[what](device, cfg, weights, int(batch), int(steps), mode)
        except Exception as error:  # a mode that this PyTorch cannot do must not hide the others
            found[mode] = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
    return found


def worker_ceilings():
    """What the device does at best in bf16 products and in copies, of numbers at random."""
    torch = start("cuda", "bf16")
    a, b = (torch.randn(8192, 8192, dtype=torch.bfloat16) for _ in range(2))
    product = timed(torch, "cuda", lambda: a @ b, 50, 1)
    x = torch.randn(1 << 28)
    y = torch.empty_like(x)
    copy = timed(torch, "cuda", lambda: y.copy_(x), 50, 1)
    return {"bf16_tflops": 2 * 8192**3 / product["ms_median"] / 1e9, "copy_gb_s": 2 * x.nbytes / copy["ms_median"] / 1e6,
            "torch": torch.__version__, "torch_cudnn": str(torch.backends.cudnn.version())}


# ---- in the process that asks ---------------------------------------------------------------------------------------


class Late(Exception):
    pass


def ask(end, *arguments):
    """A worker's answer; Late when there is no time left for it."""
    left = end - time.monotonic()
    try:
        if left <= 0:
            raise Late
        done = subprocess.run([sys.executable, __file__, "worker", *map(str, arguments)], env=common.environment(),
                              capture_output=True, text=True, timeout=left)
    except subprocess.TimeoutExpired:
        raise Late from None
    if done.returncode != 0:
        raise RuntimeError(f"worker {arguments[0]}: exit status {done.returncode}\n{done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def rook(options, what, batch, precision):
    bench = {"infer": ("net",), "train": ("train", "--classes", str(CLASSES))}[what]
    return common.rook_bench(*bench, "--device", options.device, "--arch", ARCH, "--batch", str(batch), "--precision",
                            precision, "--repetitions", str(options.steps or STEPS[what]))


def keep(measured, name, figures):
    if "error" in figures:
        common.say(f"{name}: left out: {figures['error']}")
        return
    measured.setdefault(name, []).append({key: round(figures[key], 4) for key in common.FIGURES})
    common.say(f"{name:<24} {figures['ms_median']:9.3f} ms  {figures['images_per_s']:9.1f} photos/s")


def compared(measured, precisions):
    """rook in each precision over the rivals that compute in as few bits, or more."""
    found = []
    for precision in precisions:
        rivals = [n for n in measured if n.startswith("torch") and (precision != "f32" or n.split()[1] == "f32")]
        if f"rook {precision}" in measured:
            found.append(common.ratios(measured, f"rook {precision}", rivals))
    return [f for f in found if f]


def measure(options, what, batch, cfg, weights, end):
    precisions = [p for p in PRECISIONS[what] if options.device == "cuda" or p != "f16"]
    modes = [m for m in MODES[what] if options.device == "cuda" or m.split()[1] == "eager" and m.split()[0] in precisions]
    heavy = [m for m in modes if m.endswith("compiled")]
    measured = {}
    common.say(f"---- {what}, batch {batch}")
    try:
        for _ in range(options.rounds):
            for precision in precisions:
                keep(measured, f"rook {precision}", rook(options, what, batch, precision))
            for group in ([m for m in modes if m not in heavy], heavy):
                if group:
                    for mode, figures in ask(end, "measure", options.device, what, cfg, weights, batch,
                                             options.steps or STEPS[what], *group).items():
                        keep(measured, f"torch {mode}", figures)
    except Late:
        common.say(f"{what}, batch {batch}: no time for the rest")
    title = {"infer": "Inference", "train": f"Training step, {CLASSES} classes"}[what]
    return {"bench": what, "batch": batch, "title": f"{title}, {ARCH} at 416, batch {batch}, beside PyTorch", "measured": measured,
            "ratios": compared(measured, precisions)}


def main():
    workers = {"measure": worker_measure, "ceilings": worker_ceilings}
    if sys.argv[1:2] == ["worker"]:
        print(json.dumps(workers[sys.argv[2]](*sys.argv[3:])))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=240, help="after which nothing new is begun")
    parser.add_argument("--steps", type=int, help="timed runs of each")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--parts", help="like infer-1,train-64")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    parts = PARTS
    if options.parts:
        parts = [(p.split("-")[0], int(p.split("-")[1])) for p in options.parts.split(",")]
    result = {"arch": ARCH, "rounds": options.rounds, "parts": []}
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, vs_torch.ZOO / f"{ARCH}.cfg", CLASSES)
        result["agreement"] = vs_torch.gate(folder, cfg, weights, size)
        whole = darknet.prepare(tempfile.mkdtemp(dir=folder), vs_torch.ZOO / f"{ARCH}.cfg")
        if options.device == "cuda":
            result["ceilings"] = ask(end, "ceilings")
        for what, batch in parts:
            result["parts"].append(measure(options, what, batch, *((cfg, weights) if what == "train" else whole[:2]), end))
            common.put(options.file, json.dumps(result, indent=1))


if __name__ == "__main__":
    common.one_line_errors(main)
