// From photos to boxes: what the detector adds to the network it runs.
#include "model/detector.h"

#include <utility>

#include "base/error.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

const std::string kStriding =
    "conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky | conv filters=14 size=1 "
    "activation=linear" +
    kHead;
constexpr const char* kNet = "width=64 height=32 channels=3";

io::Image noise(int width, int height, std::uint64_t seed) {
  Random random(seed);
  io::Image image{.width = width,
                  .height = height,
                  .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3)};
  for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(random.below(256));
  return image;
}

DetectorOptions options_with(float threshold, int batch = 1) {
  return {.backend = &cpu_backend(), .batch = batch, .threshold = threshold};
}

bool same(const std::vector<Detection>& a, const std::vector<Detection>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const Detection& x, const Detection& y) {
           return x.x == y.x && x.y == y.y && x.w == y.w && x.h == y.h && x.score == y.score && x.cls == y.cls &&
                  x.index == y.index;
         });
}

}  // namespace

TEST_CASE("detector: photos one by one and in batches give the same boxes") {
  const Model model = tiny_model(kStriding, kNet);
  std::vector<io::Image> photos;
  for (int i = 0; i < 7; ++i) photos.push_back(noise(50 + 13 * i, 90 - 7 * i, static_cast<std::uint64_t>(i)));
  for (const Fit fit : {Fit::stretch, Fit::letterbox}) {
    Detector one(*model.network, *model.params, {.fit = fit}, options_with(0.3f));
    Detector three(*model.network, *model.params, {.fit = fit}, options_with(0.3f, 3));
    const auto expected = one.detect(photos), found = three.detect(photos);
    REQUIRE(found.size() == 7);
    std::size_t boxes = 0;
    for (std::size_t i = 0; i < 7; ++i) {
      CHECK(same(found[i], expected[i]));
      boxes += found[i].size();
    }
    CHECK(boxes > 50);
  }
}

TEST_CASE("detector: boxes fall in score, exceed the threshold, and one class of a box is kept or all") {
  const Model model = tiny_model(kStriding, kNet);
  const io::Image photo = noise(64, 32, 1);
  Detector best(*model.network, *model.params, {}, options_with(0.2f));
  DetectorOptions all_classes = options_with(0.2f);
  all_classes.best_class = false;
  Detector all(*model.network, *model.params, {}, all_classes);
  const auto a = best.detect(std::span(&photo, 1))[0], b = all.detect(std::span(&photo, 1))[0];
  CHECK(a.size() > 10);
  CHECK(b.size() > a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].score > 0.2f);
    if (i > 0) CHECK(a[i].score <= a[i - 1].score);
  }
}

TEST_CASE("detector: room is made when more boxes than planned exceed the threshold") {
  // 64x64 cells of 2 anchors: with a threshold of 0 each of the 8192 boxes is a candidate for both classes.
  const Model model =
      tiny_model("conv filters=14 size=3 pad=1 activation=linear" + kHead, "width=64 height=64 channels=3");
  DetectorOptions options = options_with(0.0f);
  options.best_class = false;
  options.nms_threshold = 1;
  const io::Image photo = noise(64, 64, 2);
  Detector detector(*model.network, *model.params, {}, options);
  CHECK(detector.detect(std::span(&photo, 1))[0].size() == 2 * 8192);
  CHECK(detector.detect(std::span(&photo, 1))[0].size() == 2 * 8192);
}

TEST_CASE(
    "detector: letterbox finds the same boxes of a photo that has the network's shape, and undoes its borders "
    "otherwise") {
  const Model model = tiny_model(kStriding, kNet);
  const io::Image photo = noise(64, 32, 3);
  Detector stretch(*model.network, *model.params, {.resampling = Resampling::half_pixel}, options_with(0.3f));
  Detector letterbox(*model.network, *model.params, {.resampling = Resampling::half_pixel, .fit = Fit::letterbox},
                     options_with(0.3f));
  const auto a = stretch.detect(std::span(&photo, 1))[0], b = letterbox.detect(std::span(&photo, 1))[0];
  REQUIRE(a.size() == b.size());
  CHECK(a.size() > 0);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i].x - b[i].x) + std::abs(a[i].w - b[i].w) <= 1e-6);
  // A square photo takes the middle half of the width: x = (u - 1/4) * 2.
  Detection box{.x = 0.5f, .y = 0.25f, .w = 0.1f, .h = 0.2f, .score = 1, .objectness = 1, .cls = 0, .index = 0};
  undo_letterbox(box, 100, 100, 64, 32);
  CHECK(box.x == doctest::Approx(0.5));
  CHECK(box.y == doctest::Approx(0.25));
  CHECK(box.w == doctest::Approx(0.2));
  CHECK(box.h == doctest::Approx(0.2));
  box.x = 0.25f;
  undo_letterbox(box, 100, 100, 64, 32);
  CHECK(box.x == doctest::Approx(0.0));
  // However thin a photo, one row of pixels is left of it, in the middle.
  Truth truth{.x = 0.25f, .y = 0.5f, .w = 0.1f, .h = 1, .cls = 0};
  truth = letterboxed(truth, 1000, 1, 64, 32);
  CHECK(truth.h == doctest::Approx(1 / 32.0));
  box = {.x = truth.x, .y = truth.y, .w = truth.w, .h = truth.h, .score = 1, .objectness = 1, .cls = 0, .index = 0};
  undo_letterbox(box, 1000, 1, 64, 32);
  CHECK(box.x == doctest::Approx(0.25));
  CHECK(box.w == doctest::Approx(0.1));
  CHECK(box.h == doctest::Approx(1));
}

TEST_CASE("detector: pixels that have the network's size already are taken as they are") {
  const Model model = tiny_model(kStriding, kNet);
  const io::Image photo = noise(64, 32, 4);
  Detector detector(*model.network, *model.params, {.resampling = Resampling::area}, options_with(0.3f));
  const auto expected = detector.detect(std::span(&photo, 1))[0];
  detector.load_prepared(0, photo.pixels.data(), 640, 480);
  CHECK(same(detector.run(1)[0], expected));
  const Tensor x = detector.executor().input();
  for (std::int64_t i = 0; i < x.elements(); ++i)
    CHECK(x.as<float>()[i] == doctest::Approx(photo.pixels[static_cast<std::size_t>(i)] / 255.0));
}

TEST_CASE("detector: changed parameters are used after refresh") {
  const Model model = tiny_model(kStriding, kNet);
  const io::Image photo = noise(64, 32, 5);
  Detector detector(*model.network, *model.params, {}, options_with(0.3f));
  const auto before = detector.detect(std::span(&photo, 1))[0];
  std::vector<float> other(model.params->values().begin(), model.params->values().end());
  randomise(*model.params, 9);
  std::swap_ranges(other.begin(), other.end(),
                   model.params->values().begin());  // other: new values, params: the old ones
  detector.refresh(other.data());
  CHECK_FALSE(same(detector.detect(std::span(&photo, 1))[0], before));
  detector.refresh();
  CHECK(same(detector.detect(std::span(&photo, 1))[0], before));
}

TEST_CASE("detector: another size than the cfg's") {
  const Model model = tiny_model(kStriding, kNet);
  DetectorOptions options = options_with(0.3f);
  options.width = 96;
  options.height = 160;
  Detector detector(*model.network, *model.params, {}, options);
  CHECK((detector.width() == 96 && detector.height() == 160));
  CHECK((detector.executor().input().w == 96 && detector.executor().input().h == 160));
}

TEST_CASE("detector: what cannot be detected with is refused") {
  const Model headless = tiny_model("conv filters=4 size=1 activation=linear");
  CHECK_THROWS_WITH_AS(Detector(*headless.network, *headless.params, {}, options_with(0.3f)),
                       doctest::Contains("tiny: has no detection head"), Error);
  const Model model = tiny_model(kStriding, kNet);
  Detector detector(*model.network, *model.params, {}, options_with(0.3f));
  const io::Image grey{.width = 4, .height = 4, .channels = 1, .pixels = std::vector<std::uint8_t>(16)};
  CHECK_THROWS_WITH_AS(detector.load(0, grey), doctest::Contains("takes 3 channels, the picture has 1"), Error);
  CHECK(nms_from_name("cfg", *model.network) == NmsKind::plain);
  CHECK(nms_from_name("greedy", *model.network) == NmsKind::greedy);
  CHECK(nms_from_name("diou", *model.network) == NmsKind::diou);
  CHECK_THROWS_AS(nms_from_name("soft", *model.network), Error);
}
