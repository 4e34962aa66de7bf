// librookdetect.so: the boxes of the detector itself, whatever way a picture comes in; what cannot be is said.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "embed/rook_detect.h"
#include "io/image.h"
#include "model/detections.h"
#include "model/detector.h"
#include "synth/chess.h"
#include "tests/io/picture_support.h"

extern "C" {
int32_t boxes_on_file(const char* model, const rook_detector_options* options, const char* file, rook_box* boxes,
                      int32_t capacity);
int32_t closes_nothing(void);
}

using namespace rook;
using namespace rook::test;

namespace {

constexpr float kConfidence = 0.02f;
constexpr int kRoom = 500;

// A rendered photo, as a file and as pixels, and what the detector finds on it.
struct Photo {
  TempFolder folder;
  std::string file = (folder / "photo.png").string();
  io::Image pixels;
  std::vector<Detection> boxes;

  Photo() {
    const io::Image sheet = synth::render_chess({.size = 160}, 0).image;
    // Odd, so that rows with gaps and without are told apart.
    pixels = {.width = 157, .height = 121};
    for (int y = 0; y < pixels.height; ++y)
      pixels.pixels.insert(pixels.pixels.end(), sheet.pixels.begin() + y * sheet.width * 3,
                           sheet.pixels.begin() + y * sheet.width * 3 + pixels.width * 3);
    io::write_image(file, pixels);
    Model model = load_model("rendered");
    Detector detector(*model.network, *model.params, model.preprocess,
                      {.backend = &cpu_backend(), .threshold = kConfidence});
    boxes = detector.detect(std::span(&pixels, 1)).front();
    REQUIRE(boxes.size() > 3);
    REQUIRE(boxes.size() < kRoom);
  }
};

const Photo& photo() {
  static const Photo made;
  return made;
}

struct Opened {
  rook_detector* detector;
  explicit Opened(const rook_detector_options& options) : detector(rook_detector_open("rendered", &options)) {
    REQUIRE_MESSAGE(detector, rook_detector_error());
  }
  ~Opened() { rook_detector_close(detector); }
};

constexpr rook_detector_options kOptions{"cpu", "f32", nullptr, 0, kConfidence, 0};

void check_boxes(int32_t found, const std::vector<rook_box>& boxes) {
  const Photo& p = photo();
  REQUIRE_MESSAGE(found == static_cast<int32_t>(p.boxes.size()), rook_detector_error());
  for (std::size_t i = 0; i < p.boxes.size(); ++i) {
    const PixelBox want = to_pixels(p.boxes[i], p.pixels.width, p.pixels.height);
    const rook_box& got = boxes[i];
    CHECK((got.left == want.left && got.top == want.top && got.width == want.width && got.height == want.height));
    CHECK((got.score == p.boxes[i].score && got.class_id == p.boxes[i].cls));
  }
}

// The photo with pixels in another order, rows `gap` bytes apart.
std::vector<std::uint8_t> arranged(const std::vector<int>& channels, int gap) {
  const io::Image& image = photo().pixels;
  std::vector<std::uint8_t> bytes;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x)
      for (const int c : channels)
        bytes.push_back(c < 3 ? image.pixels[static_cast<std::size_t>((y * image.width + x) * 3 + c)]
                              : static_cast<std::uint8_t>(x * y));
    if (y + 1 < image.height) bytes.insert(bytes.end(), static_cast<std::size_t>(gap), 0xEE);
  }
  return bytes;
}

}  // namespace

TEST_CASE("embedded detector: a file, called from C") {
  std::vector<rook_box> boxes(kRoom);
  check_boxes(boxes_on_file("rendered", &kOptions, photo().file.c_str(), boxes.data(), kRoom), boxes);
  CHECK(closes_nothing() == 1);
}

TEST_CASE("embedded detector: bytes of a file, and pixels in every order, with gaps between rows or without") {
  const Opened opened(kOptions);
  std::vector<rook_box> boxes(kRoom);
  const ByteVector file = load(photo().file);
  check_boxes(
      rook_detector_encoded(opened.detector, file.data(), static_cast<int64_t>(file.size()), boxes.data(), kRoom),
      boxes);
  const int width = photo().pixels.width, height = photo().pixels.height;
  for (const auto& [order, channels] : {std::pair(ROOK_RGB, std::vector{0, 1, 2}),
                                        {ROOK_BGR, {2, 1, 0}},
                                        {ROOK_RGBA, {0, 1, 2, 3}},
                                        {ROOK_BGRA, {2, 1, 0, 3}}})
    for (const int gap : {0, 7}) {
      const std::string what = fmt::format("order {}, gap {}", order, gap);
      INFO(what);
      const std::vector<std::uint8_t> bytes = arranged(channels, gap);  // ends with the last pixel
      const int64_t stride = gap ? width * static_cast<int64_t>(channels.size()) + gap : 0;
      std::fill(boxes.begin(), boxes.end(), rook_box{});
      check_boxes(
          rook_detector_pixels(opened.detector, bytes.data(), width, height, stride, order, boxes.data(), kRoom),
          boxes);
    }
  // Grey is a picture whose three channels are equal.
  const std::vector<std::uint8_t> grey = arranged({0}, 0), equal = arranged({0, 0, 0}, 0);
  std::vector<rook_box> others(kRoom);
  const int32_t found =
      rook_detector_pixels(opened.detector, grey.data(), width, height, 0, ROOK_GREY, boxes.data(), kRoom);
  CHECK(rook_detector_pixels(opened.detector, equal.data(), width, height, 0, ROOK_RGB, others.data(), kRoom) == found);
  CHECK(std::memcmp(boxes.data(), others.data(), static_cast<std::size_t>(found) * sizeof(rook_box)) == 0);
}

TEST_CASE("embedded detector: no more boxes are written than there is room for, and how many there are is said") {
  const Opened opened(kOptions);
  std::vector<rook_box> boxes(kRoom, rook_box{-1, -1, -1, -1, -1, -1});
  const int32_t all = static_cast<int32_t>(photo().boxes.size());
  CHECK(rook_detector_file(opened.detector, photo().file.c_str(), boxes.data(), 2) == all);
  CHECK((boxes[0].score >= boxes[1].score && boxes[1].score > 0 && boxes[2].score == -1));
  CHECK(rook_detector_file(opened.detector, photo().file.c_str(), nullptr, 0) == all);
}

TEST_CASE("embedded detector: options, classes and the size of the input") {
  rook_detector_options options = kOptions;
  options.size = 96;
  options.confidence = 0.9f;
  const Opened opened(options);
  int32_t width = 0, height = 0;
  rook_detector_input(opened.detector, &width, &height);
  CHECK((width == 96 && height == 96));
  CHECK(rook_detector_classes(opened.detector) == 12);
  CHECK(rook_detector_class(opened.detector, 0) == std::string("black-bishop"));
  CHECK(rook_detector_class(opened.detector, 12) == nullptr);
  CHECK(rook_detector_class(opened.detector, -1) == nullptr);
  CHECK(rook_detector_file(opened.detector, photo().file.c_str(), nullptr, 0) <
        static_cast<int32_t>(photo().boxes.size()));
  CHECK(rook_detect_abi() == ROOK_DETECT_ABI);
}

TEST_CASE("embedded detector: what cannot be is said, and nothing leaves the library") {
  const auto refuses = [](const char* model, rook_detector_options options, const char* why) {
    CHECK(rook_detector_open(model, &options) == nullptr);
    CHECK_MESSAGE(std::strstr(rook_detector_error(), why), rook_detector_error(), " lacks ", why);
  };
  refuses("no-such-run", {}, "no-such-run");
  refuses(nullptr, {}, "model: null");
  refuses("rendered", {"tpu", nullptr, nullptr, 0, 0, 0}, "device 'tpu' is not known");
  refuses("rendered", {"cpu", "int8", nullptr, 0, 0, 0}, "precision int8");
  refuses("rendered", {"cpu", "f16", nullptr, 0, 0, 0}, "precision f16: is for inference on a GPU");
  refuses("rendered", {"cpu", nullptr, nullptr, 100, 0, 0}, "size: 100 is not a multiple of 32 up to 8192");
  refuses("rendered", {"cpu", nullptr, nullptr, 0, 2, 0}, "confidence: 2 is not between 0 and 1");
  refuses("rendered", {"cpu", nullptr, nullptr, 0, 0, -1}, "nms_threshold: -1");

  const Opened opened(kOptions);
  rook_box box;
  const auto fails = [](int32_t result, const char* why) {
    CHECK(result == -1);
    CHECK_MESSAGE(std::strstr(rook_detector_error(), why), rook_detector_error(), " lacks ", why);
  };
  const std::uint8_t pixels[12] = {};
  fails(rook_detector_file(nullptr, "a.png", &box, 1), "detector: null");
  fails(rook_detector_file(opened.detector, "none.png", &box, 1), "none.png");
  fails(rook_detector_file(opened.detector, photo().file.c_str(), nullptr, 1), "no place");
  fails(rook_detector_file(opened.detector, photo().file.c_str(), &box, -1), "capacity: -1");
  fails(rook_detector_encoded(opened.detector, pixels, 12, &box, 1), "picture");
  fails(rook_detector_encoded(opened.detector, nullptr, 12, &box, 1), "bytes: null");
  fails(rook_detector_pixels(opened.detector, pixels, 0, 2, 0, ROOK_RGB, &box, 1), "0x2 pixels");
  fails(rook_detector_pixels(opened.detector, pixels, 2, 2, 5, ROOK_RGB, &box, 1), "stride: 5 bytes, but a row has 6");
  fails(rook_detector_pixels(opened.detector, pixels, 2, 2, 0, 7, &box, 1), "order: 7");
  // The message is the thread's own.
  std::thread([&] { CHECK(rook_detector_error() == std::string()); }).join();
  CHECK(rook_detector_pixels(opened.detector, pixels, 2, 2, 0, ROOK_RGB, &box, 1) >= 0);
}

TEST_CASE("embedded detector: threads share a detector") {
  const Opened opened(kOptions);
  std::vector<std::vector<rook_box>> boxes(3, std::vector<rook_box>(kRoom));
  std::vector<int32_t> found(3, -1);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2; ++i)
        found[t] = rook_detector_file(opened.detector, photo().file.c_str(), boxes[t].data(), kRoom);
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < 3; ++t) check_boxes(found[t], boxes[t]);
}
