// darknet weights into networks and back: by hand on small networks, and every real file at hand.
#include "model/darknet_import.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <numeric>
#include <set>

#include "base/error.h"
#include "tests/errors.h"
#include "tests/files.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

// 3 -> 4 with batch norm (4*4 + 4*3*9 = 124 floats), 4 -> 6 in two groups (6 + 6*2 = 18), 6 -> 14 (14 + 14*6 = 98),
// head.
const std::string kGrouped =
    "conv filters=4 size=3 pad=1 batch_normalize=1 activation=leaky | conv filters=6 size=1 groups=2 activation=leaky "
    "| "
    "conv filters=14 size=1 activation=linear" +
    kHead;
constexpr int kFloats[] = {124, 18, 98};
constexpr int kAll = 240;

io::DarknetWeights counting(std::size_t floats) {
  io::DarknetWeights weights;
  weights.file = "counting.weights";
  weights.payload.resize(floats);
  std::iota(weights.payload.begin(), weights.payload.end(), 1.0f);
  return weights;
}

std::vector<float> values_of(const Model& model, int node, ParamRole role) {
  const auto values = std::as_const(*model.params).value(*model.params->find(node, role));
  return {values.begin(), values.end()};
}

std::vector<float> range(int first, int count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), static_cast<float>(first));
  return values;
}

std::string message_of(const Model& model, const io::DarknetWeights& weights) {
  return error_of([&] { (void)import_darknet(*model.network, *model.params, weights); });
}

}  // namespace

TEST_CASE("import: which float goes where") {
  const Model model = tiny_model(kGrouped);
  const ImportReport report = import_darknet(*model.network, *model.params, counting(kAll));
  CHECK(report.kind == ImportKind::exact);
  CHECK(report.skipped.empty());
  CHECK(report.text() == "all layers loaded");
  CHECK(values_of(model, 0, ParamRole::bias) == range(1, 4));
  CHECK(values_of(model, 0, ParamRole::scales) == range(5, 4));
  CHECK(values_of(model, 0, ParamRole::rolling_mean) == range(9, 4));
  CHECK(values_of(model, 0, ParamRole::rolling_variance) == range(13, 4));
  // The file has [filter][channel][row][column], memory [filter][row][column][channel].
  const auto weights = values_of(model, 0, ParamRole::weights);
  int wrong = 0;
  for (int k = 0; k < 4; ++k)
    for (int c = 0; c < 3; ++c)
      for (int tap = 0; tap < 9; ++tap)
        wrong +=
            weights[static_cast<std::size_t>((k * 9 + tap) * 3 + c)] != static_cast<float>(17 + (k * 3 + c) * 9 + tap);
  CHECK(wrong == 0);
  CHECK(values_of(model, 1, ParamRole::bias) == range(125, 6));
  CHECK(values_of(model, 1, ParamRole::weights) == range(131, 12));  // 1x1: the order is the same
  CHECK(values_of(model, 2, ParamRole::bias) == range(143, 14));
  CHECK(export_darknet(*model.network, *model.params).payload == counting(kAll).payload);
}

TEST_CASE("import: [batchnorm] of its own") {
  const Model model = tiny_model("batchnorm | conv filters=14 size=1 activation=linear" + kHead);
  CHECK(import_darknet(*model.network, *model.params, counting(12 + 14 + 42)).kind == ImportKind::exact);
  CHECK(values_of(model, 0, ParamRole::bias) == range(1, 3));
  CHECK(values_of(model, 0, ParamRole::scales) == range(4, 3));
  CHECK(values_of(model, 0, ParamRole::rolling_mean) == range(7, 3));
  CHECK(values_of(model, 0, ParamRole::rolling_variance) == range(10, 3));
}

TEST_CASE("import: every length is exact, cut at a layer, of other classes, or refused") {
  const Model fresh = tiny_model(kGrouped);
  std::set<int> cuts{kFloats[0], kFloats[0] + kFloats[1]}, of_classes;
  for (int classes = 1; classes <= 10000; ++classes) of_classes.insert(142 + 2 * (classes + 5) * 7);
  for (int floats = 0; floats <= 2 * kAll; ++floats) {
    CAPTURE(floats);
    const Model model = tiny_model(kGrouped);
    const io::DarknetWeights weights = counting(static_cast<std::size_t>(floats));
    const bool exact = std::abs(floats - kAll) <= 1 && floats != kAll + 1;  // one short: the file had the short header
    if (!exact && !cuts.contains(floats) && !of_classes.contains(floats)) {
      CHECK(message_of(model, weights) != "");
      CHECK(std::equal(model.params->values().begin(), model.params->values().end(), fresh.params->values().begin()));
      continue;
    }
    const ImportReport report = import_darknet(*model.network, *model.params, weights);
    CHECK(report.kind == (exact                   ? ImportKind::exact
                          : cuts.contains(floats) ? ImportKind::partial
                                                  : ImportKind::other_classes));
    const std::vector<int> skipped = exact                  ? std::vector<int>{}
                                     : floats == kFloats[0] ? std::vector{1, 2}
                                                            : std::vector{2};
    CHECK(report.skipped == skipped);
    for (const int layer : skipped)
      CHECK(values_of(model, layer, ParamRole::weights) == values_of(fresh, layer, ParamRole::weights));
    if (floats == kAll - 1) continue;
    CHECK(values_of(model, 0, ParamRole::bias) == range(1, 4));
    if (report.kind == ImportKind::partial) CHECK(report.layers == (floats == kFloats[0] ? 1 : 2));
    if (report.kind == ImportKind::other_classes) CHECK(142 + 2 * (report.file_classes + 5) * 7 == floats);
  }
}

TEST_CASE("import: either size of the header") {
  // A file of 16 bytes of header taken for one of 20: its first float was read as half of `seen`.
  Model model = tiny_model(kGrouped);
  io::DarknetWeights short_header = counting(kAll);
  short_header.header.seen = (std::uint64_t{std::bit_cast<std::uint32_t>(1.0f)} << 32) | 77;
  short_header.payload.erase(short_header.payload.begin());
  CHECK(import_darknet(*model.network, *model.params, short_header).kind == ImportKind::exact);
  CHECK(export_darknet(*model.network, *model.params).payload == counting(kAll).payload);
  // And the other way round: a float too many in front.
  io::DarknetWeights long_header = counting(kAll);
  long_header.header.bytes = 16;
  long_header.payload.insert(long_header.payload.begin(), 0.0f);
  model = tiny_model(kGrouped);
  CHECK(import_darknet(*model.network, *model.params, long_header).kind == ImportKind::exact);
  CHECK(export_darknet(*model.network, *model.params).payload == counting(kAll).payload);
}

TEST_CASE("import: a file that does not fit is refused with what each layer wants") {
  const Model model = tiny_model(kGrouped);
  const std::string message = message_of(model, counting(130));
  CHECK(mentions(message, "counting.weights: holds 130 floats (520 bytes after its 20-byte header), tiny needs 240"));
  CHECK(mentions(message, "layer 1 [convolutional] (tiny.cfg:11): bytes 516 to 588, the file ends 24 bytes into it"));
  CHECK(mentions(message, "layer 2 [convolutional] (tiny.cfg:16): bytes 588 to 980 are missing"));
  CHECK(mentions(message, "take the cfg these weights were trained with"));
  CHECK(mentions(message_of(model, counting(2 * kAll)), "after the last layer 960 bytes are left over"));
}

TEST_CASE("import: a negative variance is the mark of a shifted file") {
  for (const float bad : {-1e-6f, -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const Model model = tiny_model(kGrouped);
    io::DarknetWeights weights = counting(kAll);
    weights.payload[14] = bad;
    CHECK(mentions(message_of(model, weights), "at channel 2: the file belongs to another network"));
  }
  const Model model = tiny_model(kGrouped);
  io::DarknetWeights weights = counting(kAll);
  weights.payload[14] = 0;
  CHECK(message_of(model, weights) == "");
}

TEST_CASE("export: the first layers, and what is read back") {
  const Model model = tiny_model(kGrouped);
  const auto all = export_darknet(*model.network, *model.params).payload;
  CHECK(all.size() == kAll);
  for (const auto& [layers, floats] : {std::pair{0, 0}, {1, 124}, {2, 142}, {3, 240}, {4, 240}}) {
    const io::DarknetWeights part = export_darknet(*model.network, *model.params, layers);
    CHECK(std::equal(part.payload.begin(), part.payload.end(), all.begin(), all.begin() + floats));
    CHECK((part.header.bytes == 20 && part.header.minor == 2 && part.header.revision == 5));
  }
  CHECK_THROWS_AS(export_darknet(*model.network, *model.params, 5), Error);
  const Model other = tiny_model(kGrouped, "width=16 height=12 channels=3", 2);
  CHECK(import_darknet(*other.network, *other.params, export_darknet(*model.network, *model.params)).kind ==
        ImportKind::exact);
  CHECK(std::equal(model.params->values().begin(), model.params->values().end(), other.params->values().begin()));
}

TEST_CASE("import: every real file fits its network exactly and is written back byte by byte") {
  const auto folder = assets("real darknet weights");
  if (folder.empty()) return;
  int files = 0;
  const std::filesystem::path written = std::filesystem::temp_directory_path() / "rook-import-test.weights";
  for (const auto& entry : std::filesystem::directory_iterator(folder / "weights")) {
    if (entry.path().extension() != ".weights") continue;
    CAPTURE(entry.path().string());
    ++files;
    const io::DarknetWeights weights = io::read_darknet_weights(entry.path());
    const Model model = make_model(io::read_cfg(folder / "cfg" / (entry.path().stem().string() + ".cfg")), {}, 1);
    CHECK(import_darknet(*model.network, *model.params, weights).kind == ImportKind::exact);
    io::DarknetWeights back = export_darknet(*model.network, *model.params);
    back.header = weights.header;
    io::write_darknet_weights(written, back);
    CHECK(bytes_of(written) == bytes_of(entry.path()));
  }
  CHECK(files >= 7);
  std::filesystem::remove(written);
}

TEST_CASE("import: the first 29 layers of yolov4-tiny, whatever the classes") {
  const auto folder = assets("yolov4-tiny.conv.29");
  if (folder.empty()) return;
  const io::DarknetWeights part = io::read_darknet_weights(folder / "weights/yolov4-tiny-voc-rebuilt.conv.29");
  CHECK(part.header.bytes + 4 * part.payload.size() == 19789716);
  for (const int classes : {12, 80}) {
    io::Cfg cfg = io::read_cfg(folder / "cfg/yolov4-tiny.cfg");
    cfg.set_classes(classes);
    const Model model = make_model(cfg, {}, 1);
    const ImportReport report = import_darknet(*model.network, *model.params, part);
    CHECK(report.kind == ImportKind::partial);
    CHECK(report.layers == 29);
    CHECK(report.skipped == std::vector{29, 32, 35, 36});
    CHECK(report.text() == "layers 0..28 loaded, 4 layers with parameters start at random");
    CHECK(export_darknet(*model.network, *model.params, 29).payload == part.payload);
  }
}

TEST_CASE("import: weights of other classes load but for the convolutions before the heads") {
  const auto folder = assets("weights of 20 classes for a network of 12");
  if (folder.empty()) return;
  io::Cfg cfg = io::read_cfg(folder / "cfg/yolov4-tiny-voc-rebuilt.cfg");
  const Model given = make_model(cfg, {}, 1);
  const io::DarknetWeights weights = io::read_darknet_weights(folder / "weights/yolov4-tiny-voc-rebuilt.weights");
  (void)import_darknet(*given.network, *given.params, weights);
  cfg.set_classes(12);
  const Model model = make_model(cfg, {}, 1), fresh = make_model(cfg, {}, 1);
  const ImportReport report = import_darknet(*model.network, *model.params, weights);
  CHECK(report.kind == ImportKind::other_classes);
  CHECK(report.file_classes == 20);
  CHECK(report.skipped == std::vector{29, 36});
  CHECK(mentions(report.text(), "weights of 20 classes"));
  for (const Param& param : model.params->all()) {
    CAPTURE(param.name);
    const Model& expected = param.node == 29 || param.node == 36 ? fresh : given;
    CHECK(values_of(model, param.node, param.spec.role) == values_of(expected, param.node, param.spec.role));
  }
  // Another network altogether.
  CHECK(mentions(message_of(make_model(io::read_cfg(folder / "cfg/yolov3-tiny.cfg"), {}, 1), weights),
                 "take the cfg these weights were trained with"));
}
