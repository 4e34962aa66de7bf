// Our own networks: counted by hand-written shape rules, and compared with darknet's files where those are at hand.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "tests/io/cfg_fixtures.h"

using namespace rook;
using namespace rook::io;
using namespace rook::io::fixtures;

namespace {

struct Shape {
  int c, h, w;
};

struct Counts {
  std::vector<Shape> shapes;         // of each layer
  std::vector<std::int64_t> floats;  // in the weights file, of each layer
  std::int64_t running = 0;          // of these: running mean and variance
  std::int64_t multiply_adds = 0;
  int convolutions = 0;

  std::int64_t total(int layers) const {
    return std::accumulate(floats.begin(), floats.begin() + layers, std::int64_t{0});
  }
  std::int64_t total() const { return total(static_cast<int>(floats.size())); }
};

// darknet.md 1.5 and 2.2, for the layers the zoo uses and no others.
Counts count(const Cfg& cfg) {
  Counts counts;
  Shape now{cfg.net().integer("channels", 0), cfg.net().integer("height", 0), cfg.net().integer("width", 0)};
  for (int i = 0; i < cfg.layers(); ++i) {
    const CfgSection& layer = cfg.layer(i);
    std::int64_t floats = 0;
    if (layer.type == "convolutional") {
      const int k = layer.integer("filters", 1), r = layer.integer("size", 1), stride = layer.integer("stride", 1);
      const int groups = layer.integer("groups", 1),
                pad = layer.integer("pad", 0) ? r / 2 : layer.integer("padding", 0);
      REQUIRE(now.c % groups == 0);
      const std::int64_t weights = std::int64_t{k} * (now.c / groups) * r * r;
      const bool norm = layer.integer("batch_normalize", 0) != 0;
      floats = weights + k * (norm ? 4 : 1);
      counts.running += norm ? 2 * k : 0;
      now = {k, (now.h + 2 * pad - r) / stride + 1, (now.w + 2 * pad - r) / stride + 1};
      counts.multiply_adds += weights * now.h * now.w;
      ++counts.convolutions;
    } else if (layer.type == "maxpool") {
      const int size = layer.integer("size", 1), stride = layer.integer("stride", 1);
      now = {now.c, (now.h + (size - 1) - size) / stride + 1, (now.w + (size - 1) - size) / stride + 1};
    } else if (layer.type == "upsample") {
      now = {now.c, now.h * layer.integer("stride", 2), now.w * layer.integer("stride", 2)};
    } else if (layer.type == "route") {
      now.c = 0;
      for (const int given : layer.integers("layers")) {
        const Shape& from = counts.shapes.at(static_cast<std::size_t>(given < 0 ? i + given : given));
        if (now.c > 0) REQUIRE((from.h == now.h && from.w == now.w));
        now = {now.c + from.c / layer.integer("groups", 1), from.h, from.w};
      }
    } else if (layer.type == "shortcut") {
      const Shape& from = counts.shapes.at(static_cast<std::size_t>(i + layer.integer("from", 0)));
      REQUIRE((from.c == now.c && from.h == now.h && from.w == now.w));
    } else {
      REQUIRE((layer.type == "dropout" || layer.type == "yolo"));
    }
    counts.shapes.push_back(now);
    counts.floats.push_back(floats);
  }
  return counts;
}

Cfg zoo(const std::string& name) {
  return read_cfg(zoo_folder() / (name + ".cfg"));
}

// Same layers with the same effect: keys that change shapes, numbers or decoding, with darknet's defaults.
void check_same_network(const Cfg& ours, const Cfg& theirs) {
  REQUIRE(ours.layers() == theirs.layers());
  for (int i = 0; i < ours.layers(); ++i) {
    const CfgSection &a = ours.layer(i), &b = theirs.layer(i);
    INFO("layer ", i, " [", a.type, "]");
    REQUIRE(a.type == b.type);
    for (const char* key :
         {"filters", "size", "stride", "groups", "batch_normalize", "group_id", "from", "num", "classes"}) {
      CHECK(a.integer(key, 1) == b.integer(key, 1));
    }
    if (a.integer("size", 1) > 1) CHECK(a.integer("pad", 0) == b.integer("pad", 0));
    for (const char* key : {"scale_x_y", "probability", "beta_nms"}) CHECK(a.number(key, 1) == b.number(key, 1));
    for (const char* key : {"activation", "nms_kind"}) CHECK(a.text(key, "") == b.text(key, ""));
    CHECK(a.integers("layers") == b.integers("layers"));
    CHECK(a.numbers("anchors") == b.numbers("anchors"));
  }
}

}  // namespace

TEST_CASE("zoo: yolov4-tiny has the size of darknet's") {
  const Cfg cfg = zoo("yolov4-tiny");
  const Counts counts = count(cfg);
  CHECK(cfg.layers() == 38);
  CHECK(counts.convolutions == 21);
  CHECK(counts.total() - counts.running == 6056606);
  CHECK(20 + 4 * counts.total() == 24251276);    // yolov4-tiny.weights as published
  CHECK(20 + 4 * counts.total(29) == 19789716);  // yolov4-tiny.conv.29
  CHECK(counts.shapes[30].h == 13);
  CHECK(counts.shapes[37].h == 26);
  CHECK(cfg.layer(37).integers("mask") == std::vector{0, 1, 2});
  CHECK(cfg.classes() == 80);
  CHECK(warnings_of(cfg) == "");
}

TEST_CASE("zoo: yolov3-tiny has the size of darknet's, and warns of its mask until the classes are changed") {
  Cfg cfg = zoo("yolov3-tiny");
  CHECK(cfg.layers() == 24);
  CHECK(count(cfg).convolutions == 13);
  CHECK(20 + 4 * count(cfg).total() == 35434956);
  REQUIRE(cfg.warnings.size() == 1);
  CHECK(contains(cfg.warnings[0].message, "yolov3-tiny.weights as released need mask=1,2,3"));
  cfg.set_classes(12);
  CHECK(warnings_of(cfg) == "");
}

TEST_CASE("zoo: yolo-fastest-1.1-xl has the size of its author's") {
  const Cfg cfg = zoo("yolo-fastest-1.1-xl");
  CHECK(cfg.layers() == 131);
  CHECK(count(cfg).convolutions == 84);
  CHECK(20 + 4 * count(cfg).total() == 3693964);
  CHECK(warnings_of(cfg) == "");
}

TEST_CASE("zoo: rook-nano is what its comment says") {
  const Cfg cfg = zoo("rook-nano");
  const Counts counts = count(cfg);
  CHECK(cfg.classes() == 12);
  CHECK(counts.total() - counts.running == 237910);
  CHECK(counts.running == 1984);
  CHECK(20 + 4 * counts.total() == 959596);
  CHECK(20 + 4 * counts.total() < 1000000);
  CHECK(counts.multiply_adds == 264418752);
  CHECK(13 * counts.multiply_adds < count(zoo("yolov4-tiny")).multiply_adds + counts.multiply_adds);
  CHECK(counts.shapes[28].h == 13);
  CHECK(counts.shapes[36].h == 26);
  for (int i = 0; i < cfg.layers(); ++i) {
    if (cfg.layer(i).integer("batch_normalize", 0)) CHECK(counts.shapes[static_cast<std::size_t>(i)].c % 16 == 0);
  }
  CHECK(warnings_of(cfg) == "");
}

TEST_CASE("zoo: rook-small is what its comment says") {
  const Cfg cfg = zoo("rook-small"), nano = zoo("rook-nano");
  const Counts counts = count(cfg);
  CHECK(cfg.classes() == 12);
  CHECK(counts.total() - counts.running == 844278);
  CHECK(counts.running == 3616);
  CHECK(20 + 4 * counts.total() == 3391596);
  CHECK(counts.multiply_adds == 442515008);
  CHECK(7 * counts.multiply_adds < count(zoo("yolov4-tiny")).multiply_adds);
  REQUIRE(cfg.layers() == nano.layers());
  for (int i = 0; i < cfg.layers(); ++i) CHECK(cfg.layer(i).type == nano.layer(i).type);
  CHECK(counts.shapes[28].h == 13);
  CHECK(counts.shapes[36].h == 26);
  CHECK(warnings_of(cfg) == "");
}

TEST_CASE("zoo: every network takes other classes and survives writing") {
  for (const auto& file : cfgs_in(zoo_folder())) {
    INFO(file.string());
    Cfg cfg = read_cfg(file);
    CHECK(same_sections(cfg, parse_cfg(cfg.to_text(), "again.cfg")));
    cfg.set_classes(7);
    const Counts counts = count(cfg);
    for (int i = 0; i < cfg.layers(); ++i) {
      if (cfg.layer(i).type == "yolo") CHECK(counts.shapes[static_cast<std::size_t>(i)].c == 3 * (7 + 5));
    }
    CHECK(same_sections(cfg, parse_cfg(cfg.to_text(), "again.cfg")));
    CHECK(warnings_of(cfg) == "");
  }
}

TEST_CASE("assets: our networks are layer for layer those the published weights belong to") {
  if (asset_cfgs().empty()) return;
  check_same_network(zoo("yolov4-tiny"), read_cfg(asset("cfg/yolov4-tiny.cfg")));
  check_same_network(zoo("yolov3-tiny"), read_cfg(asset("cfg/yolov3-tiny.cfg")));
  check_same_network(zoo("yolo-fastest-1.1-xl"), read_cfg(asset("cfg/yolo-fastest-1.1-xl-coco.cfg")));
}

TEST_CASE("assets: every known cfg is read strictly and survives writing") {
  const auto files = asset_cfgs();
  if (files.empty()) return;
  CHECK(files.size() >= 20);
  for (const auto& file : files) {
    INFO(file.string());
    Cfg cfg;
    REQUIRE_NOTHROW(cfg = read_cfg(file));
    CHECK(cfg.layers() > 10);
    const Cfg again = parse_cfg(cfg.to_text(), file.string());
    CHECK(same_sections(cfg, again));
    CHECK(again.to_text() == cfg.to_text());
    CHECK(again.warnings.size() == cfg.warnings.size());
    for (const CfgWarning& warning : cfg.warnings) CHECK_FALSE(contains(warning.message, "filters="));
    REQUIRE(cfg.classes() > 0);
    cfg.set_classes(11);
    CHECK(cfg.classes() == 11);
  }
}

TEST_CASE("assets: traps of the published cfgs are warned of") {
  if (asset_cfgs().empty()) return;
  const auto warnings = [](const char* name) {
    return warnings_of(read_cfg(asset(std::string("cfg/") + name + ".cfg")));
  };
  CHECK(contains(warnings("yolov4-tiny"), "anchor 0 is in no head's mask"));
  CHECK(contains(warnings("yolov4-tiny"), "anchor 3 is also in the mask"));
  CHECK(contains(warnings("enet-coco"), "anchor 0 is in no head's mask"));
  CHECK(contains(warnings("yolov3-tiny"), "as released need mask=1,2,3"));
  CHECK(contains(warnings("yolov4-csp"), "mosaic=1 with letter_box=1"));
  CHECK(contains(warnings("yolov7-tiny"), "objectness_smooth=1"));
  CHECK(contains(warnings("yolov7"), "cls_normalizer has no effect"));
  for (const char* name : {"yolov3", "yolov3-spp", "yolov4", "yolov4-tiny-custom"}) CHECK(warnings(name) == "");
}
