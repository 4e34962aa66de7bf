#include "serve/query.h"

#include <fmt/format.h>
#include <charconv>
#include <set>
#include <vector>

#include "base/error.h"
#include "io/cfg.h"

namespace rook::serve {
namespace {

constexpr int kMostBoxes = 100000;

// All of `text` as a number inside [low, high].
template <class T>
T number(const Parameter& parameter, T low, T high) {
  const std::string& text = parameter.second;
  T value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high))
    throw Error(fmt::format("{}: is to be a number from {} to {}", parameter.first, low, high));
  return value;
}

}  // namespace

DetectSettings parse_query(std::span<const Parameter> query, const DetectSettings& defaults, const Network& network) {
  static const std::vector<std::string> known{"conf", "nms", "nms_threshold", "max"};
  DetectSettings settings = defaults;
  std::set<std::string> seen;
  for (const Parameter& parameter : query) {
    const std::string& name = parameter.first;
    if (!seen.insert(name).second) throw Error(fmt::format("{}: is given twice", name));
    if (name == "conf") {
      settings.conf = number(parameter, 0.0f, 1.0f);
    } else if (name == "nms") {
      settings.nms_kind = nms_from_name(parameter.second, network);
    } else if (name == "nms_threshold") {
      settings.nms_threshold = number(parameter, 0.0f, 1.0f);
    } else if (name == "max") {
      settings.most = number(parameter, 0, kMostBoxes);
    } else {
      const auto near = io::did_you_mean(name, known);
      throw Error(fmt::format("{}: is no parameter; there are conf, nms, nms_threshold, max{}", name,
                              near ? fmt::format(" (did you mean {}?)", *near) : ""));
    }
  }
  return settings;
}

}  // namespace rook::serve
