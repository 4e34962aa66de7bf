"""A darknet network as an ONNX file, batch norm folded. Standard library and numpy only.

ONNX is a protobuf (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); what is needed of the encoding is a page:
each field is a varint of (number << 3 | kind), then a varint (kind 0), four bytes (5) or a length and bytes (2).
"""

import pathlib
import struct

import numpy as np

import darknet

IR_VERSION, OPSET = 8, 13
FLOAT, INT64 = 1, 7  # TensorProto.DataType
A_FLOAT, A_INT, A_STRING, A_INTS = 1, 2, 3, 7  # AttributeProto.AttributeType


def varint(value):
    value &= (1 << 64) - 1  # negative numbers are their two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    data = value if isinstance(value, bytes) else value.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def attribute(name, value):
    if isinstance(value, float):
        body = varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, A_FLOAT)
    elif isinstance(value, int):
        body = number(3, value) + number(20, A_INT)
    elif isinstance(value, str):
        body = text(4, value) + number(20, A_STRING)
    else:
        body = b"".join(number(8, v) for v in value) + number(20, A_INTS)
    return text(5, text(1, name) + body)


def node(kind, inputs, output, **attributes):
    return text(1, b"".join(text(1, i) for i in inputs) + text(2, output) + text(3, output) + text(4, kind) +
                b"".join(attribute(k, v) for k, v in attributes.items()))


def tensor(name, values):
    kind = FLOAT if values.dtype == np.float32 else INT64
    dims = b"".join(number(1, d) for d in values.shape)
    return text(5, dims + number(2, kind) + text(8, name) + text(9, np.ascontiguousarray(values).tobytes()))


def value_info(field, name, shape):
    dims = b"".join(text(1, number(1, d)) for d in shape)
    return text(field, text(1, name) + text(2, text(1, number(1, FLOAT) + text(2, dims))))


class Writer:
    def __init__(self):
        self.nodes, self.tensors = [], []

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(node(kind, inputs, output, **attributes))
        return output

    def constant(self, name, values):
        self.tensors.append(tensor(name, values))
        return name

    def activation(self, name, x):
        if name == "linear":
            return x
        if name == "leaky":
            return self.add("LeakyRelu", [x], f"{x}.act", alpha=0.1)
        raise ValueError(f"activation={name}: not known here")


def add_convolution(w, i, options, values, x):
    weights, bias = darknet.fold(values)
    size = weights.shape[2]
    pad = size // 2 if options.get("pad", "0") != "0" else int(options.get("padding", 0))
    inputs = [x, w.constant(f"w{i}", weights.astype("f4")), w.constant(f"b{i}", bias.astype("f4"))]
    stride = int(options.get("stride", 1))
    y = w.add("Conv", inputs, f"conv{i}", kernel_shape=[size, size], strides=[stride] * 2, pads=[pad] * 4,
              group=int(options.get("groups", 1)))
    return w.activation(options["activation"], y)


def add_layer(w, i, kind, options, values, outputs):
    """The name of a layer's output; None for a head."""
    x = outputs[-1]
    if kind == "convolutional":
        return add_convolution(w, i, options, values, x)
    if kind == "maxpool":
        stride = int(options.get("stride", 1))
        size = int(options.get("size", stride))
        before = (size - 1) // 2  # darknet: size - 1 in all, the smaller half first
        pads = [before] * 2 + [size - 1 - before] * 2
        return w.add("MaxPool", [x], f"pool{i}", kernel_shape=[size, size], strides=[stride] * 2, pads=pads)
    if kind == "upsample":
        scale = float(options.get("stride", 2))
        scales = w.constant(f"scales{i}", np.array([1, 1, scale, scale], "f4"))
        return w.add("Resize", [x, "", scales], f"up{i}", mode="nearest", coordinate_transformation_mode="asymmetric",
                     nearest_mode="floor")
    if kind == "route":
        parts = [outputs[1 + j] for j in darknet.absolute(options["layers"], i)]
        groups, group = int(options.get("groups", 1)), int(options.get("group_id", 0))
        if groups > 1:
            parts = [group_of(w, f"{i}_{k}", part, w.channels[part], groups, group) for k, part in enumerate(parts)]
        return parts[0] if len(parts) == 1 else w.add("Concat", parts, f"cat{i}", axis=1)
    if kind == "shortcut":
        for j in darknet.absolute(options["from"], i):
            x = w.add("Add", [x, outputs[1 + j]], f"sum{i}_{j}")
        return w.activation(options.get("activation", "linear"), x)
    if kind == "dropout":
        return x
    raise ValueError(f"[{kind}]: not known here")


def group_of(w, name, x, channels, groups, group):
    each = channels // groups
    limits = [w.constant(f"{key}{name}", np.array([v], "i8")) for key, v in
              (("from", group * each), ("to", (group + 1) * each), ("axis", 1))]
    return w.add("Slice", [x, *limits], f"part{name}")


def channels_after(kind, options, before, x_channels):
    if kind == "convolutional":
        return int(options["filters"])
    if kind == "route":
        return sum(before) // int(options.get("groups", 1))
    return x_channels


def write(file, cfg, weights, batch=1):
    """Input "x" [batch, 3, H, W] in 0..1; outputs "head0", ...: the logits of each head, [batch, anchors * entries, h, w]."""
    sections = darknet.read_cfg(cfg)
    values = darknet.read_weights(weights, sections)
    net = sections[0][1]
    width, height = int(net["width"]), int(net["height"])
    w, outputs, heads = Writer(), ["x"], []
    w.channels = {"x": 3}
    for i, (kind, options) in enumerate(sections[1:]):
        if kind == "yolo":
            logits = w.add("Identity", [outputs[-1]], f"head{len(heads)}")
            heads.append((logits, w.channels[outputs[-1]]))
            outputs.append(outputs[-1])
            continue
        before = [w.channels[outputs[1 + j]] for j in darknet.absolute(options["layers"], i)] if kind == "route" else []
        y = add_layer(w, i, kind, options, values.get(i), outputs)
        w.channels[y] = channels_after(kind, options, before, w.channels[outputs[-1]])
        outputs.append(y)
    sides = [stride_of_head(sections, h) for h in range(len(heads))]
    graph = b"".join(w.nodes) + text(2, pathlib.Path(cfg).stem) + b"".join(w.tensors) + value_info(11, "x", [batch, 3, height, width])
    for (name, channels), stride in zip(heads, sides):
        graph += value_info(12, name, [batch, channels, height // stride, width // stride])
    opset = text(8, text(1, "") + number(2, OPSET))
    pathlib.Path(file).write_bytes(number(1, IR_VERSION) + text(2, "rook") + text(7, graph) + opset)


def stride_of_head(sections, head):
    """Pixels of the input per cell of a head: the product of the strides on the way to it."""
    scale, at, seen = [1.0], [], -1
    for i, (kind, options) in enumerate(sections[1:]):
        s = scale[-1]
        if kind in ("convolutional", "maxpool"):
            s *= int(options.get("stride", 1))
        elif kind == "upsample":
            s /= int(options.get("stride", 2))
        elif kind == "route":
            s = scale[1 + darknet.absolute(options["layers"], i)[0]]
        scale.append(s)
        if kind == "yolo":
            seen += 1
            at.append(int(s))
    return at[head]
