// Runs the tests of the kernels, then demands that every kernel was launched under the emulator: the list of
// `__global__` functions of kernels/*.cu and *.cuh against the list of those that ran.
//   test_emu                     all tests, and the demand
//   ROOK_KERNELS_RAN=FILE test_emu -tc=PART   a part of the tests; writes what ran to FILE
//   test_emu --every FILE...     the demand, of parts that have run
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend.h"
#include "kernels/emu/control.h"
#include "tests/files.h"

namespace {

namespace fs = std::filesystem;

// Without `// ...` up to the ends of lines.
std::string without_comments(const std::string& text) {
  std::string code;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "//") == 0) i = std::min(text.find('\n', i), text.size() - 1);
    code += text[i];
  }
  return code;
}

std::size_t closing(const std::string& code, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < code.size(); ++i) {
    if (code[i] == '(') ++depth;
    if (code[i] == ')' && --depth == 0) return i;
  }
  return code.size();
}

std::string identifier_before(const std::string& code, std::size_t end) {
  const auto is_part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  while (end > 0 && std::isspace(static_cast<unsigned char>(code[end - 1])) != 0) --end;
  std::size_t begin = end;
  while (begin > 0 && is_part(code[begin - 1])) --begin;
  return code.substr(begin, end - begin);
}

// The names behind `__global__ void __launch_bounds__(...)`, in any order of the keywords.
std::set<std::string> kernels_in(const std::string& text) {
  static const std::string kKeyword = "__global__";
  const std::string code = without_comments(text);
  std::set<std::string> names;
  for (std::size_t at = code.find(kKeyword); at != std::string::npos; at = code.find(kKeyword, at + 1)) {
    std::size_t open = code.find('(', at);
    while (open < code.size() && identifier_before(code, open) == "__launch_bounds__")
      open = code.find('(', closing(code, open));
    if (open < code.size()) names.insert(identifier_before(code, open));
  }
  return names;
}

std::set<std::string> all_kernels(const fs::path& folder) {
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".cu" || entry.path().extension() == ".cuh")
      names.merge(kernels_in(rook::test::text_of(entry.path())));
  return names;
}

// `executed` has names like "void rook::emu::(anonymous namespace)::scale<float>(float*, int)".
bool has_run(const std::vector<std::string>& executed, const std::string& name) {
  for (const std::string& full : executed)
    for (const char* end : {"(", "<"})
      if (full.find("::" + name + end) != std::string::npos) return true;
  return false;
}

// How many kernels never ran; they are printed.
int count_missing(const char* source, const std::vector<std::string>& executed) {
  const std::set<std::string> all = all_kernels(fs::path(source) / "kernels");
  int missing = 0;
  for (const std::string& name : all) {
    if (has_run(executed, name)) continue;
    ++missing;
    fmt::print("kernel {} was never launched by a test\n", name);
  }
  fmt::print("{} of {} kernels ran under the emulator\n", static_cast<int>(all.size()) - missing, all.size());
  return all.empty() ? 1 : missing;
}

}  // namespace

TEST_CASE("kernels are found in a source") {
  const std::string source =
      "__global__ void __launch_bounds__(32 * (4), 2) first(int a);\n// __global__ void no(int)\n"
      "template <class T>\n__global__ void second (T* b) {}\n__launch_bounds__(8) __global__ void third() {}";
  CHECK(kernels_in(source) == std::set<std::string>{"first", "second", "third"});
  CHECK(has_run({"void rook::emu::(anonymous namespace)::first<float>(float*)"}, "first"));
  CHECK_FALSE(has_run({"rook::emu::first_one(int)"}, "first"));
}

int main(int count, char** arguments) {
  const char* source = std::getenv("ROOK_SOURCE_DIR");
  if (count > 1 && std::string_view(arguments[1]) == "--every") {
    std::vector<std::string> executed;
    for (const char* file : std::span(arguments, static_cast<std::size_t>(count)).subspan(2)) {
      std::istringstream lines(rook::test::text_of(file));
      for (std::string line; std::getline(lines, line);) executed.push_back(line);
    }
    return source == nullptr || count_missing(source, executed) > 0 ? 1 : 0;
  }
  doctest::Context context(count, arguments);
  const int failures = context.run();
  const std::vector<std::string> executed = rook::emu::executed_kernels();
  if (const char* file = std::getenv("ROOK_KERNELS_RAN"))
    std::ofstream(file) << fmt::format("{}\n", fmt::join(executed, "\n"));
  // Of a selection of the tests nothing can be demanded.
  if (count > 1 || source == nullptr || rook::emu_backend() == nullptr) return failures;
  return failures != 0 || count_missing(source, executed) > 0 ? 1 : 0;
}
