// Damaged text: an error or a cfg that says what the text says; never a crash, never a change that cannot be seen.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

#include "io/cfg_schema.h"
#include "tests/io/cfg_fixtures.h"

using namespace rook;
using namespace rook::io;
using namespace rook::io::fixtures;

namespace {

// What the text gives survives being written and read again, also where it was read leniently.
bool stable(const std::string& text, const CfgOptions& options) {
  Cfg cfg;
  try {
    cfg = parse_cfg(text, "small.cfg", options);
  } catch (const Error& error) {
    const std::string message = error.what();
    return contains(message, "small.cfg") && !contains(message, "\n") && message.size() < 1000;
  }
  const std::string written = cfg.to_text();
  const Cfg again = parse_cfg(written, "small.cfg", options);
  return same_sections(cfg, again) && again.to_text() == written;
}

// A cut text holds the first sections and entries of the whole; only the last key or value may be shorter.
bool is_start_of(const Cfg& part, const Cfg& whole) {
  if (part.sections.size() > whole.sections.size()) return false;
  for (std::size_t i = 0; i < part.sections.size(); ++i) {
    const CfgSection &a = part.sections[i], &b = whole.sections[i];
    if (a.type != b.type || a.entries.size() > b.entries.size()) return false;
    const bool last_section = i + 1 == part.sections.size();
    if (!last_section && a.entries.size() != b.entries.size()) return false;
    for (std::size_t k = 0; k < a.entries.size(); ++k) {
      if (a.entries[k].key != b.entries[k].key) return false;
      const bool last = last_section && k + 1 == a.entries.size();
      const std::string &x = a.entries[k].value, &y = b.entries[k].value;
      if (last ? !y.starts_with(x) : x != y) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("cfg: truncated at every byte") {
  const std::string text = with(kSmall, "[yolo]", "[maxpool]\nsize=2\nstride=2\n\n[route]\nlayers=-2\n\n[yolo]");
  const Cfg whole = parse_cfg(text, "small.cfg");
  int parsed = 0;
  for (std::size_t length = 0; length <= text.size(); ++length) {
    INFO("length ", length);
    const std::string part = text.substr(0, length);
    CHECK(stable(part, {}));
    CHECK(stable(part, {.lenient = true}));
    if (error_of(part) != "") continue;
    ++parsed;
    CHECK(is_start_of(parse_cfg(part, "small.cfg"), whole));
  }
  CHECK(parsed > 20);  // the property was put to the test
}

TEST_CASE("cfg: every bit flipped") {
  int errors = 0;
  for (std::size_t bit = 0; bit < 8 * kSmall.size(); ++bit) {
    std::string text = kSmall;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    INFO("bit ", bit);
    CHECK(stable(text, {}));
    CHECK(stable(text, {.lenient = true}));
    if (error_of(text) != "") {
      ++errors;
    } else if (text[bit / 8] != '#' && text[bit / 8] != ';') {  // which may hide a line
      // Not an error: then it is a visible change, of one value or of white space.
      const Cfg whole = parse_cfg(kSmall, "small.cfg"), other = parse_cfg(text, "small.cfg");
      REQUIRE(other.sections.size() == whole.sections.size());
      int changes = 0;
      for (std::size_t i = 0; i < whole.sections.size(); ++i) {
        for (const CfgEntry& entry : whole.sections[i].entries) {
          changes += other.sections[i].text(entry.key, "") != entry.value;
        }
      }
      CHECK(changes <= 1);
    }
  }
  CHECK(errors > 1000);  // of about 1300
}

TEST_CASE("cfg: random texts of the right words") {
  // Sections and keys of the table with values of all kinds in any order: most are wrong in ways no one thought of.
  std::mt19937 random(20);
  auto pick = [&](std::size_t count) { return std::size_t{random() % count}; };
  const std::vector<std::string> values = {"0",           "1",          "-1",    "2",       "3",     "1.5",   "1e-5",
                                           "-2147483648", "2147483647", "1,2",   "0,1,2,3", "-1,-2", "leaky", "steps",
                                           "ciou",        ",",          "[net]", "=",       "1e400", " 7 # x"};
  int parsed = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = "[net]\nwidth=32\nheight=32\n";
    for (std::size_t sections = pick(4); sections > 0; --sections) {
      const CfgSchema& schema = all_schemas()[pick(all_schemas().size())];
      const auto keys = key_names(schema);
      text += fmt::format("[{}]\n", schema.type);
      for (std::size_t entries = pick(4); entries > 0; --entries)
        text += fmt::format("{}={}\n", keys[pick(keys.size())], values[pick(values.size())]);
    }
    INFO(text);
    CHECK(stable(text, {}));
    CHECK(stable(text, {.lenient = true}));
    parsed += error_of(text) == "";
  }
  CHECK(parsed > 300);
}

TEST_CASE("cfg: any network survives being written with other spaces, comments and line ends") {
  std::mt19937 random(7);
  for (const auto& file : cfgs_in(zoo_folder())) {
    const Cfg cfg = read_cfg(file);
    std::string text;
    for (const char c : cfg.to_text()) {
      if ((c == '=' || c == ',' || c == '\n') && random() % 2) text += random() % 2 ? " " : "\t ";
      if (c == '\n' && random() % 3 == 0) text += " # [yolo] a=b";
      if (c == '\n' && random() % 3 == 0) text += '\r';
      text += c;
      if ((c == '=' || c == ',' || c == '\n') && random() % 2) text += "  ";
    }
    CHECK(same_sections(cfg, parse_cfg(text, "again.cfg")));
  }
}
