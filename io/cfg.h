// darknet cfg text: sections of key = value, checked against a table of every section and key there is (darknet.md 1).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rook::io {

struct CfgEntry {
  std::string key, value;
  int line = 0;
};

// One [section]. Values are looked up by key; a missing key gives the default. Wrong numbers throw Error with
// file:line.
class CfgSection {
 public:
  std::string type;  // canonical: "convolutional" for "conv", "net" for "network", ...
  int line = 0;
  std::string file;  // what messages name
  std::vector<CfgEntry> entries;

  bool has(std::string_view key) const;
  int integer(std::string_view key, int fallback) const;
  float number(std::string_view key, float fallback) const;
  std::string text(std::string_view key, std::string_view fallback) const;
  std::vector<int> integers(std::string_view key) const;  // comma list, empty when missing
  std::vector<float> numbers(std::string_view key) const;
  void set(std::string_view key, std::string value);  // replaces or appends
};

struct CfgWarning {
  int line = 0;
  std::string message;
};

struct Cfg {
  std::string name;                  // file name without ending
  std::vector<CfgSection> sections;  // sections[0] is [net]; sections[i + 1] is layer i
  std::vector<CfgWarning> warnings;  // lint: traps that are legal (unused anchors, masks, objectness_smooth, ...)

  const CfgSection& net() const { return sections.front(); }
  int layers() const { return static_cast<int>(sections.size()) - 1; }
  const CfgSection& layer(int index) const { return sections[static_cast<std::size_t>(index) + 1]; }
  std::string to_text() const;  // canonical text; parsing it again gives the same sections
  // Sets classes in every head and filters of the convolution before it (darknet.md 10). Throws when there is no
  // head.
  void set_classes(int classes);
  int classes() const;  // of the heads; 0 without a head; throws when heads differ
};

struct CfgOptions {
  bool lenient = false;  // unknown keys and duplicates become warnings, as darknet treats them
};

Cfg parse_cfg(std::string_view text, const std::string& file, const CfgOptions& options = {});
Cfg read_cfg(const std::filesystem::path& file, const CfgOptions& options = {});

// The nearest of `candidates` to a misspelt word, if any is near enough to suggest.
std::optional<std::string> did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace rook::io
