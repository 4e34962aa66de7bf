// Traps: cfgs that are legal and do something other than their author thinks (darknet.md 1.7, 6.2, 6.4, 8).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "io/cfg_check.h"
#include "io/cfg_schema.h"

namespace rook::io {
namespace {

using Warnings = std::vector<CfgWarning>;

void warn(Warnings& warnings, const CfgSection& section, std::string_view key, const std::string& message) {
  warnings.push_back({line_of(section, key), fmt::format("[{}] {}", section.type, message)});
}

void lint_input(const CfgSection& net, Warnings& warnings) {
  for (const char* key : {"width", "height"}) {
    const int pixels = integer_or_default(net, key);
    if (pixels % 32 != 0) {
      warn(warnings, net, key,
           fmt::format("{}={} is no multiple of 32; layers that are halved five times round it, take {}", key, pixels,
                       std::max(1, (pixels + 16) / 32) * 32));
    }
  }
  if (!net.has("channels")) warn(warnings, net, {}, "has no channels=; 3 is used, add channels=3");
  if (integer_or_default(net, "mosaic") == 1 && integer_or_default(net, "letter_box") == 1) {
    warn(warnings, net, "letter_box",
         "mosaic=1 with letter_box=1; darknet refuses to train with both, take one of them");
  }
}

void lint_schedule(const CfgSection& net, Warnings& warnings) {
  const int batch = integer_or_default(net, "batch"), subdivisions = integer_or_default(net, "subdivisions");
  if (batch % subdivisions != 0) {
    warn(warnings, net, "subdivisions",
         fmt::format("batch={} is no multiple of subdivisions={}; darknet drops the remainder", batch, subdivisions));
  }
  const std::array<const char*, 4> training = {"learning_rate", "policy", "steps", "burn_in"};
  const bool trains = std::any_of(training.begin(), training.end(), [&](const char* key) { return net.has(key); });
  if (trains && integer_or_default(net, "max_batches") == 0) {
    warn(warnings, net, "max_batches",
         "max_batches is 0 but there are training keys; darknet's training ends at once, set it");
  }
  if (net.has("steps") && net.text("policy", "constant") != "steps") {
    warn(warnings, net, "steps", "steps= is used with policy=steps only; add it");
  }
  if (net.numbers("scales").size() > net.integers("steps").size()) {
    warn(warnings, net, "scales", "more scales than steps; the last ones are never used");
  }
}

void lint_head(const Cfg& cfg, int index, Warnings& warnings) {
  const CfgSection& head = cfg.layer(index);
  const int classes = integer_or_default(head, "classes");
  if (!head.has("classes"))
    warn(warnings, head, {}, fmt::format("has no classes=; darknet's default of {} is used", classes));

  const CfgSection* conv = index > 0 ? &cfg.layer(index - 1) : nullptr;
  if (!conv || conv->type != "convolutional") {
    warn(warnings, head, {}, "has no [convolutional] right before it to compute its boxes");
  } else if (const int filters = integer_or_default(*conv, "filters"); filters != head_filters(head, classes)) {
    warn(warnings, *conv, "filters",
         fmt::format("filters={} but the [{}] in line {} needs {}", filters, head.type, head.line,
                     head_filters(head, classes)));
  }
  if (head.type == "region") return;

  if (integer_or_default(head, "objectness_smooth") == 1) {
    warn(warnings, head, "objectness_smooth",
         "objectness_smooth=1: trained as darknet does it, positives get no objectness and mAP may stay 0; set 0 to "
         "train");
  }
  if (number_or_default(head, "cls_normalizer") != 1 && !head.has("counters_per_class")) {
    warn(warnings, head, "cls_normalizer", "cls_normalizer has no effect in darknet without counters_per_class");
  }
}

// Heads that share one list of anchors: which of the list are left out, which are in two masks.
void lint_masks(const std::vector<const CfgSection*>& heads, Warnings& warnings) {
  std::map<int, std::vector<const CfgSection*>> users;
  const int num = integer_or_default(*heads.front(), "num");
  for (const CfgSection* head : heads) {
    for (const int anchor : head_mask(*head)) users[anchor].push_back(head);
  }
  const CfgSection& last = *heads.back();
  for (int anchor = 0; anchor < num; ++anchor) {
    const auto found = users.find(anchor);
    if (found == users.end()) {
      warn(warnings, last, "mask",
           fmt::format("anchor {} is in no head's mask; objects of that size are never learned", anchor));
    } else if (found->second.size() > 1) {
      warn(warnings, *found->second.back(), "mask",
           fmt::format("anchor {} is also in the mask of the head in line {}; one head should have it", anchor,
                       found->second.front()->line));
    }
  }
}

void lint_anchors(const Cfg& cfg, Warnings& warnings) {
  std::vector<std::pair<std::vector<float>, std::vector<const CfgSection*>>> families;
  for (const CfgSection& section : cfg.sections) {
    if (!is_head(section) || section.type == "region") continue;
    const auto anchors = section.numbers("anchors");
    auto family = std::find_if(families.begin(), families.end(), [&](const auto& f) { return f.first == anchors; });
    if (family == families.end()) family = families.insert(families.end(), {anchors, {}});
    family->second.push_back(&section);
  }
  for (const auto& family : families) lint_masks(family.second, warnings);
}

// yolov3-tiny.cfg says mask 0,1,2 in its fine head everywhere today, but its released weights were trained with 1,2,3:
// COCO AP50 is about 33 with those and 17 with 0,1,2 (darknet.md 1.7). The network is known by its layers and anchors.
void lint_yolov3_tiny(const Cfg& cfg, Warnings& warnings) {
  const std::vector<float> anchors = {10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319};
  constexpr int kLayers = 24, kFirstHead = 16, kSecondHead = 23, kFilters = 1024, kWidest = 12;
  if (cfg.layers() != kLayers || cfg.layer(kFirstHead).type != "yolo" || cfg.layer(kSecondHead).type != "yolo") return;
  const CfgSection& head = cfg.layer(kSecondHead);
  const CfgSection& widest = cfg.layer(kWidest);
  if (widest.type != "convolutional" || integer_or_default(widest, "filters") != kFilters) return;
  if (head.numbers("anchors") != anchors || head_mask(head) != std::vector{0, 1, 2}) return;
  if (integer_or_default(head, "classes") != 80) return;
  warn(warnings, head, "mask", "mask=0,1,2 is right for training, but yolov3-tiny.weights as released need mask=1,2,3");
}

}  // namespace

std::vector<CfgWarning> lint_cfg(const Cfg& cfg) {
  Warnings warnings;
  lint_input(cfg.net(), warnings);
  lint_schedule(cfg.net(), warnings);
  for (int index = 0; index < cfg.layers(); ++index) {
    const CfgSection& section = cfg.layer(index);
    if (section.type == "convolutional" && !section.has("activation")) {
      warn(warnings, section, {}, "has no activation=; darknet's default is logistic, not linear: say which");
    }
    if (const int until = integer_or_default(section, "stopbackward"); until > 1) {
      warn(warnings, section, "stopbackward",
           fmt::format(
               "stopbackward={} freezes the layers before it for {} iterations in darknet; they are trained from "
               "the start, or with --freeze {} never",
               until, until, index));
    }
    if (is_head(section)) lint_head(cfg, index, warnings);
  }
  lint_anchors(cfg, warnings);
  lint_yolov3_tiny(cfg, warnings);
  std::stable_sort(warnings.begin(), warnings.end(),
                   [](const CfgWarning& a, const CfgWarning& b) { return a.line < b.line; });
  return warnings;
}

}  // namespace rook::io
