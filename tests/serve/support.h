// A server in this process, with a small network whose random weights find much on noise.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "serve/server.h"
#include "tests/io/picture_support.h"
#include "tests/model/tiny.h"
#include "tests/serve/client.h"

namespace rook::test {

inline const std::string kServed =
    "conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky | conv filters=14 size=1 "
    "activation=linear" +
    kHead;

inline Model served_model() {
  return tiny_model(kServed, "width=64 height=32 channels=3");
}

inline io::Image noise_photo(int width, int height, std::uint64_t seed) {
  Random random(seed);
  io::Image image{.width = width,
                  .height = height,
                  .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3)};
  for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(random.below(256));
  return image;
}

inline std::string png_of(const io::Image& image) {
  const TempFolder folder;
  io::write_image(folder / "photo.png", image);
  const ByteVector bytes = load(folder / "photo.png");
  return {bytes.begin(), bytes.end()};
}

inline serve::ServiceOptions service_options(int batch = 4, int queue = 64) {
  return {.batcher = {.detector = {.backend = &cpu_backend(), .batch = batch, .threshold = 0.3f}, .queue = queue},
          .defaults = {.conf = 0.3f}};
}

// Runs until it goes out of scope.
class RunningServer {
 public:
  explicit RunningServer(serve::ServerOptions options = {},
                         const serve::ServiceOptions& service_options_ = service_options(),
                         Model served = served_model())
      : model(std::move(served)), service(model, service_options_) {
    options.port = 0;
    server = std::make_unique<serve::Server>(service, options);
    thread_ = std::thread([this] { server->run(); });
  }
  ~RunningServer() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    server->stop();
    thread_.join();
  }
  int port() const { return server->port(); }

  Model model;
  serve::Service service;
  std::unique_ptr<serve::Server> server;

 private:
  std::thread thread_;
};

}  // namespace rook::test
