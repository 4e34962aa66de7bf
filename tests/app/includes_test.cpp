// The arrows of the house: kernels <- engine <- model <- serve <- app; io stands alone, model and synth use it; base is
// below all. Read from the includes.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

using Parts = std::set<std::string>;

// Which parts the files of a part may include.
const std::map<std::string, Parts> kArrows = {
    {"base", {"base"}},
    {"kernels", {"base", "kernels"}},
    {"engine", {"base", "kernels", "engine"}},
    {"io", {"base", "io"}},
    {"model", {"base", "kernels", "engine", "io", "model"}},
    {"serve", {"base", "kernels", "engine", "io", "model", "serve"}},
    {"synth", {"base", "kernels", "io", "synth"}},
    {"embed", {"base", "kernels", "engine", "io", "model", "embed"}},
    {"app", {"base", "kernels", "engine", "io", "model", "serve", "synth", "app"}},
};

// What a line includes, with its opening quote or bracket in front; empty when it includes nothing.
std::string included_by(const std::string& line) {
  std::size_t at = line.find_first_not_of(" \t");
  if (at == std::string::npos || line[at] != '#') return "";
  at = line.find_first_not_of(" \t", at + 1);
  if (at == std::string::npos || line.compare(at, 7, "include") != 0) return "";
  at = line.find_first_of("\"<", at);
  if (at == std::string::npos) return "";
  return line.substr(at, line.find_first_of("\">", at + 1) - at);
}

// What is wrong with a line of a file of `part`, empty when nothing is. Headers of rook are named from the root, in
// quotes, and lie where an arrow leads.
std::string fault_of(const std::string& part, const std::string& line, const fs::path& root) {
  const std::string include = included_by(line);
  if (include.empty()) return "";
  const std::string path = include.substr(1), target = path.substr(0, path.find('/'));
  const bool quoted = include.front() == '"', ours = path.find('/') != std::string::npos && kArrows.contains(target);
  if (!quoted) return ours ? "a header of rook in <>" : "";
  // tests/cases.h is the one table that the tests and the benchmarks of the program share.
  if (part == "app" && path == "tests/cases.h") return "";
  if (!ours) return "no part of rook, or not named from the root";
  if (!kArrows.at(part).contains(target)) return fmt::format("{} must not include {}", part, target);
  if (!fs::is_regular_file(root / path)) return "no such file";
  return "";
}

fs::path source_dir() {
  const char* root = std::getenv("ROOK_SOURCE_DIR");
  REQUIRE_MESSAGE(root != nullptr, "set ROOK_SOURCE_DIR to the checkout, as ctest does");
  return root;
}

bool is_source(const fs::path& file) {
  static const std::set<std::string> endings = {".h", ".cpp", ".cu", ".cuh"};
  return endings.contains(file.extension().string());
}

}  // namespace

TEST_CASE("includes: the check itself") {
  const fs::path root = source_dir();
  CHECK(included_by("#include \"io/cfg.h\"") == "\"io/cfg.h");
  CHECK(included_by("  #  include <vector>  // why") == "<vector");
  CHECK(included_by("// #include \"io/cfg.h\"").empty());
  CHECK(included_by("#pragma once").empty());

  CHECK(fault_of("engine", "#include \"kernels/types.h\"", root).empty());
  CHECK(fault_of("model", "#include \"io/cfg.h\"", root).empty());
  CHECK(fault_of("io", "#include <nlohmann/json.hpp>", root).empty());
  CHECK(fault_of("io", "#include <io.h>", root).empty());
  CHECK(fault_of("kernels", "#include \"engine/graph.h\"", root) == "kernels must not include engine");
  CHECK(fault_of("engine", "#include \"io/cfg.h\"", root) == "engine must not include io");
  CHECK(fault_of("io", "#include \"kernels/types.h\"", root) == "io must not include kernels");
  CHECK(fault_of("base", "#include \"io/cfg.h\"", root) == "base must not include io");
  CHECK(!fault_of("engine", "#include <io/cfg.h>", root).empty());
  CHECK(!fault_of("io", "#include \"cfg.h\"", root).empty());
  CHECK(!fault_of("io", "#include \"../io/cfg.h\"", root).empty());
  CHECK(!fault_of("io", "#include \"io/no_such_header.h\"", root).empty());
}

TEST_CASE("includes: the arrows of the house point one way") {
  const fs::path root = source_dir();
  for (const auto& arrow : kArrows) {
    const std::string& part = arrow.first;
    int files = 0;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / part)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++files;
      std::ifstream stream(entry.path());
      std::string line;
      for (int number = 1; std::getline(stream, line); ++number) {
        const std::string fault = fault_of(part, line, root);
        CHECK_MESSAGE(fault.empty(), fmt::format("{}:{}: {}: {}", entry.path().string(), number, fault, line));
      }
    }
    CHECK_MESSAGE(files > 0, part << " has no sources: is ROOK_SOURCE_DIR the checkout?");
  }
}
