// What the tests of the cfg reader share: a small valid network, and its errors and warnings as text.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/cfg.h"
#include "tests/errors.h"

namespace rook::io::fixtures {

// Lines 1-17; the tests name them.
inline const std::string kSmall =
    "[net]\n"             // 1
    "width=64\n"          // 2
    "height=32\n"         // 3
    "channels=3\n"        // 4
    "\n"                  // 5
    "[convolutional]\n"   // 6
    "filters=14\n"        // 7
    "size=3\n"            // 8
    "pad=1\n"             // 9
    "activation=leaky\n"  // 10
    "\n"                  // 11
    "[yolo]\n"            // 12
    "mask=0,1\n"          // 13
    "anchors=10,14,23,27\n"
    "num=2\n"
    "classes=2\n"
    "jitter=.3\n";  // 17

// The text with the first `from` replaced by `to`.
inline std::string with(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  if (at == std::string::npos) throw Error("the fixture has no '" + std::string(from) + "'; mend the test");
  return text.replace(at, from.size(), to);
}

// The message of the error, or "" when there was none.
inline std::string error_of(std::string_view text, const CfgOptions& options = {}) {
  return test::error_of([&] { (void)parse_cfg(text, "small.cfg", options); });
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// All warnings as "LINE: message" lines.
inline std::string warnings_of(const Cfg& cfg) {
  std::string all;
  for (const CfgWarning& warning : cfg.warnings) all += std::to_string(warning.line) + ": " + warning.message + "\n";
  return all;
}

// Whether two cfgs have the same sections with the same keys and values in the same order, wherever they stand.
inline bool same_sections(const Cfg& a, const Cfg& b) {
  if (a.sections.size() != b.sections.size()) return false;
  for (std::size_t i = 0; i < a.sections.size(); ++i) {
    const CfgSection &x = a.sections[i], &y = b.sections[i];
    if (x.type != y.type || x.entries.size() != y.entries.size()) return false;
    for (std::size_t k = 0; k < x.entries.size(); ++k) {
      if (x.entries[k].key != y.entries[k].key || x.entries[k].value != y.entries[k].value) return false;
    }
  }
  return true;
}

// All .cfg files of a folder by name.
std::vector<std::filesystem::path> cfgs_in(const std::filesystem::path& folder);

std::filesystem::path zoo_folder();                     // our own networks
std::vector<std::filesystem::path> asset_cfgs();        // darknet's; empty, and said so, without ROOK_ASSETS
std::filesystem::path asset(const std::string& below);  // empty without ROOK_ASSETS

}  // namespace rook::io::fixtures
