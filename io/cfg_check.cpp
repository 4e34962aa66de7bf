// Contradictions within a section and between sections that darknet meets with a crash or with garbage.
#include "io/cfg_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "io/cfg_schema.h"
#include "io/cfg_value.h"

namespace rook::io {
namespace {

[[noreturn]] void fail(const CfgSection& section, std::string_view key, const std::string& what) {
  throw Error(place_of(section, key) + what);
}

void check_required(const CfgSection& section) {
  const CfgSchema* schema = find_schema(section.type);
  for (const CfgKey& key : schema->keys) {
    if (key.required && !section.has(key.name)) fail(section, {}, fmt::format("has no {}=; add it", key.name));
  }
}

void check_net(const CfgSection& net) {
  const auto steps = net.integers("steps");
  const auto scales = net.numbers("scales");
  if (scales.size() < steps.size()) {
    fail(net, net.has("scales") ? "scales" : "steps",
         fmt::format("has {} steps but {} scales; give each step its scale", steps.size(), scales.size()));
  }
  if (net.text("policy", "constant") == "steps" && steps.empty()) {
    fail(net, "policy", "policy=steps without steps=; add steps= and scales=, or take policy=constant");
  }
  if (!std::is_sorted(steps.begin(), steps.end())) fail(net, "steps", "steps do not rise; put them in order");
}

void check_strides(const CfgSection& section) {
  for (const char* key : {"stride_x", "stride_y"}) {
    if (section.has(key) && section.integer(key, 1) == 0) {
      fail(section, key, fmt::format("{}=0; give 1 or more, or remove it to use stride", key));
    }
  }
}

// Layers that are named by index: negative ones count back from this layer, others are absolute without [net].
void check_references(const CfgSection& section, int index) {
  const bool route = section.type == "route";
  if (!route && section.type != "shortcut" && section.type != "scale_channels" && section.type != "sam") return;
  const char* key = route ? "layers" : "from";
  for (const int given : section.integers(key)) {
    const std::int64_t layer = given < 0 ? std::int64_t{index} + given : given;
    if (layer < 0 || layer >= index) {
      fail(section, key,
           fmt::format("{}: {} is layer {}, and this is layer {}; name a layer before it", key, given, layer, index));
    }
  }
}

void check_groups(const CfgSection& section) {
  const int groups = integer_or_default(section, "groups");
  if (section.type == "convolutional" && integer_or_default(section, "filters") % groups != 0) {
    fail(section, "groups",
         fmt::format("groups={} does not divide filters={}; make filters a multiple of groups", groups,
                     integer_or_default(section, "filters")));
  }
  if (section.type == "route" && integer_or_default(section, "group_id") >= groups) {
    fail(section, "group_id",
         fmt::format("group_id={} with groups={}; groups are numbered from 0", integer_or_default(section, "group_id"),
                     groups));
  }
}

void check_head(const CfgSection& head) {
  const int num = integer_or_default(head, "num");
  const auto anchors = head.numbers("anchors");
  if (anchors.size() != 2 * static_cast<std::size_t>(num)) {
    fail(head, "anchors",
         fmt::format("has {} numbers in anchors but num={}; give width,height of each anchor, {} numbers",
                     anchors.size(), num, 2 * std::int64_t{num}));
  }
  for (const float size : anchors) {
    if (!(size > 0)) fail(head, "anchors", "has an anchor of size 0; widths and heights must be positive");
  }
  std::set<int> seen;
  for (const int anchor : head_mask(head)) {
    if (anchor >= num) {
      fail(head, "mask", fmt::format("mask names anchor {} but num={}; anchors are numbered from 0", anchor, num));
    }
    if (!seen.insert(anchor).second) fail(head, "mask", fmt::format("mask names anchor {} twice; remove one", anchor));
  }
  const auto counters = head.integers("counters_per_class");
  const int classes = integer_or_default(head, "classes");
  if (!counters.empty() && counters.size() != static_cast<std::size_t>(classes)) {
    fail(head, "counters_per_class",
         fmt::format("has {} counters_per_class for {} classes; give one for each class", counters.size(), classes));
  }
}

const CfgKey& key_with_default(const CfgSection& section, std::string_view key) {
  const CfgSchema* schema = find_schema(section.type);
  const CfgKey* row = schema ? find_key(*schema, key) : nullptr;
  if (!row || row->fallback.empty()) {
    throw Error(fmt::format("{}has no {}= and there is no default for it; add it", place_of(section), key));
  }
  return *row;
}

}  // namespace

bool is_head(const CfgSection& section) {
  return section.type == "yolo" || section.type == "Gaussian_yolo" || section.type == "region";
}

std::vector<int> head_mask(const CfgSection& head) {
  if (head.type != "region" && head.has("mask")) return head.integers("mask");
  std::vector<int> all(static_cast<std::size_t>(integer_or_default(head, "num")));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  return all;
}

std::int64_t head_filters(const CfgSection& head, int classes) {
  const int others = head.type == "region"          ? integer_or_default(head, "coords") + 1
                     : head.type == "Gaussian_yolo" ? 9
                                                    : 5;
  return (std::int64_t{classes} + others) * static_cast<std::int64_t>(head_mask(head).size());
}

int integer_or_default(const CfgSection& section, std::string_view key) {
  if (section.has(key)) return section.integer(key, 0);
  return to_integer(key_with_default(section, key).fallback).value();
}

float number_or_default(const CfgSection& section, std::string_view key) {
  if (section.has(key)) return section.number(key, 0);
  return to_number(key_with_default(section, key).fallback).value();
}

void check_cfg(const Cfg& cfg) {
  for (int index = -1; index < cfg.layers(); ++index) {
    const CfgSection& section = index < 0 ? cfg.net() : cfg.layer(index);
    if (!find_schema(section.type)->in_scope) continue;
    check_required(section);
    if (index < 0) {
      check_net(section);
    } else {
      check_strides(section);
      check_references(section, index);
      if (section.type == "convolutional" || section.type == "route") check_groups(section);
      if (is_head(section)) check_head(section);
    }
  }
}

}  // namespace rook::io
