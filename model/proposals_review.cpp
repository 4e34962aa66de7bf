#include "model/proposals_review.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model/detections.h"

namespace rook {
namespace {

// A field of RFC 4180.
std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

nlohmann::json to_json(const ReviewPhoto& photo, int box, const Review& review) {
  const Proposal& p = photo.proposals.boxes[static_cast<std::size_t>(box)];
  const PixelBox at = to_pixels(p.box, photo.width, photo.height);
  return {{"class", review.classes[static_cast<std::size_t>(p.box.cls)]},
          {"class_id", p.box.cls},
          {"score", p.box.score},
          {"box", {at.left, at.top, at.width, at.height}},
          {"doubt", p.doubt},
          {"why", name_of(p.why)},
          {"text", reason(photo.proposals, box, review.classes, review.options)}};
}

}  // namespace

int Review::proposed() const {
  int sum = 0;
  for (const ReviewPhoto& photo : photos) sum += photo.proposals.proposed;
  return sum;
}

double Review::corrections() const {
  double sum = 0;
  for (const ReviewPhoto& photo : photos) sum += photo.proposals.corrections;
  return sum;
}

nlohmann::json to_json(const Review& review) {
  nlohmann::json photos = nlohmann::json::array(), unreadable = nlohmann::json::array();
  for (const ReviewPhoto& photo : review.photos) {
    nlohmann::json boxes = nlohmann::json::array(), hints = nlohmann::json::array();
    for (int i = 0; i < static_cast<int>(photo.proposals.boxes.size()); ++i)
      (i < photo.proposals.proposed ? boxes : hints).push_back(to_json(photo, i, review));
    photos.push_back({{"photo", photo.name},
                      {"source", photo.file.string()},
                      {"width", photo.width},
                      {"height", photo.height},
                      {"corrections", photo.proposals.corrections},
                      {"proposals", boxes},
                      {"hints", hints}});
  }
  for (const auto& [file, why] : review.unreadable) unreadable.push_back({{"file", file}, {"reason", why}});
  return {{"model", review.model},         {"classes", review.classes}, {"conf", review.options.conf},
          {"floor", review.options.floor}, {"photos", photos},          {"unreadable", unreadable}};
}

std::string to_csv(const Review& review) {
  std::string text = "rank,photo,corrections,proposed,class,score,left,top,width,height,doubt,why\n";
  for (std::size_t rank = 0; rank < review.photos.size(); ++rank) {
    const ReviewPhoto& photo = review.photos[rank];
    const std::string head = fmt::format("{},{},{:.4f}", rank + 1, quoted(photo.name), photo.proposals.corrections);
    for (const Proposal& p : photo.proposals.boxes) {
      const PixelBox at = to_pixels(p.box, photo.width, photo.height);
      text += fmt::format("{},{},{},{:.4f},{:.1f},{:.1f},{:.1f},{:.1f},{:.4f},{}\n", head, p.proposed ? 1 : 0,
                          quoted(review.classes[static_cast<std::size_t>(p.box.cls)]), p.box.score, at.left, at.top,
                          at.width, at.height, p.doubt, name_of(p.why));
    }
    if (photo.proposals.boxes.empty()) text += head + ",0,,,,,,,,\n";
  }
  return text;
}

}  // namespace rook
