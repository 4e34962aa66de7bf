// Keys of a cfg that count as used are read by somebody: a key that nobody reads would change nothing without a word.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "io/cfg_schema.h"
#include "model/network.h"
#include "tests/io/picture_support.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

namespace fs = std::filesystem;

// Without spaces and line breaks.
std::string sources_of(const fs::path& folder) {
  std::string text;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".cpp") text += text_of(entry.path());
  }
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  return text;
}

// Whether a section is asked for the key: the same name may be one of a JSON object as well.
bool is_read(const std::string& sources, const std::string& quoted_key) {
  for (const char* call : {".integer(", ".number(", ".text(", ".integers(", ".numbers(", ".has(", "stride_of(s,"})
    if (sources.find(call + quoted_key) != std::string::npos) return true;
  constexpr std::string_view kRefuse = "refuse(s,{";
  for (std::size_t at = sources.find(kRefuse); at != std::string::npos; at = sources.find(kRefuse, at + 1))
    if (sources.substr(at, sources.find('}', at) - at).find(quoted_key) != std::string::npos) return true;
  return false;
}

// Sections that the network builder refuses whole, whatever their keys.
bool refused(std::string_view type) {
  const std::string layer = fmt::format("conv filters=4 size=1 | {} {}", type, type == "implicit" ? "filters=4" : "");
  return error_of([&] { (void)build_network(tiny_cfg(layer)); }).find("layer type is not supported") !=
         std::string::npos;
}

}  // namespace

TEST_CASE("cfg: every key that counts as used is read, or refused by name") {
  const char* root = std::getenv("ROOK_SOURCE_DIR");
  REQUIRE_MESSAGE((root && *root), "set ROOK_SOURCE_DIR to the sources, as ctest does");
  const std::string sources = sources_of(fs::path(root) / "model");
  REQUIRE(sources.size() > 50000);
  CHECK_FALSE(is_read(sources, "\"mosaic_until\""));  // of train_config.cpp's JSON
  const auto check = [&](std::string_view section, const io::CfgKey& key) {
    if (key.use != io::KeyUse::used) return;
    CHECK_MESSAGE(is_read(sources, fmt::format("\"{}\"", key.name)), section, " ", key.name);
  };
  int sections = 0;
  for (const io::CfgSchema& schema : io::all_schemas()) {
    if (!schema.in_scope || refused(schema.type)) continue;
    ++sections;
    for (const io::CfgKey& key : schema.keys) check(schema.type, key);
  }
  CHECK(sections >= 18);
  for (const io::CfgKey& key : io::layer_keys()) check("every layer", key);
}
