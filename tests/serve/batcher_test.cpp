// Photos of many threads in common passes: the boxes of each are those it has alone.
#include "serve/batcher.h"

#include <atomic>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "tests/serve/support.h"

using namespace rook;
using namespace rook::test;
using serve::Batcher;
using serve::DetectSettings;

namespace {

serve::BatcherOptions options(int batch, int queue = 64) {
  return {.detector = {.backend = &cpu_backend(), .batch = batch, .threshold = 0.3f}, .queue = queue};
}

bool same(const std::vector<Detection>& a, const std::vector<Detection>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Detection& x, const Detection& y) {
    return x.x == y.x && x.y == y.y && x.w == y.w && x.h == y.h && x.score == y.score && x.cls == y.cls;
  });
}

std::vector<serve::Decode> ready(const std::vector<io::Image>& photos) {
  std::vector<serve::Decode> decodes;
  for (const io::Image& photo : photos) decodes.emplace_back([&photo] { return photo; });
  return decodes;
}

std::vector<Detection> alone(const Model& model, const io::Image& photo, const DetectSettings& s) {
  Detector detector(
      *model.network, *model.params, model.preprocess,
      {.backend = &cpu_backend(), .threshold = s.conf, .nms_kind = s.nms_kind, .nms_threshold = s.nms_threshold});
  std::vector<Detection> boxes = detector.detect({&photo, 1}).front();
  if (s.most > 0 && boxes.size() > static_cast<std::size_t>(s.most)) boxes.resize(static_cast<std::size_t>(s.most));
  return boxes;
}

}  // namespace

TEST_CASE("batcher: each photo as if it were alone, whatever shares its pass") {
  const Model model = served_model();
  Batcher batcher(model, options(7));  // passes of 1, 2 and 4
  CHECK(batcher.largest_batch() == 4);
  std::mutex mutex;
  std::vector<int> passes;
  batcher.on_batch = [&](int photos, double seconds) {
    const std::lock_guard lock(mutex);
    passes.push_back(photos);
    CHECK(seconds > 0);
  };
  const std::vector<DetectSettings> kinds{{.conf = 0.3f},
                                          {.conf = 0.6f},
                                          {.conf = 0.3f, .most = 3},
                                          {.conf = 0.2f, .nms_kind = NmsKind::diou, .nms_threshold = 0.3f},
                                          {.conf = 0.4f, .nms_kind = NmsKind::greedy, .nms_threshold = 0.6f}};
  constexpr int kThreads = 9, kRounds = 6;
  std::vector<std::vector<std::vector<Detection>>> found(kThreads), expected(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int r = 0; r < kRounds; ++r) {
        std::vector<io::Image> photos;
        for (int p = 0; p < 1 + (t + r) % 3; ++p)
          photos.push_back(noise_photo(40 + 7 * t, 30 + 5 * r, static_cast<std::uint64_t>(100 * t + 10 * r + p)));
        const auto ticket = batcher.admit(static_cast<int>(photos.size()), 1);
        for (serve::Found& one : batcher.detect(ready(photos), kinds[static_cast<std::size_t>(t + r) % kinds.size()]))
          found[static_cast<std::size_t>(t)].push_back(std::move(one.boxes));
      }
    });
  for (std::thread& thread : threads) thread.join();
  std::size_t boxes = 0, photos = 0;
  for (int t = 0; t < kThreads; ++t) {
    std::size_t at = 0;
    for (int r = 0; r < kRounds; ++r)
      for (int p = 0; p < 1 + (t + r) % 3; ++p, ++at, ++photos) {
        const io::Image photo = noise_photo(40 + 7 * t, 30 + 5 * r, static_cast<std::uint64_t>(100 * t + 10 * r + p));
        const auto& got = found[static_cast<std::size_t>(t)].at(at);
        CHECK(same(got, alone(model, photo, kinds[static_cast<std::size_t>(t + r) % kinds.size()])));
        boxes += got.size();
      }
  }
  CHECK(boxes > 300);
  std::size_t passed = 0;
  for (const int count : passes) {
    CHECK((count == 1 || count == 2 || count == 4));
    passed += static_cast<std::size_t>(count);
  }
  CHECK(passed == photos);
  CHECK(batcher.queued() == 0);
}

TEST_CASE("batcher: the queue holds so many photos and bytes, and not one more") {
  const Model model = served_model();
  serve::BatcherOptions small = options(2, 3);
  small.queue_bytes = 100;
  Batcher batcher(model, small);
  CHECK(!batcher.admit(4, 1));
  CHECK(!batcher.admit(1, 101));
  {
    const auto two = batcher.admit(2, 60);
    REQUIRE(two);
    CHECK(batcher.queued() == 2);
    CHECK(!batcher.admit(2, 1));
    CHECK(!batcher.admit(1, 41));
    const auto one = batcher.admit(1, 40);
    CHECK(one);
    CHECK(!batcher.admit(1, 0));
  }
  CHECK(batcher.queued() == 0);
  CHECK(batcher.admit(3, 100));
}

TEST_CASE("batcher: a photo that fails takes no other with it") {
  const Model model = served_model();
  Batcher batcher(model, options(4));
  io::Image grey = noise_photo(20, 20, 1);
  grey.channels = 1;
  std::atomic<int> failures{0}, good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      const std::vector<io::Image> one{t % 4 == 0 ? grey : noise_photo(20, 20, static_cast<std::uint64_t>(t))};
      for (int r = 0; r < 5; ++r) {
        try {
          batcher.detect(ready(one), {.conf = 0.3f});
          ++good;
        } catch (const Error& error) {
          failures += std::string(error.what()).find("channels") != std::string::npos;
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 10);
  CHECK(good == 30);
}
