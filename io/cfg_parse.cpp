// Lines to sections: darknet.md 1.1, with every fallback of darknet's made an error.
#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "io/cfg.h"
#include "io/cfg_check.h"
#include "io/cfg_schema.h"
#include "io/cfg_value.h"

namespace rook::io {
namespace {

class Parser {
 public:
  Parser(const std::string& file, const CfgOptions& options) : file_(file), options_(options) {
    cfg_.name = std::filesystem::path(file).stem().string();
  }

  void read_line(std::string_view text) {
    ++line_;
    text = trim(text);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
        fail(fmt::format("control character 0x{:02x}; a cfg is plain text (is this a weights file?)", byte));
      }
    }
    text = trim(text.substr(0, text.find_first_of("#;")));
    if (text.empty()) return;
    if (text.front() == '[') {
      open_section(text);
    } else {
      add_entry(text);
    }
  }

  Cfg finish() {
    if (cfg_.sections.empty()) throw Error(fmt::format("{}: holds no section; a cfg begins with [net]", file_));
    check_cfg(cfg_);
    for (CfgWarning& warning : lint_cfg(cfg_)) cfg_.warnings.push_back(std::move(warning));
    return std::move(cfg_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(fmt::format("{}:{}: {}", file_, line_, what)); }

  // An error, or a warning where the caller asked to be lenient.
  void object(const std::string& what, std::string_view remedy, std::string_view consequence) {
    if (!options_.lenient) fail(fmt::format("{}; {}", what, remedy));
    cfg_.warnings.push_back({line_, fmt::format("{}; {}", what, consequence)});
  }

  void open_section(std::string_view text) {
    if (text.back() != ']')
      fail(fmt::format("section {} does not end with ']'; write it like [yolo]", in_quotes(text)));
    const auto name = trim(text.substr(1, text.size() - 2));
    schema_ = find_schema(name);
    if (!schema_) {
      const auto near = did_you_mean(name, section_names());
      fail(fmt::format("unknown section {}; {}", in_quotes(text),
                       near ? fmt::format("did you mean [{}]?", *near) : "see docs for the sections there are"));
    }
    const bool net = schema_->type == "net";
    if (cfg_.sections.empty() && !net)
      fail(fmt::format("the first section is [{}]; put [net] before it", schema_->type));
    if (!cfg_.sections.empty() && net) {
      fail(fmt::format("a second [net]; there is one network per file, the first is in line {}", cfg_.net().line));
    }
    cfg_.sections.push_back({std::string(schema_->type), line_, file_, {}});
  }

  void add_entry(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) {
      fail(fmt::format("line {} has no '='; write key=value, or put # before a comment", in_quotes(text)));
    }
    const auto key = trim(text.substr(0, equals)), value = trim(text.substr(equals + 1));
    if (key.empty()) fail(fmt::format("nothing before '=' in {}; write key=value", in_quotes(text)));
    if (!schema_) fail(fmt::format("key {} before any section; put [net] before it", in_quotes(key)));
    if (value.empty()) fail(fmt::format("key {} has no value; give one or remove the line", in_quotes(key)));

    CfgSection& section = cfg_.sections.back();
    if (const CfgEntry* first = find_entry(section, key)) {
      object(
          fmt::format("key {} is already set to {} in line {}", in_quotes(key), in_quotes(first->value), first->line),
          "remove one of the two", "the first is used");
      return;
    }
    const CfgKey* known = schema_->in_scope ? find_key(*schema_, key) : nullptr;
    if (known) {
      check_value(*known, value);
    } else if (schema_->in_scope) {
      const auto near = did_you_mean(key, key_names(*schema_));
      object(fmt::format("unknown key {} in [{}]", in_quotes(key), section.type),
             near ? fmt::format("did you mean '{}'?", *near) : "remove it, or read the file leniently",
             "it is not used");
    }
    section.entries.push_back({std::string(key), canonical_value(known ? known->type : KeyType::text, value), line_});
  }

  void check_value(const CfgKey& key, std::string_view value) {
    if (const auto problem = value_problem(key, value)) {
      fail(fmt::format("[{}] {}={} {}", schema_->type, key.name, in_quotes(value), *problem));
    }
    if (key.use == KeyUse::used || equals_fallback(key, value)) return;
    const auto what = fmt::format("[{}] {}={} is not supported", schema_->type, key.name, in_quotes(value));
    if (key.use == KeyUse::niche) {
      object(what, "remove it if the network can do without", "it is not used: the network computes something else");
    } else {
      cfg_.warnings.push_back({line_, fmt::format("{}; it is not used", what)});
    }
  }

  const std::string& file_;
  const CfgOptions& options_;
  Cfg cfg_;
  const CfgSchema* schema_ = nullptr;  // of the section being read
  int line_ = 0;
};

}  // namespace

Cfg parse_cfg(std::string_view text, const std::string& file, const CfgOptions& options) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  Parser parser(file, options);
  while (!text.empty()) {
    const auto end = text.find('\n');
    parser.read_line(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parser.finish();
}

Cfg read_cfg(const std::filesystem::path& file, const CfgOptions& options) {
  constexpr std::uintmax_t kLargest = 16u << 20;  // a hundred times the largest cfg known
  const std::string name = file.string();
  std::error_code code;
  if (!std::filesystem::is_regular_file(file, code)) {
    throw Error(fmt::format("{}: no such file; give the path of a network's .cfg", name));
  }
  if (const auto size = std::filesystem::file_size(file, code); code || size > kLargest) {
    throw Error(fmt::format("{}: is larger than any cfg; give the .cfg of the network, not its weights", name));
  }
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream.good() && !stream.eof()) throw Error(fmt::format("{}: cannot be read; check its permissions", name));
  return parse_cfg(text, name, options);
}

}  // namespace rook::io
