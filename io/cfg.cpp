// Reading and changing the values of a cfg, and writing it as text.
#include "io/cfg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/error.h"
#include "io/cfg_check.h"
#include "io/cfg_schema.h"
#include "io/cfg_value.h"

namespace rook::io {
namespace {

// The value of a key read as `type`, after a check that all of it is of that type.
const std::string& checked(const CfgSection& section, const CfgEntry& entry, KeyType type) {
  if (const auto problem = value_problem(CfgKey{.name = entry.key, .type = type}, entry.value)) {
    throw Error(fmt::format("{}{}={} {}", place_of(section, entry.key), entry.key, in_quotes(entry.value), *problem));
  }
  return entry.value;
}

// Characters that a reader would take for something else than part of a key or value.
bool breaks_text(std::string_view text) {
  return text.empty() || text != trim(text) || std::any_of(text.begin(), text.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte < 0x20 || byte == 0x7f || c == '#' || c == ';';
         });
}

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

// Edits (insert, delete, replace, swap neighbours) between two words whatever their case: optimal string alignment.
int edits(std::string_view a, std::string_view b) {
  std::vector<std::vector<int>> cost(a.size() + 1, std::vector<int>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = static_cast<int>(i);
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1])) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

const CfgEntry* find_entry(const CfgSection& section, std::string_view key) {
  const auto found =
      std::find_if(section.entries.begin(), section.entries.end(), [&](const CfgEntry& e) { return e.key == key; });
  return found == section.entries.end() ? nullptr : &*found;
}

int line_of(const CfgSection& section, std::string_view key) {
  const CfgEntry* entry = find_entry(section, key);
  return entry && entry->line > 0 ? entry->line : section.line;
}

std::string place_of(const CfgSection& section, std::string_view key) {
  return fmt::format("{}:{}: [{}] ", section.file, line_of(section, key), section.type);
}

bool CfgSection::has(std::string_view key) const {
  return find_entry(*this, key) != nullptr;
}

int CfgSection::integer(std::string_view key, int fallback) const {
  const CfgEntry* entry = find_entry(*this, key);
  return entry ? to_integer(checked(*this, *entry, KeyType::integer)).value() : fallback;
}

float CfgSection::number(std::string_view key, float fallback) const {
  const CfgEntry* entry = find_entry(*this, key);
  return entry ? to_number(checked(*this, *entry, KeyType::number)).value() : fallback;
}

std::string CfgSection::text(std::string_view key, std::string_view fallback) const {
  const CfgEntry* entry = find_entry(*this, key);
  return entry ? entry->value : std::string(fallback);
}

std::vector<int> CfgSection::integers(std::string_view key) const {
  std::vector<int> values;
  if (const CfgEntry* entry = find_entry(*this, key)) {
    for (const auto element : split_list(checked(*this, *entry, KeyType::integers))) {
      values.push_back(to_integer(element).value());
    }
  }
  return values;
}

std::vector<float> CfgSection::numbers(std::string_view key) const {
  std::vector<float> values;
  if (const CfgEntry* entry = find_entry(*this, key)) {
    for (const auto element : split_list(checked(*this, *entry, KeyType::numbers))) {
      values.push_back(to_number(element).value());
    }
  }
  return values;
}

void CfgSection::set(std::string_view key, std::string value) {
  if (breaks_text(key) || key.find('=') != std::string_view::npos || key.front() == '[' || breaks_text(value)) {
    throw Error(fmt::format("{}cannot set {} to {}; neither may be empty or hold comment or control characters",
                            place_of(*this), in_quotes(key), in_quotes(value)));
  }
  const CfgSchema* schema = find_schema(type);
  if (const CfgKey* known = schema && schema->in_scope ? find_key(*schema, key) : nullptr) {
    if (const auto problem = value_problem(*known, value)) {
      throw Error(fmt::format("{}{}={} {}", place_of(*this, key), key, in_quotes(value), *problem));
    }
    value = canonical_value(known->type, value);
  }
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const CfgEntry& e) { return e.key == key; });
  if (found != entries.end()) {
    found->value = std::move(value);
  } else {
    entries.push_back({std::string(key), std::move(value), 0});
  }
}

std::string Cfg::to_text() const {
  std::string text;
  for (const CfgSection& section : sections) {
    if (!text.empty()) text += '\n';
    text += fmt::format("[{}]\n", section.type);
    for (const CfgEntry& entry : section.entries) text += fmt::format("{}={}\n", entry.key, entry.value);
  }
  return text;
}

void Cfg::set_classes(int classes) {
  if (classes < 1) throw Error(fmt::format("{}: cannot have {} classes; give at least 1", name, classes));
  Cfg changed = *this;
  int heads = 0;
  for (std::size_t i = 1; i < changed.sections.size(); ++i) {
    CfgSection& head = changed.sections[i];
    if (!is_head(head)) continue;
    ++heads;
    CfgSection& conv = changed.sections[i - 1];
    if (conv.type != "convolutional") {
      throw Error(
          fmt::format("{}follows [{}]; a head needs the [convolutional] that computes its boxes right before it",
                      place_of(head), conv.type));
    }
    head.set("classes", std::to_string(classes));
    conv.set("filters", std::to_string(head_filters(head, classes)));
    // Counts of the old classes' boxes say nothing about the new ones.
    std::erase_if(head.entries, [](const CfgEntry& entry) { return entry.key == "counters_per_class"; });
  }
  if (heads == 0) throw Error(fmt::format("{}: has no [yolo], [Gaussian_yolo] or [region] whose classes to set", name));

  // The warnings of what was are replaced by the warnings of what is; those of the parser stay.
  for (const CfgWarning& old : lint_cfg(*this)) {
    std::erase_if(changed.warnings, [&](const CfgWarning& warning) {
      return warning.line == old.line && warning.message == old.message;
    });
  }
  for (CfgWarning& warning : lint_cfg(changed)) changed.warnings.push_back(std::move(warning));
  *this = std::move(changed);
}

int Cfg::classes() const {
  const CfgSection* first = nullptr;
  for (const CfgSection& section : sections) {
    if (!is_head(section)) continue;
    if (!first) first = &section;
    const int here = integer_or_default(section, "classes"), expected = integer_or_default(*first, "classes");
    if (here != expected) {
      throw Error(fmt::format("{}has classes={} but the head in line {} has {}; make them equal",
                              place_of(section, "classes"), here, first->line, expected));
    }
  }
  return first ? integer_or_default(*first, "classes") : 0;
}

std::optional<std::string> did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t kLongest = 64;  // no key is near it; keeps the table of a garbage line small
  if (word.empty() || word.size() > kLongest) return std::nullopt;
  const std::string* best = nullptr;
  int fewest = std::max(1, static_cast<int>(word.size()) / 3) + 1;
  for (const std::string& candidate : candidates) {
    const int distance = edits(word, candidate);
    if (distance < fewest && distance < static_cast<int>(candidate.size())) {
      fewest = distance;
      best = &candidate;
    }
  }
  return best ? std::optional(*best) : std::nullopt;
}

}  // namespace rook::io
