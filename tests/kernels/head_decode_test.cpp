// head_decode on the CPU: by hand, against ref, wrong arguments, and OpenCV's decoding of real networks.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/files.h"
#include "tests/kernels/head_decode_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("head_decode: a classic cell by hand") {
  test_decode_classic(cpu_subject());
  test_decode_classic(ref_subject());
}

TEST_CASE("head_decode: new_coords by hand, and comparisons are strict") {
  test_decode_new_coords(cpu_subject());
  test_decode_new_coords(ref_subject());
}

TEST_CASE("head_decode: a Gaussian head is less sure by the mean of its uncertainties") {
  test_decode_gaussian(cpu_subject());
  test_decode_gaussian(ref_subject());
}

TEST_CASE("head_decode: a region head has anchors in cells and a softmax") {
  test_decode_region(cpu_subject());
  test_decode_region(ref_subject());
}

TEST_CASE("head_decode: appends, counts what does not fit, drops NaN") {
  test_decode_appends(cpu_subject());
  test_decode_appends(ref_subject());
}

TEST_CASE("head_decode: cpu equals ref for all kinds of heads, storages and slices") {
  test_decode_equals_ref(cpu_subject());
}

TEST_CASE("head_decode: many anchor cells, on any number of threads") {
  test_decode_many(cpu_subject());
}

TEST_CASE("head_decode: wrong arguments are errors") {
  TestTensor logits(DType::f32, 1, 1, 1, 7);
  logits.fill(0);
  HeadSpec head = small_head();
  CHECK_THROWS_AS(decode(cpu_subject(), {head, logits, 100, 200, 0.1f}), Error);  // 7 channels
  TestTensor right(DType::f32, 1, 1, 1, 6);
  right.fill(0);
  CHECK_THROWS_AS(decode(cpu_subject(), {head, right, 0, 200, 0.1f}), Error);
  CHECK_THROWS_AS(decode(cpu_subject(), {head, right, 100, 200, -0.1f}), Error);
  CHECK_THROWS_AS(decode(cpu_subject(), {head, right, 100, 200, std::nanf("")}), Error);
  head.mask[0] = 1;
  CHECK_THROWS_AS(decode(cpu_subject(), {head, right, 100, 200, 0.1f}), Error);
}

// ------------------------------------------------------------------------------------------------ OpenCV's decoding

namespace {

struct GoldenHead {
  const char* raw;      // tensor of the convolution
  const char* decoded;  // tensor of rows x y w h objectness class scores * objectness
  std::vector<int> mask;
  float scale_x_y;
};

struct Golden {
  const char* file;
  int classes, net;
  HeadKind kind;
  std::vector<std::pair<float, float>> anchors;
  std::vector<GoldenHead> heads;
};

// The values of the cfg files in the assets' folder.
const std::vector<Golden>& goldens() {
  static const std::vector<std::pair<float, float>> kTiny = {{10, 14}, {23, 27},   {37, 58},
                                                             {81, 82}, {135, 169}, {344, 319}};
  static const std::vector<Golden> all = {
      {"yolo-fastest-1.1-xl-coco",
       80,
       320,
       HeadKind::yolo,
       {{12, 18}, {37, 49}, {52, 132}, {115, 73}, {119, 199}, {242, 238}},
       {{"raw_conv_120", "decoded_yolo_121", {3, 4, 5}, 1}, {"raw_conv_129", "decoded_yolo_130", {0, 1, 2}, 1}}},
      {"yolov4-tiny-aix2023",
       60,
       256,
       HeadKind::yolo,
       kTiny,
       {{"raw_conv_29", "decoded_yolo_30", {3, 4, 5}, 1}, {"raw_conv_35", "decoded_yolo_36", {1, 2, 3}, 1}}},
      {"yolov4-tiny-voc-rebuilt",
       20,
       416,
       HeadKind::yolo,
       kTiny,
       {{"raw_conv_29", "decoded_yolo_30", {3, 4, 5}, 1}, {"raw_conv_36", "decoded_yolo_37", {1, 2, 3}, 1}}},
      {"MobileNetV2-YOLO-Fastest-v2-voc",
       20,
       320,
       HeadKind::yolo,
       {{26, 48}, {67, 84}, {72, 175}, {189, 126}, {137, 236}, {265, 259}},
       {{"raw_conv_72", "decoded_yolo_73", {3, 4, 5}, 1.1f}, {"raw_conv_86", "decoded_yolo_87", {0, 1, 2}, 1.05f}}},
      {"MobileNetV2-YOLOv3-Nano-coco",
       80,
       320,
       HeadKind::yolo,
       {{12, 18}, {37, 49}, {52, 132}, {115, 74}, {119, 199}, {243, 238}},
       {{"raw_conv_68", "decoded_yolo_69", {3, 4, 5}, 1.1f}, {"raw_conv_78", "decoded_yolo_79", {0, 1, 2}, 1.05f}}},
      {"yolo-lite-trial6-653550-coco",
       80,
       224,
       HeadKind::region,
       {{1.08f, 1.19f}, {3.42f, 4.41f}, {6.63f, 11.38f}, {9.42f, 5.11f}, {16.62f, 10.52f}},
       {{"raw_conv_11", "decoded_detection_out", {0, 1, 2, 3, 4}, 1}}},
  };
  return all;
}

// A tensor of a safetensors file: header length, JSON header, data.
class GoldenFile {
 public:
  explicit GoldenFile(const std::filesystem::path& path) : bytes_(text_of(path)) {
    REQUIRE(bytes_.size() > 8);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), 8);
    REQUIRE(length < bytes_.size());
    header_ = nlohmann::json::parse(bytes_.begin() + 8, bytes_.begin() + 8 + static_cast<std::ptrdiff_t>(length));
    data_ = 8 + static_cast<std::size_t>(length);
  }
  std::vector<int> shape(const char* name) const { return header_.at(name).at("shape").get<std::vector<int>>(); }
  std::vector<float> values(const char* name) const {
    const auto range = header_.at(name).at("data_offsets").get<std::vector<std::size_t>>();
    REQUIRE(data_ + range[1] <= bytes_.size());
    std::vector<float> result((range[1] - range[0]) / 4);
    std::memcpy(result.data(), bytes_.data() + data_ + range[0], result.size() * 4);
    return result;
  }

 private:
  std::string bytes_;
  nlohmann::json header_;
  std::size_t data_ = 0;
};

void check_golden_head(const Golden& golden, const GoldenHead& g, const GoldenFile& file) {
  HeadSpec head = make_head(golden.classes, golden.anchors, g.mask);
  head.kind = golden.kind;
  head.scale_x_y = g.scale_x_y;
  const std::vector<int> shape = file.shape(g.raw);
  const std::vector<float> raw = file.values(g.raw), rows = file.values(g.decoded);
  const int channels = shape[1], cells = shape[2] * shape[3];
  TestTensor logits(DType::f32, 1, shape[2], shape[3], channels);
  for (int c = 0; c < channels; ++c) {
    for (int i = 0; i < cells; ++i)
      logits.set(std::int64_t{i} * channels + c, raw[static_cast<std::size_t>(c * cells + i)]);
  }
  // OpenCV writes 0 for scores that are not above 0.2 (region: thresh= of the cfg); boxes are there for all rows.
  const float opencv_threshold = golden.kind == HeadKind::region ? 0.5f : 0.2f;
  const Decoded result = decode(cpu_subject(), {head, logits, golden.net, golden.net, 0.001f});
  const std::size_t row_size = 5 + static_cast<std::size_t>(golden.classes);
  std::int64_t expected = 0, found = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) expected += i % row_size >= 5 && rows[i] > 0;
  REQUIRE(result.counts[0] > expected);
  for (const Detection& d : result.images[0]) {
    const float* row = rows.data() + static_cast<std::size_t>(d.index - 1000) * row_size;
    check_near(d.x, row[0], 1e-5, "x");
    check_near(d.y, row[1], 1e-5, "y");
    check_near(d.w, row[2], 1e-5 + 1e-5 * row[2], "w");
    check_near(d.h, row[3], 1e-5 + 1e-5 * row[3], "h");
    check_near(d.objectness, row[4], 1e-5, "objectness");
    check_near(d.score > opencv_threshold ? d.score : 0, row[5 + d.cls], 1e-5, "score");
    found += d.score > opencv_threshold;
  }
  CHECK(found == expected);
}

}  // namespace

TEST_CASE("head_decode: OpenCV decodes the same boxes from real networks") {
  const char* assets = std::getenv("ROOK_ASSETS");
  if (assets == nullptr) {
    MESSAGE("skipped: ROOK_ASSETS is not set");
    return;
  }
  for (const Golden& golden : goldens()) {
    CAPTURE(std::string(golden.file));
    const GoldenFile file(std::filesystem::path(assets) / "golden" / (std::string(golden.file) + ".dog.safetensors"));
    for (const GoldenHead& head : golden.heads) check_golden_head(golden, head, file);
  }
}
