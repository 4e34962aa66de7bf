"""darknet's cfg and weights files, as far as the comparisons need them. numpy only.

The rival frameworks read the very files that rook reads: its cfg, with the number of classes set, and weights that are
drawn at random here (timing does not depend on their values, and no download is needed).
"""

import pathlib
import struct

import numpy as np


def read_cfg(file):
    """[(section name, {key: text})] in order; [net] first."""
    sections = []
    for line in pathlib.Path(file).read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            sections.append((line.strip("[]"), {}))
        else:
            key, value = line.split("=", 1)
            sections[-1][1][key.strip()] = value.strip()
    return sections


def set_classes(sections, classes):
    """The heads, and the convolutions before them, for another number of classes."""
    for i, (kind, options) in enumerate(sections):
        if kind == "yolo":
            options["classes"] = str(classes)
            sections[i - 1][1]["filters"] = str((5 + classes) * len(options["mask"].split(",")))


def write_cfg(file, sections):
    text = "".join(f"[{kind}]\n" + "".join(f"{k}={v}\n" for k, v in options.items()) + "\n" for kind, options in sections)
    pathlib.Path(file).write_text(text)


def integers(text):
    return [int(part) for part in text.split(",")]


def absolute(references, layer):
    """Layer numbers of a route or shortcut, which may be relative."""
    return [r if r >= 0 else layer + r for r in integers(references)]


def convolutions(sections):
    """{layer: shape of its weights [filters, input channels / groups, size, size]}; layers count from 0 after [net]."""
    channels, shapes = [], {}
    before = int(sections[0][1].get("channels", 3))
    for i, (kind, options) in enumerate(sections[1:]):
        if kind == "convolutional":
            size = int(options.get("size", 1))
            shapes[i] = (int(options["filters"]), before // int(options.get("groups", 1)), size, size)
            before = shapes[i][0]
        elif kind == "route":
            groups = int(options.get("groups", 1))
            before = sum(channels[r] // groups for r in absolute(options["layers"], i))
        channels.append(before)
    return shapes


def has_batchnorm(options):
    return options.get("batch_normalize", "0") != "0"


def random_weights(sections, seed=1):
    """{layer: {"bias", "scale", "mean", "var", "weights"}} that keep the variance of activations near 1 (He et al. 2015;
    a branch that is added to its input is scaled down)."""
    random = np.random.default_rng(seed)
    layers = sections[1:]
    arrays = {}
    for i, shape in convolutions(sections).items():
        options = layers[i][1]
        filters, fan_in = shape[0], shape[1] * shape[2] * shape[3]
        gain = 2.0 if options.get("activation") == "leaky" else 1.0
        arrays[i] = {"bias": random.normal(0, 0.1, filters), "weights": random.normal(0, np.sqrt(gain / fan_in), shape)}
        if has_batchnorm(options):
            follows = [kind for kind, _ in layers[i + 1:i + 3]]
            added = follows[:1] == ["shortcut"] or follows == ["dropout", "shortcut"]
            arrays[i]["scale"] = random.uniform(0.8, 1.2, filters) * (0.3 if added else 1.0)
            arrays[i]["mean"] = random.normal(0, 0.1, filters)
            arrays[i]["var"] = random.uniform(0.7, 1.3, filters)
        arrays[i] = {name: values.astype("<f4") for name, values in arrays[i].items()}
    return arrays


ORDER = ("bias", "scale", "mean", "var", "weights")  # in the file, of one convolution


def write_weights(file, arrays):
    with open(file, "wb") as out:
        out.write(struct.pack("<iiiQ", 0, 2, 5, 0))
        for layer in sorted(arrays):
            for name in ORDER:
                if name in arrays[layer]:
                    out.write(arrays[layer][name].tobytes())


def read_weights(file, sections):
    """The file must hold exactly what the cfg describes."""
    data = pathlib.Path(file).read_bytes()
    major, minor, _ = struct.unpack("<iii", data[:12])
    values = np.frombuffer(data, "<f4", offset=20 if major * 10 + minor >= 2 else 16)
    arrays, at = {}, 0
    for i, shape in convolutions(sections).items():
        arrays[i] = {}
        for name in ORDER if has_batchnorm(sections[1:][i][1]) else ("bias", "weights"):
            count = int(np.prod(shape)) if name == "weights" else shape[0]
            if at + count > len(values):
                raise ValueError(f"{file}: ends before {name} of layer {i}")
            arrays[i][name] = values[at:at + count].reshape(shape if name == "weights" else (shape[0],))
            at += count
    if at != len(values):
        raise ValueError(f"{file}: holds {len(values) - at} numbers more than the cfg describes")
    return arrays


def fold(values):
    """Weights and bias of a convolution with its batch norm folded in."""
    if "scale" not in values:
        return values["weights"], values["bias"]
    factor = values["scale"].astype("f8") / (values["var"].astype("f8") + 1e-5) ** 0.5
    return values["weights"] * factor[:, None, None, None], values["bias"] - factor * values["mean"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def decode(logits, sections, size):
    """Outputs [1, anchors * entries, h, w] of all heads, in double: relative centre boxes [M, 4], objectness times class
    [M, classes]."""
    boxes, scores = [], []
    for raw, options in zip(logits, (o for kind, o in sections if kind == "yolo")):
        table = np.array([float(v) for v in options["anchors"].split(",")]).reshape(-1, 2)
        anchors = table[integers(options["mask"])]
        h, w = raw.shape[2:]
        t = raw.astype("f8").reshape(len(anchors), -1, h, w).transpose(0, 2, 3, 1)
        s = float(options.get("scale_x_y", 1))
        x = (sigmoid(t[..., 0]) * s - (s - 1) / 2 + np.arange(w)) / w
        y = (sigmoid(t[..., 1]) * s - (s - 1) / 2 + np.arange(h)[:, None]) / h
        sizes = np.exp(t[..., 2:4]) * anchors[:, None, None] / size
        boxes.append(np.concatenate([np.stack([x, y], -1), sizes], -1).reshape(-1, 4))
        scores.append((sigmoid(t[..., 4:5]) * sigmoid(t[..., 5:])).reshape(-1, int(options["classes"])))
    return np.concatenate(boxes), np.concatenate(scores)


def prepare(folder, cfg, classes=None, seed=1):
    """Writes NAME.cfg and NAME.weights into the folder: (cfg file, weights file, side of the input)."""
    sections = read_cfg(cfg)
    if classes:
        set_classes(sections, classes)
    name = pathlib.Path(cfg).stem
    cfg_file, weights_file = pathlib.Path(folder) / f"{name}.cfg", pathlib.Path(folder) / f"{name}.weights"
    write_cfg(cfg_file, sections)
    write_weights(weights_file, random_weights(sections, seed))
    return cfg_file, weights_file, int(sections[0][1]["width"])
