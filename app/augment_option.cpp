#include "app/augment_option.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string_view>
#include <vector>

#include "app/common.h"
#include "base/error.h"
#include "io/cfg.h"
#include "kernels/augment_plan.h"

namespace rook::app {
namespace {

struct Key {
  const char* name;
  float AugmentSpec::*value;
  const char* text;
};

// Without mosaics, which have options of their own.
constexpr std::array<Key, 10> kKeys = {{
    {"flip", &AugmentSpec::flip, "probability of a mirrored photo: 0 where left and right differ, as in text"},
    {"scale", &AugmentSpec::scale, "larger and smaller by up to this share"},
    {"aspect", &AugmentSpec::aspect, "wider and narrower by up to this share"},
    {"shift", &AugmentSpec::shift, "moved by up to this share of the picture"},
    {"hue", &AugmentSpec::hue, "hue turned by up to this share of the circle"},
    {"saturation", &AugmentSpec::saturation, "times or divided by up to this; 1: as it is"},
    {"exposure", &AugmentSpec::exposure, "the same for brightness"},
    {"jitter", &AugmentSpec::jitter, "darknet's: each edge moved by up to this share"},
    {"resize", &AugmentSpec::resize,
     "darknet's: crop enlarged or shrunk by up to this factor, below 1 only enlarged; 1: as it is"},
    {"min_visible", &AugmentSpec::min_visible, "a box of which less than this share is left is dropped"},
}};

const Key& key_of(std::string_view name) {
  std::vector<std::string> names;
  for (const Key& key : kKeys) {
    if (name == key.name) return key;
    names.emplace_back(key.name);
  }
  if (name.starts_with("mosaic"))
    throw UsageError("--augment: mosaics have options of their own, --mosaic and --mosaic-until");
  const auto near = io::did_you_mean(std::string(name), names);
  throw UsageError(
      fmt::format("--augment: there is no '{}'{}", name,
                  near ? fmt::format(" (did you mean {}?)", *near) : "; rook train --help lists what there is"));
}

}  // namespace

void set_augmentation(AugmentSpec& spec, const std::string& text) {
  if (text == "none") {
    spec = {.flip = 0, .mosaic_bound = spec.mosaic_bound, .min_visible = spec.min_visible};
    return;
  }
  std::set<std::string_view> given;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    const std::size_t equals = std::min(part.find('='), part.size());
    const Key& key = key_of(part.substr(0, equals));
    if (!given.insert(key.name).second) throw UsageError(fmt::format("--augment: {} stands twice", key.name));
    const std::string value = equals < part.size() ? part.substr(equals + 1) : "";
    char* end = nullptr;
    spec.*key.value = std::strtof(value.c_str(), &end);
    if (value.empty() || *end) throw UsageError(fmt::format("--augment {}: write {}=NUMBER", part, key.name));
    at = comma + 1;
  }
  try {
    check_augmentation(spec);
  } catch (const Error& error) {
    throw UsageError(fmt::format("--{}", error.what()));  // "augment: flip is 2; ..."
  }
}

std::string augmentation_keys() {
  std::string text;
  for (const Key& key : kKeys) text += fmt::format("  {:<11} {}\n", key.name, key.text);
  return text;
}

}  // namespace rook::app
