#include "serve/service.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "io/picture_file.h"
#include "kernels/types.h"
#include "model/detections.h"

namespace rook::serve {
namespace {

// Text of a Reply. Names of files need not be UTF-8: what is not is replaced by U+FFFD.
std::string text_of(const nlohmann::json& json) {
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::span<const std::uint8_t> as_pixels(std::string_view bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

io::Image decode(const Upload& upload, int channels) {
  try {
    return io::decode_image(as_pixels(upload.bytes), upload.name, channels);
  } catch (const Error& error) {
    throw Refusal(422, error.what());
  }
}

}  // namespace

Reply error_reply(int status, const std::string& message) {
  Reply reply{.status = status, .body = text_of({{"error", message}})};
  if (status == 503) reply.headers.emplace_back("Retry-After", "1");
  if (status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

Service::Service(const Model& model, const ServiceOptions& options)
    : model_(model), options_(options), batcher_(model, options.batcher) {
  batcher_.on_batch = [this](int photos, double seconds) { metrics_.batch(photos, seconds); };
}

std::vector<Upload> Service::uploads(std::string_view content_type, std::string_view body, bool batch) const {
  std::vector<Upload> photos;
  if (is_multipart(content_type)) {
    try {
      photos = parse_multipart(content_type, body);
    } catch (const Error& error) {
      throw Refusal(400, error.what());
    }
    std::erase_if(photos, [](const Upload& part) { return part.field; });
  } else {
    photos.push_back({.bytes = body, .name = {}});
  }
  if (photos.empty() || (!batch && photos.size() != 1))
    throw Refusal(400, fmt::format("{} photos came, {} expected", photos.size(),
                                   batch ? "one or more are" : "one is (several go to /detect/batch)"));
  for (std::size_t i = 0; i < photos.size(); ++i)
    if (photos[i].name.empty()) photos[i].name = photos.size() == 1 ? "photo" : fmt::format("photo {}", i + 1);
  return photos;
}

// Bytes that the photo takes decoded; its kind and size are looked at before anything large is done for it.
std::size_t Service::pixels_of(const Upload& upload) const {
  const auto bytes = as_pixels(upload.bytes);
  if (!io::looks_like_picture(bytes)) {
    try {
      io::inspect_picture(bytes, upload.name, io::PictureCheck::header);
    } catch (const Error& error) {
      throw Refusal(415, error.what());
    }
  }
  io::PictureInfo info;
  try {
    info = io::inspect_picture(bytes, upload.name, io::PictureCheck::header);
  } catch (const Error& error) {
    throw Refusal(422, error.what());
  }
  const std::int64_t pixels = std::int64_t{info.width} * info.height;
  if (pixels > options_.max_pixels)
    throw Refusal(413, fmt::format("{}: {} x {} pixels are more than the {} that are taken; make the photo smaller",
                                   upload.name, info.width, info.height, options_.max_pixels));
  return static_cast<std::size_t>(pixels) * static_cast<std::size_t>(model_.network->channels);
}

Reply Service::detect(std::string_view content_type, std::string_view body, std::span<const Parameter> query,
                      bool batch) {
  DetectSettings settings;
  try {
    settings = parse_query(query, options_.defaults, *model_.network);
  } catch (const Error& error) {
    throw Refusal(400, error.what());
  }
  const std::vector<Upload> photos = uploads(content_type, body, batch);
  const int count = static_cast<int>(photos.size());
  std::size_t bytes = 0;
  for (const Upload& photo : photos) bytes += pixels_of(photo);
  if (count > options_.batcher.queue || bytes > options_.batcher.queue_bytes)
    throw Refusal(413, fmt::format("{} photos of {} bytes decoded are more than the queue holds ({} photos, {} bytes)",
                                   count, bytes, options_.batcher.queue, options_.batcher.queue_bytes));
  const auto ticket = batcher_.admit(count, bytes);
  if (!ticket) throw Refusal(503, "the queue is full; come again");
  const int channels = model_.network->channels;
  const bool host = options_.batcher.detector.backend->runtime->host_memory;
  std::vector<Decode> decodes;
  for (const Upload& photo : photos) {
    if (host) {
      decodes.emplace_back([&photo, channels] { return decode(photo, channels); });
    } else {  // while the device is busy with others
      decodes.emplace_back([image = decode(photo, channels)]() mutable { return std::move(image); });
    }
  }
  const std::vector<Found> found = batcher_.detect(decodes, settings);
  nlohmann::json answer = nlohmann::json::array();
  std::size_t boxes = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    boxes += found[i].boxes.size();
    answer.push_back(
        to_json(photos[i].name, found[i].width, found[i].height, found[i].ms, found[i].boxes, model_.names));
  }
  metrics_.detections(boxes);
  return {.body = text_of(answer)};
}

Reply Service::model() const {
  const DetectorOptions& detector = options_.batcher.detector;
  return {.body = text_of({{"model", model_.source},
                           {"network", model_.network->cfg.name},
                           {"classes", model_.names},
                           {"width", batcher_.width()},
                           {"height", batcher_.height()},
                           {"parameters", model_.params->total()},
                           {"preprocess", to_text(model_.preprocess)},
                           {"device", detector.backend->name},
                           {"precision", name_of(detector.compute)},
                           {"conf", options_.defaults.conf},
                           {"nms_threshold", options_.defaults.nms_threshold},
                           {"batch", batcher_.largest_batch()},
                           {"queue", options_.batcher.queue},
                           {"max_bytes", options_.max_bytes},
                           {"max_pixels", options_.max_pixels}})};
}

Reply Service::health() const {
  return draining_ ? error_reply(503, "the server is stopping") : Reply{.body = text_of({{"status", "ok"}})};
}

Reply Service::metrics_text(int connections) const {
  return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics_.text(batcher_.queued(), connections)};
}

bool token_matches(std::string_view authorization, std::string_view token) {
  constexpr std::string_view kScheme = "Bearer ";
  if (token.empty() || !authorization.starts_with(kScheme)) return false;
  const std::string_view given = authorization.substr(kScheme.size());
  // Every character is looked at whatever the others are; volatile keeps the compiler from stopping early.
  volatile unsigned char difference = given.size() != token.size();
  for (std::size_t i = 0; i < given.size(); ++i)
    difference = difference | static_cast<unsigned char>(given[i] ^ token[i % token.size()]);
  return difference == 0;
}

}  // namespace rook::serve
