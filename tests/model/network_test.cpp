// From cfg to network: counts of the well-known ones (darknet.md 12), what heads say, and what is refused.
#include "model/network.h"

#include <fmt/format.h>

#include <set>
#include <sstream>

#include "base/error.h"
#include "io/cfg_schema.h"
#include "model/layers/layers.h"
#include "model/zoo.h"
#include "tests/errors.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

struct Known {
  const char* file;
  int layers, convolutions;
  std::int64_t params, floats;                        // trainable; with running mean and variance
  double gflops_416, gflops_608 = 0, gflops_640 = 0;  // as darknet prints them, 3 digits
};

// darknet.md 12, computed there from the cfgs by a parser of its own.
constexpr Known kKnown[] = {
    {"yolov2", 32, 23, 50962889, 50983561, 29.475, 62.961, 69.763},
    {"yolov2-tiny", 16, 9, 11232057, 11237145, 5.412, 11.561, 12.810},
    {"yolov2-tiny-voc", 16, 9, 15861773, 15867885, 6.977, 14.903},
    {"yolov3", 107, 75, 61949149, 62001757, 65.879, 140.723, 155.926},
    {"yolov3-tiny", 24, 13, 8852366, 8858734, 5.571, 11.899, 13.185},
    {"yolov3-spp", 114, 76, 62998749, 63052381, 66.257, 141.531, 156.821},
    {"yolov4", 162, 110, 64363101, 64429405, 60.137, 128.459, 142.337},
    {"yolov4-tiny", 38, 21, 6056606, 6062814, 6.910, 14.761, 16.356},
    {"yolov4-tiny-3l", 45, 24, 6327453, 6334045, 8.305, 17.741, 19.657},
    {"yolov4-csp", 175, 115, 52921437, 52986205, 50.834, 108.586, 120.317},
    {"yolov7-tiny", 99, 58, 6227101, 6241885, 5.802, 12.393, 13.732},
    {"yolov7", 143, 92, 36928413, 36974557, 44.185, 94.384, 104.580},
    {"enet-coco", 146, 88, 4770414, 4808270, 3.731, 7.969, 8.830},
    {"yolo-fastest-1.1-coco", 131, 84, 332798, 346062, 0.426},
};

std::unique_ptr<Network> at_size(io::Cfg cfg, int size) {
  cfg.sections[0].set("width", std::to_string(size));
  cfg.sections[0].set("height", std::to_string(size));
  return build_network(cfg);
}

// Parameters that are trained, and all that are stored; without the memory for them.
std::pair<std::int64_t, std::int64_t> counted(const Network& network) {
  std::int64_t trainable = 0, all = 0;
  for (const Node& node : network.graph.nodes())
    for (const ParamSpec& spec : node.op ? node.op->params() : std::vector<ParamSpec>()) {
      all += spec.count();
      trainable += spec.trainable() ? spec.count() : 0;
    }
  return {trainable, all};
}

// The message of building a network, or "".
std::string error_of_layers(std::string_view layers, const char* net = "width=16 height=12 channels=3") {
  const std::string error = error_of([&] { (void)build_network(tiny_cfg(layers, net)); });
  CHECK_MESSAGE(error.find('\n') == std::string::npos, error);
  return error;
}

std::vector<int> head_sizes(const Network& network) {
  std::vector<int> sizes;
  for (const Head& head : network.heads)
    sizes.push_back(network.graph.nodes()[static_cast<std::size_t>(head.source)].output.h);
  return sizes;
}

}  // namespace

TEST_CASE("network: layers, parameters and operations of the well-known ones") {
  const auto folder = assets("counts of darknet's networks");
  if (folder.empty()) return;
  for (const Known& known : kKnown) {
    CAPTURE(known.file);
    const io::Cfg cfg = io::read_cfg(folder / "cfg" / (std::string(known.file) + ".cfg"));
    const auto network = at_size(cfg, 416);
    CHECK(network->graph.size() == known.layers);
    int convolutions = 0;
    for (const Node& node : network->graph.nodes()) convolutions += node.op && node.op->kind() == "convolutional";
    CHECK(convolutions == known.convolutions);
    const auto [trainable, all] = counted(*network);
    CHECK(trainable == known.params);
    CHECK(all == known.floats);
    // Convolutions at 2 per multiply-add, one per element and window place of pools, one per element of shortcuts; the
    // others, scale_channels among them, are not counted.
    CHECK(std::abs(network->graph.flops() / 1e9 - known.gflops_416) <= 0.00051);
    if (known.gflops_608 > 0) CHECK(std::abs(at_size(cfg, 608)->graph.flops() / 1e9 - known.gflops_608) <= 0.00051);
    if (known.gflops_640 > 0) CHECK(std::abs(at_size(cfg, 640)->graph.flops() / 1e9 - known.gflops_640) <= 0.00051);
  }
  const io::Cfg xl = io::read_cfg(folder / "cfg/yolo-fastest-1.1-xl-coco.cfg");
  const io::Cfg fastest = io::read_cfg(folder / "cfg/yolo-fastest-1.1-coco.cfg");
  CHECK(std::abs(at_size(xl, 320)->graph.flops() / 1e9 - 0.725) <= 0.00051);
  CHECK(std::abs(at_size(fastest, 320)->graph.flops() / 1e9 - 0.252) <= 0.00051);
  CHECK(counted(*build_network(xl)) == std::pair<std::int64_t, std::int64_t>{898686, 923486});
}

TEST_CASE("network: every cfg at hand and every one of ours builds") {
  int built = 0;
  for (const ZooEntry& entry : zoo()) {
    CAPTURE(std::string(entry.name));
    const auto network = build_network(find_cfg(std::string(entry.name)));
    CHECK(network->classes() > 0);
    ++built;
  }
  CHECK(built >= 4);
  const auto folder = assets("darknet's cfgs");
  if (folder.empty()) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "cfg")) {
    if (entry.path().extension() != ".cfg") continue;
    CAPTURE(entry.path().string());
    std::unique_ptr<Network> network;
    REQUIRE_NOTHROW(network = build_network(io::read_cfg(entry.path())));
    CHECK(network->heads.size() >= 1);
    ++built;
  }
  CHECK(built >= 24);
  const auto cfg = [&](const char* name) { return io::read_cfg(folder / "cfg" / (std::string(name) + ".cfg")); };
  CHECK(head_sizes(*at_size(cfg("yolov4"), 608)) == std::vector{76, 38, 19});
  CHECK(head_sizes(*at_size(cfg("yolov4-tiny"), 416)) == std::vector{13, 26});
  CHECK(head_sizes(*at_size(cfg("yolov3"), 416)) == std::vector{13, 26, 52});
  CHECK(head_sizes(*at_size(cfg("yolov7-tiny"), 416)) == std::vector{52, 26, 13});
  CHECK(head_sizes(*at_size(cfg("yolov2"), 416)) == std::vector{13});
  CHECK(build_network(cfg("yolov4"))->nms_kind == NmsKind::greedy);
  CHECK(build_network(cfg("yolov3"))->nms_kind == NmsKind::plain);
  CHECK(build_network(cfg("yolov4-csp"))->letter_box);
  CHECK(build_network(cfg("yolov4-csp"))->heads[0].spec.new_coords);
}

TEST_CASE("network: what the cfg says of its head") {
  const auto network =
      build_network(tiny_cfg("conv filters=8 size=3 pad=1 | conv filters=21 size=1 activation=linear | yolo mask=2,0,1 "
                             "anchors=4,5,8,6,10,12 num=3 classes=2 "
                             "scale_x_y=1.1 new_coords=1 ignore_thresh=.6 truth_thresh=.9 iou_thresh=.3 "
                             "iou_thresh_kind=giou iou_loss=ciou iou_normalizer=.07 "
                             "obj_normalizer=2 cls_normalizer=.5 delta_normalizer=.25 max_delta=5 label_smooth_eps=.1 "
                             "nms_kind=diounms beta_nms=.7 counters_per_class=10,40",
                             "width=32 height=64 channels=1 letter_box=1"));
  CHECK((network->width == 32 && network->height == 64 && network->channels == 1 && network->letter_box));
  CHECK((network->classes() == 2 && network->nms_kind == NmsKind::diou && network->nms_beta == 0.7f));
  REQUIRE(network->heads.size() == 1);
  const Head& head = network->heads[0];
  CHECK((head.node == 2 && head.source == 1));
  CHECK((head.spec.kind == HeadKind::yolo && head.spec.anchors == 3 && head.spec.total_anchors == 3 &&
         head.spec.new_coords));
  CHECK((head.spec.mask[0] == 2 && head.spec.mask[1] == 0 && head.spec.mask[2] == 1));
  CHECK((head.spec.anchor_w[1] == 8 && head.spec.anchor_h[1] == 6));
  CHECK(head.spec.scale_x_y == 1.1f);
  const HeadLossParams& loss = head.loss;
  CHECK((loss.ignore_thresh == 0.6f && loss.truth_thresh == 0.9f && loss.iou_thresh == 0.3f &&
         loss.iou_thresh_kind == IouKind::giou));
  CHECK((loss.box_loss == BoxLoss::ciou && loss.iou_normalizer == 0.07f && loss.obj_normalizer == 2 &&
         loss.cls_normalizer == 0.5f));
  CHECK((loss.delta_normalizer == 0.25f && loss.max_delta == 5 && loss.label_smooth_eps == 0.1f));
  // The rarer class weighs as many times more as the commonest is more common, up to max_delta.
  REQUIRE(loss.class_multipliers != nullptr);
  CHECK((loss.class_multipliers[0] == 4 && loss.class_multipliers[1] == 1));
}

TEST_CASE("network: defaults are darknet's") {
  const auto network = build_network(tiny_cfg("conv filters=14 size=1 activation=linear" + kHead));
  const Head& head = network->heads[0];
  CHECK((head.spec.scale_x_y == 1 && !head.spec.new_coords && network->nms_kind == NmsKind::plain &&
         !network->letter_box));
  CHECK((head.loss.ignore_thresh == 0.5f && head.loss.truth_thresh == 1 && head.loss.iou_thresh == 1 &&
         head.loss.box_loss == BoxLoss::mse));
  CHECK((head.loss.iou_normalizer == 0.75f && head.loss.cls_normalizer == 1 && head.loss.class_multipliers == nullptr));
  // A convolution without a word of its activation is logistic; pads by half its size; pools pad to the same size.
  const auto shapes = build_network(
      tiny_cfg("conv filters=4 size=5 pad=1 stride=2 | maxpool size=2 stride=1 | maxpool size=2 stride=2 | "
               "maxpool size=3 stride=1 padding=0 | conv filters=2 size=1 pad=1",
               "width=17 height=13 channels=3"));
  const auto& nodes = shapes->graph.nodes();
  CHECK(nodes[0].output == Shape{7, 9, 4});
  CHECK(nodes[1].output == Shape{7, 9, 4});
  CHECK(nodes[2].output == Shape{4, 5, 4});
  CHECK(nodes[3].output == Shape{2, 3, 4});
  CHECK(nodes[4].output == Shape{2, 3, 2});
  CHECK(shapes->heads.empty());
  CHECK(shapes->classes() == 0);
}

TEST_CASE("network: pools take their own strides, -1 standing for the common one") {
  const auto network =
      build_network(tiny_cfg("maxpool size=2 stride=2 stride_x=1 stride_y=-1", "width=16 height=12 channels=3"));
  CHECK(network->graph.nodes()[0].output == Shape{6, 16, 3});
}

TEST_CASE("network: a wrong number of filters before a head is refused with the right one") {
  const std::string message = error_of_layers("conv filters=255 size=1 activation=linear" + kHead);
  CHECK(mentions(message, "tiny.cfg:9: [yolo]"));
  CHECK(mentions(message, "filters=255, but 2 anchors x (2 classes + 5) need filters=14"));
  CHECK(mentions(error_of_layers("conv filters=14 size=1 | Gaussian_yolo mask=0,1 anchors=4,4,8,6 num=2 classes=2"),
                 "(2 classes + 9) need filters=22"));
  CHECK(mentions(error_of_layers("conv filters=14 size=1 | region anchors=4,4,8,6 num=2 classes=3"),
                 "(3 classes + 5) need filters=16"));
}

TEST_CASE("network: heads that cannot be are refused") {
  CHECK(mentions(error_of_layers("yolo mask=0,1 anchors=4,4,8,6 num=2 classes=2"),
                 "must follow a [convolutional] layer; before this one is nothing"));
  CHECK(mentions(error_of_layers("conv filters=14 size=1 | maxpool" + kHead), "before this one is [maxpool]"));
  CHECK(mentions(
      error_of_layers("conv filters=14 size=1" + kHead +
                      "| conv filters=7 size=1 | yolo mask=0 anchors=4,4,8,6 num=2 classes=2" +
                      " | route layers=0 | conv filters=8 size=1 | yolo mask=0 anchors=4,4,8,6 num=2 classes=3"),
      "differ in classes (2 and 3)"));
  CHECK(mentions(
      error_of_layers("conv filters=14 size=1 activation=linear | yolo mask=0,1 anchors=4,4,8,6 num=2 classes=2 "
                      "counters_per_class=1,2,3"),
      "[yolo] has 3 counters_per_class for 2 classes"));
}

TEST_CASE("network: references to layers that are not before are refused") {
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | route layers=1"),
                 "tiny.cfg:9: [route] layers: 1 is layer 1, and this is layer 1"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | route layers=-2"), "layers: -2 is layer -1"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | shortcut from=5"), "from: 5 is layer 5"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | conv filters=4 size=1 | sam from=0,0"),
                 "[sam] from='0,0' is not an integer"));
  CHECK(mentions(error_of_layers("shortcut from=0"), "[shortcut] from: 0 is layer 0"));
}

TEST_CASE("network: shapes that do not fit are refused, naming the layer") {
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | maxpool size=2 stride=2 | route layers=0,1"),
                 "2 [route] (tiny.cfg:11): joins layers of 16x12 and 8x6"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | maxpool size=2 stride=2 | shortcut from=0"),
                 "adds layers of 8x6 and 16x12"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | conv filters=5 size=1 | sam from=0"),
                 "multiplies layers of 16x12x5 and 16x12x4"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | conv filters=5 size=1 | scale_channels from=0"), "gate"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | conv filters=1 size=1 | scale_channels from=0"),
                 "a gate of 16x12x1 does not fit the 16x12x4 it scales: with scale_wh=0 it is 1x1x4"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | avgpool | scale_channels from=0 scale_wh=1"),
                 "with scale_wh=1 it is 16x12x1"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 groups=2"), "groups=2 does not divide 3"));
  CHECK(mentions(error_of_layers("conv filters=5 size=1 | route layers=0 groups=2 group_id=1"),
                 "groups=2 does not divide 5 channels"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | route layers=0 groups=2 group_id=2"),
                 "group_id=2 with groups=2"));
  CHECK(mentions(error_of_layers("conv filters=4 size=17"), "filter is larger than the 16x12 input"));
  CHECK(mentions(error_of_layers("reorg3d stride=5"), "stride=5 does not divide"));
  CHECK(mentions(error_of_layers("maxpool size=20 stride=1 padding=0"), "window is larger"));
  CHECK(mentions(error_of_layers("conv filters=10 size=1 | softmax groups=3"), "groups=3 does not divide 10 channels"));
}

TEST_CASE("network: every activation that a cfg may name is there, in every layer that has one") {
  std::istringstream names;
  for (const io::CfgSchema& schema : io::all_schemas())
    for (const io::CfgKey& key : schema.keys)
      if (schema.type == "activation" && key.name == "activation") names.str(std::string(key.choices));
  int count = 0;
  for (std::string name; names >> name; ++count) {
    CAPTURE(name);
    for (const char* layer :
         {"conv filters=4 size=1", "shortcut from=0", "sam from=0", "scale_channels from=0 scale_wh=1", "activation"})
      CHECK(error_of_layers(
                fmt::format("conv filters=1 size=1 | conv filters=1 size=1 | {} activation={}", layer, name)) == "");
  }
  CHECK(count == 24);
}

TEST_CASE("network: what rook does not have is refused, naming file and line") {
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | connected output=5"),
                 "tiny.cfg:8: [connected] this layer type is not supported"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 antialiasing=1"),
                 "tiny.cfg:8: [convolutional] antialiasing=1 is not supported"));
  CHECK(mentions(error_of_layers("conv filters=4 size=1 | shortcut from=0 weights_type=per_feature"),
                 "weights_type=per_feature is not supported"));
  CHECK(mentions(error_of_layers("maxpool maxpool_depth=1 out_channels=2"), "maxpool_depth=1 is not supported"));
  CHECK(mentions(error_of_layers("dropout dropblock=1"), "dropblock=1 is not supported"));
  CHECK(error_of_layers("conv filters=4 size=1 antialiasing=0 cbn=0") == "");
}
