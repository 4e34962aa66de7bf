// head_decode: hand-computed cells, cpu against ref, order, capacity, NaN, and OpenCV's decoding of real networks.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "kernels/ops.h"
#include "tests/kernels/head_cases.h"
#include "tests/support.h"

namespace rook {
namespace {

using test::TestArray;
using test::TestTensor;

using Decode = void (*)(const HeadDecode&, Stream);

struct Decoded {
  std::vector<std::vector<Detection>> images;
  std::vector<std::int32_t> counts;
};

Decoded run(Decode decode, const HeadSpec& head, const Tensor& logits, int net_w, int net_h, float threshold,
            int capacity = 20000) {
  std::vector<Detection> room(static_cast<std::size_t>(logits.n * capacity) + 1);
  room.back().index = 4711;
  Decoded result;
  result.counts.assign(static_cast<std::size_t>(logits.n), 0);
  decode({.head = head,
          .logits = logits,
          .net_w = net_w,
          .net_h = net_h,
          .threshold = threshold,
          .detections = room.data(),
          .counts = result.counts.data(),
          .capacity = capacity,
          .first_index = 1000},
         {});
  CHECK(room.back().index == 4711);
  for (int n = 0; n < logits.n; ++n) {
    const auto first = room.begin() + std::ptrdiff_t{n} * capacity;
    result.images.emplace_back(first, first + std::min(capacity, result.counts[static_cast<std::size_t>(n)]));
  }
  return result;
}

void check_near(double actual, double expected, double tolerance, const char* what) {
  if (!(std::abs(actual - expected) <= tolerance)) {
    FAIL_CHECK(std::string(what), ": ", actual, " instead of ", expected);
  }
}

void check_same(const Decoded& actual, const Decoded& expected) {
  REQUIRE(actual.counts == expected.counts);
  for (std::size_t n = 0; n < expected.images.size(); ++n) {
    REQUIRE(actual.images[n].size() == expected.images[n].size());
    for (std::size_t i = 0; i < expected.images[n].size(); ++i) {
      const Detection &a = actual.images[n][i], &b = expected.images[n][i];
      REQUIRE(std::pair(a.index, a.cls) == std::pair(b.index, b.cls));
      check_near(a.x, b.x, 1e-6, "x");
      check_near(a.y, b.y, 1e-6, "y");
      check_near(a.w, b.w, 1e-6 + 2e-6 * b.w, "w");
      check_near(a.h, b.h, 1e-6 + 2e-6 * b.h, "h");
      check_near(a.score, b.score, 1e-6, "score");
      check_near(a.objectness, b.objectness, 1e-6, "objectness");
    }
  }
}

// One anchor of 30 x 60 pixels, one class, a 2 x 1 grid, network 100 x 200.
HeadSpec small_head() {
  HeadSpec head = test::make_head(1, {{30, 60}}, {0});
  return head;
}

TEST_CASE("head_decode: a classic cell by hand") {
  for (Decode decode : {cpu::head_decode, ref::head_decode}) {
    TestTensor logits(DType::f32, 1, 1, 2, 6);
    logits.fill(-50);
    // sigma(ln 3) = 3/4, sigma(-ln 3) = 1/4; e^(ln 2) = 2.
    const double values[] = {std::log(3.0),  -std::log(3.0), std::log(2.0),
                             -std::log(2.0), std::log(4.0),  std::log(9.0)};
    for (int e = 0; e < 6; ++e) logits.set(0, 0, 1, e, values[e]);
    HeadSpec head = small_head();
    Decoded result = run(decode, head, logits, 100, 200, 0.5f);
    REQUIRE(result.counts[0] == 1);
    Detection d = result.images[0][0];
    check_near(d.x, (1 + 0.75) / 2, 1e-6, "x");
    check_near(d.y, 0.25, 1e-6, "y");
    check_near(d.w, 2 * 0.3, 1e-6, "w");
    check_near(d.h, 0.5 * 0.3, 1e-6, "h");
    check_near(d.objectness, 0.8, 1e-6, "objectness");
    check_near(d.score, 0.8 * 0.9, 1e-6, "score");
    CHECK(d.index == 1001);
    // scale_x_y 2: 2 v - 1/2.
    head.scale_x_y = 2;
    d = run(decode, head, logits, 100, 200, 0.5f).images[0].at(0);
    check_near(d.x, (1 + 2 * 0.75 - 0.5) / 2, 1e-6, "x");
    check_near(d.y, 2 * 0.25 - 0.5, 1e-6, "y");
    // Above 0.72 the class is not probable enough, and strictly above is needed for the objectness.
    CHECK(run(decode, head, logits, 100, 200, 0.73f).counts[0] == 0);
  }
}

TEST_CASE("head_decode: new_coords by hand, and comparisons are strict") {
  for (Decode decode : {cpu::head_decode, ref::head_decode}) {
    TestTensor logits(DType::f32, 1, 1, 2, 6);
    logits.fill(0);
    const double values[] = {0.75, 0.25, 0.5, 0.25, 0.5, 1};
    for (int e = 0; e < 6; ++e) logits.set(0, 0, 0, e, values[e]);
    HeadSpec head = small_head();
    head.new_coords = true;
    head.scale_x_y = 2;
    const Decoded result = run(decode, head, logits, 100, 200, 0.25f);
    REQUIRE(result.counts[0] == 1);
    const Detection d = result.images[0][0];
    check_near(d.x, 1.0 / 2, 1e-6, "x");
    check_near(d.y, 0, 1e-6, "y");
    check_near(d.w, 1 * 0.3, 1e-6, "w");
    check_near(d.h, 0.25 * 0.3, 1e-6, "h");
    check_near(d.score, 0.5, 1e-6, "score");
    CHECK(run(decode, head, logits, 100, 200, 0.5f).counts[0] == 0);
    logits.set(0, 0, 0, 5, 0.5);
    CHECK(run(decode, head, logits, 100, 200, 0.25f).counts[0] == 0);  // 0.25 > 0.25 is false
    CHECK(run(decode, head, logits, 100, 200, 0.2499f).counts[0] == 1);
  }
}

TEST_CASE("head_decode: a Gaussian head is less sure by the mean of its uncertainties") {
  for (Decode decode : {cpu::head_decode, ref::head_decode}) {
    HeadSpec head = small_head();
    head.kind = HeadKind::gaussian;
    TestTensor logits(DType::f32, 1, 1, 1, 10);
    logits.fill(0);
    logits.set(0, 0, 0, 4, std::log(2.0));
    logits.set(0, 0, 0, 8, std::log(4.0));
    const Decoded result = run(decode, head, logits, 100, 200, 0.1f);
    REQUIRE(result.counts[0] == 1);
    check_near(result.images[0][0].w, 0.6, 1e-6, "w");
    check_near(result.images[0][0].h, 0.3, 1e-6, "h");
    check_near(result.images[0][0].score, 0.8 * 0.5 * 0.5, 1e-6, "score");
  }
}

TEST_CASE("head_decode: a region head has anchors in cells and a softmax") {
  for (Decode decode : {cpu::head_decode, ref::head_decode}) {
    HeadSpec head = test::make_head(3, {{1.5f, 0.5f}}, {0});
    head.kind = HeadKind::region;
    TestTensor logits(DType::f32, 1, 1, 3, 8);
    logits.fill(-50);
    const double values[] = {0, 0, 0, std::log(2.0), 0, std::log(1.0), std::log(3.0), std::log(4.0)};
    for (int e = 0; e < 8; ++e) logits.set(0, 0, 2, e, values[e]);
    const Decoded result = run(decode, head, logits, 96, 32, 0.1f);
    REQUIRE(result.counts[0] == 2);
    const Detection first = result.images[0][0], second = result.images[0][1];
    check_near(first.x, 2.5 / 3, 1e-6, "x");
    check_near(first.w, 1.5 / 3, 1e-6, "w");
    check_near(first.h, 2 * 0.5 / 1, 1e-6, "h");
    CHECK(first.cls == 1);
    check_near(first.score, 0.5 * 3 / 8, 1e-6, "score");
    CHECK(second.cls == 2);
    check_near(second.score, 0.5 * 4 / 8, 1e-6, "score");
  }
}

TEST_CASE("head_decode: cpu equals ref for all kinds of heads, storages and slices") {
  test::Random random(1);
  for (const HeadSpec& head : test::all_kinds()) {
    for (DType dtype : {DType::f32, DType::bf16}) {
      for (const auto& [h, w] : {std::pair{1, 1}, {5, 3}, {13, 11}}) {
        TestTensor logits(dtype, 3, h, w, head.anchors * head.entries(), 3, 2);
        test::fill_outputs(logits, head, random);
        const int net_w = 32 * w, net_h = 32 * h;
        for (float threshold : {0.0f, 0.005f, 0.3f}) {
          const Decoded expected = run(ref::head_decode, head, logits, net_w, net_h, threshold);
          const Decoded actual = run(cpu::head_decode, head, logits, net_w, net_h, threshold);
          check_same(actual, expected);
          for (const auto& image : actual.images) {
            const bool ordered = std::is_sorted(image.begin(), image.end(), [](const Detection& a, const Detection& b) {
              return std::pair(a.index, a.cls) < std::pair(b.index, b.cls);
            });
            CHECK(ordered);
          }
        }
      }
    }
  }
}

TEST_CASE("head_decode: appends, counts what does not fit, drops NaN") {
  for (Decode decode : {cpu::head_decode, ref::head_decode}) {
    const HeadSpec head = small_head();
    TestTensor logits(DType::f32, 1, 1, 7, 6);
    logits.fill(3);
    CHECK(run(decode, head, logits, 100, 200, 0.1f, 4).counts[0] == 7);
    CHECK(run(decode, head, logits, 100, 200, 0.1f, 4).images[0].at(3).index == 1003);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    logits.set(0, 0, 2, 4, nan);  // objectness
    logits.set(0, 0, 3, 5, nan);  // class
    logits.set(0, 0, 4, 2, nan);  // width
    CHECK(run(decode, head, logits, 100, 200, 0.0f).counts[0] == 4);
    logits.set(0, 0, 5, 2, 1000);  // a size without bounds stays finite
    const Decoded result = run(decode, head, logits, 100, 200, 0.0f);
    for (const Detection& d : result.images[0]) CHECK(std::isfinite(d.w));
    // A second head appends behind the first.
    std::vector<Detection> room(20);
    std::int32_t count = 5;
    room[4].index = 77;
    decode({.head = head,
            .logits = logits,
            .net_w = 100,
            .net_h = 200,
            .threshold = 0.1f,
            .detections = room.data(),
            .counts = &count,
            .capacity = 20},
           {});
    CHECK(count == 9);
    CHECK(room[4].index == 77);
    CHECK(room[5].index == 0);
  }
}

TEST_CASE("head_decode: wrong arguments are errors") {
  TestTensor logits(DType::f32, 1, 1, 1, 7);
  logits.fill(0);
  HeadSpec head = small_head();
  CHECK_THROWS_AS(run(cpu::head_decode, head, logits, 100, 200, 0.1f), Error);  // 7 channels
  TestTensor right(DType::f32, 1, 1, 1, 6);
  right.fill(0);
  CHECK_THROWS_AS(run(cpu::head_decode, head, right, 0, 200, 0.1f), Error);
  CHECK_THROWS_AS(run(cpu::head_decode, head, right, 100, 200, -0.1f), Error);
  CHECK_THROWS_AS(run(cpu::head_decode, head, right, 100, 200, std::nanf("")), Error);
  head.mask[0] = 1;
  CHECK_THROWS_AS(run(cpu::head_decode, head, right, 100, 200, 0.1f), Error);
}

// ------------------------------------------------------------------------------------------------ OpenCV's decoding

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
  explicit GoldenFile(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
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
  HeadSpec head = test::make_head(golden.classes, golden.anchors, g.mask);
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
  const Decoded result = run(cpu::head_decode, head, logits, golden.net, golden.net, 0.001f);
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

}  // namespace
}  // namespace rook
