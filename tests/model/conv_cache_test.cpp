// The file of `rook tune`: what comes back from it, and that neither damage nor age of it can do harm.
#include "model/conv_cache.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <utility>

#include "base/error.h"
#include "tests/io/picture_support.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

namespace fs = std::filesystem;

const ConvCacheKey kHere{"cpu: a processor, 4 threads", "rook 1, oneDNN 3.6.2, rows winograd onednn ref"};

ConvProblem problem(int n) {
  return {.direction = ConvDirection::dgrad,
          .geometry = {.c = 16,
                       .k = 24,
                       .r = 3,
                       .s = 5,
                       .stride_h = 2,
                       .stride_w = 1,
                       .pad_h = 1,
                       .pad_w = 2,
                       .dilation = 3,
                       .groups = 4},
          .n = n,
          .h = 13,
          .w = 17,
          .x = DType::bf16,
          .y = DType::f32,
          .bias = true,
          .activation = Activation::mish};
}

std::vector<MeasuredConv> measured() {
  return {{problem(1), {{"winograd", 0.25}, {"onednn", 0.5}}}, {problem(8), {{"ref", 1.5}}}};
}

void save_text(const fs::path& file, const std::string& text) {
  save(file, ByteVector(text.begin(), text.end()));
}

}  // namespace

TEST_CASE("conv cache: comes back as it was, per device") {
  const TempFolder folder;
  const fs::path file = folder / "new/folder/cache.json";
  save_conv_cache(file, kHere, measured());
  const LoadedConvs loaded = load_conv_cache(file, kHere);
  CHECK(loaded.warning.empty());
  REQUIRE(loaded.tuned);
  CHECK(loaded.tuned->size() == 2);
  CHECK(loaded.tuned->at(problem(1)) == std::vector<std::string>{"winograd", "onednn"});
  CHECK(loaded.tuned->at(problem(8)) == std::vector<std::string>{"ref"});
  CHECK(loaded.tuned->find(problem(2)) == loaded.tuned->end());
  // Another device's times are none of ours, and no fault.
  const LoadedConvs other = load_conv_cache(file, {"cuda: a GPU", kHere.versions});
  CHECK_FALSE(other.tuned);
  CHECK(other.warning.empty());
}

TEST_CASE("conv cache: every field of a problem is part of its key") {
  const TempFolder folder;
  const fs::path file = folder / "cache.json";
  std::vector<MeasuredConv> all;
  const auto add = [&](auto change) {
    ConvProblem p = problem(1);
    change(p);
    all.push_back({p, {{"onednn", 1.0}}});
  };
  add([](ConvProblem&) {});
  add([](ConvProblem& p) { p.direction = ConvDirection::wgrad; });
  add([](ConvProblem& p) { p.x = DType::f16; });
  add([](ConvProblem& p) { p.y = DType::bf16; });
  add([](ConvProblem& p) { p.bias = false; });
  add([](ConvProblem& p) { p.activation = Activation::leaky; });
  add([](ConvProblem& p) { ++p.h; });
  add([](ConvProblem& p) { ++p.w; });
  for (int ConvGeometry::*field : {&ConvGeometry::c, &ConvGeometry::k, &ConvGeometry::r, &ConvGeometry::s,
                                   &ConvGeometry::stride_h, &ConvGeometry::stride_w, &ConvGeometry::pad_h,
                                   &ConvGeometry::pad_w, &ConvGeometry::dilation, &ConvGeometry::groups})
    add([&](ConvProblem& p) { ++(p.geometry.*field); });
  save_conv_cache(file, kHere, all);
  const LoadedConvs loaded = load_conv_cache(file, kHere);
  REQUIRE(loaded.tuned);
  CHECK(loaded.tuned->size() == all.size());
  for (const MeasuredConv& conv : all) CHECK(loaded.tuned->count(conv.problem) == 1);
}

TEST_CASE("conv cache: new times take the place of old ones, the rest stays") {
  const TempFolder folder;
  const fs::path file = folder / "cache.json";
  const ConvCacheKey gpu{"cuda: a GPU", "rook 1, cuDNN 9.19.0"};
  save_conv_cache(file, kHere, measured());
  save_conv_cache(file, gpu, {{problem(4), {{"cudnn", 0.1}}}});
  save_conv_cache(file, kHere, {{problem(8), {{"onednn", 1.0}, {"ref", 1.5}}}, {problem(2), {{"onednn", 1.0}}}});
  const LoadedConvs here = load_conv_cache(file, kHere), there = load_conv_cache(file, gpu);
  REQUIRE(here.tuned);
  CHECK(here.tuned->size() == 3);
  CHECK(here.tuned->at(problem(8)).front() == "onednn");
  CHECK(here.tuned->at(problem(1)).front() == "winograd");
  REQUIRE(there.tuned);
  CHECK(there.tuned->at(problem(4)).front() == "cudnn");
}

TEST_CASE("conv cache: times of other versions are ignored with a word, and replaced") {
  const TempFolder folder;
  const fs::path file = folder / "cache.json";
  const ConvCacheKey newer{kHere.device, "rook 1, oneDNN 3.7.0, rows winograd onednn ref"};
  save_conv_cache(file, kHere, measured());
  LoadedConvs loaded = load_conv_cache(file, newer);
  CHECK_FALSE(loaded.tuned);
  CHECK(loaded.warning == file.string() + ": was measured with " + kHere.versions + "; this is " + newer.versions +
                              "; its times are ignored, run rook tune again");
  save_conv_cache(file, newer, {{problem(3), {{"onednn", 1.0}}}});
  loaded = load_conv_cache(file, newer);
  CHECK(loaded.warning.empty());
  CHECK(loaded.tuned->size() == 1);
  CHECK_FALSE(load_conv_cache(file, kHere).tuned);
}

TEST_CASE("conv cache: no file is no fault, a damaged one is named and replaced") {
  const TempFolder folder;
  const fs::path file = folder / "cache.json";
  CHECK_FALSE(load_conv_cache(file, kHere).tuned);
  CHECK(load_conv_cache(file, kHere).warning.empty());
  CHECK(load_conv_cache("", kHere).warning.empty());
  for (const std::string text : {"", "{", "[]", "null", "{\"format\": \"rook convolutions 1\"}", "\xff\xfe",
                                 "{\"format\": 3}", "{\"format\": \"rook convolutions 2\", \"devices\": []}"}) {
    CAPTURE(text);
    save_text(file, text);
    const LoadedConvs loaded = load_conv_cache(file, kHere);
    CHECK_FALSE(loaded.tuned);
    CHECK(loaded.warning.starts_with(file.string() + ": is not what rook tune writes: "));
    CHECK(loaded.warning.find('\n') == std::string::npos);
  }
  save_conv_cache(file, kHere, measured());
  CHECK(load_conv_cache(file, kHere).tuned);
  fs::remove(file);
  fs::create_directory(file);
  CHECK_FALSE(load_conv_cache(file, kHere).tuned);
  CHECK_FALSE(load_conv_cache(file, kHere).warning.empty());
  CHECK_THROWS_AS(save_conv_cache(file, kHere, measured()), Error);
}

TEST_CASE("conv cache: values that make no sense are refused") {
  const TempFolder folder;
  const fs::path file = folder / "cache.json";
  save_conv_cache(file, kHere, measured());
  const nlohmann::json whole = nlohmann::json::parse(text_of(file));
  const auto refused = [&](auto change) {
    nlohmann::json j = whole;
    change(j["devices"][0]["convolutions"][0]);
    save_text(file, j.dump());
    const LoadedConvs loaded = load_conv_cache(file, kHere);
    return !loaded.tuned && !loaded.warning.empty();
  };
  CHECK_FALSE(refused([](auto&) {}));
  CHECK(refused([](auto& c) { c["n"] = 0; }));
  CHECK(refused([](auto& c) { c["n"] = 1.5; }));
  CHECK(refused([](auto& c) { c["n"] = 1e300; }));
  CHECK(refused([](auto& c) { c["n"] = 18446744073709551615u; }));
  CHECK(refused([](auto& c) { c["pad_h"] = -1; }));
  CHECK(refused([](auto& c) { c["groups"] = "4"; }));
  CHECK(refused([](auto& c) { c.erase("dilation"); }));
  CHECK(refused([](auto& c) { c["x"] = "f8"; }));
  CHECK(refused([](auto& c) { c["direction"] = "sideways"; }));
  CHECK(refused([](auto& c) { c["activation"] = "none"; }));
  CHECK(refused([](auto& c) { c["rows"] = nlohmann::json::array(); }));
  CHECK(refused([](auto& c) { c["rows"][0]["ms"] = -1; }));
  CHECK(refused([](auto& c) { c["rows"][0]["ms"] = nullptr; }));
  CHECK(refused([](auto& c) { c["rows"][0].erase("row"); }));
}

TEST_CASE("conv cache: cut off or flipped anywhere, it is read or refused with a word") {
  const TempFolder folder;
  const fs::path file = folder / "cache.json";
  save_conv_cache(file, kHere, measured());
  const std::string whole = text_of(file);
  int refused = 0, read = 0;
  const auto check = [&](const std::string& text) {
    save_text(file, text);
    const LoadedConvs loaded = load_conv_cache(file, kHere);
    CHECK_FALSE((loaded.tuned && !loaded.warning.empty()));
    ++(loaded.tuned ? read : refused);
  };
  for (std::size_t length = 0; length + 2 < whole.size(); length += 3) check(whole.substr(0, length));
  CHECK(read == 0);  // no part of it is taken for the whole
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int bit : {0, 2, 5, 7}) {
      std::string text = whole;
      text[at] = static_cast<char>(text[at] ^ (1 << bit));
      check(text);
    }
  CHECK(read > 0);
  CHECK(refused > 0);
}

TEST_CASE("conv cache: where it lies") {
  const char* const before = std::getenv("XDG_CACHE_HOME");
  const std::string kept = before ? before : "";
  ::setenv("XDG_CACHE_HOME", "/somewhere", 1);
  CHECK(default_conv_cache() == fs::path("/somewhere/rook/convolutions.json"));
  ::setenv("XDG_CACHE_HOME", "", 1);
  if (const char* home = std::getenv("HOME"); home && *home)
    CHECK(default_conv_cache() == fs::path(home) / ".cache/rook/convolutions.json");
  before ? ::setenv("XDG_CACHE_HOME", kept.c_str(), 1) : ::unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("conv cache: the key names device, threads, libraries and rows") {
  const ConvCacheKey cpu = conv_cache_key(cpu_backend()), ref = conv_cache_key(ref_backend());
  CHECK(cpu.device.starts_with("cpu: "));
  CHECK(cpu.device.ends_with(" threads"));
  const std::size_t library = cpu.versions.find("oneDNN ");
  CHECK(library != std::string::npos);
  CHECK(cpu.versions.find("oneDNN ", library + 1) == std::string::npos);  // once, though several rows are its
  CHECK(cpu.versions.find(", rows winograd4 winograd ") != std::string::npos);
  CHECK(cpu.versions.ends_with(" ref"));  // the last row
  CHECK_FALSE(cpu == ref);
}

TEST_CASE("conv cache: the key tells processors of one name apart") {
  std::ifstream file("/proc/cpuinfo");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::string device = conv_cache_key(cpu_backend()).device;
  for (const auto& [line, told] : {std::pair{"model name", ""}, {"cpu family", "family "}, {"model", "model "}}) {
    std::smatch found;
    if (!std::regex_search(text, found, std::regex(std::string(line) + "\\s*: (.*)"))) continue;  // no x86
    CHECK(device.find(told + found[1].str()) != std::string::npos);
  }
}

namespace {

int spied = 0;  // runs of the row below

const std::vector<ConvRow>& rows_with_spy() {
  static const std::vector<ConvRow> rows = [] {
    std::vector<ConvRow> all(cpu_backend().conv_rows().begin(), cpu_backend().conv_rows().end());
    ConvRow spy = ref_backend().conv_rows()[0];
    spy.name = "spy";
    spy.run = [](const ConvProblem& problem, const ConvArgs& args, Stream stream) {
      ++spied;
      ref_backend().conv_rows()[0].run(problem, args, stream);
    };
    all.push_back(spy);
    return all;
  }();
  return rows;
}

}  // namespace

TEST_CASE("conv cache: a network's executor runs the measured rows, in all directions") {
  Backend backend = cpu_backend();
  backend.conv_rows = []() -> std::span<const ConvRow> { return rows_with_spy(); };
  const io::Cfg cfg = tiny_cfg(kAllLayers);
  const Model model = make_model(cfg, {}, 1);
  const Graph& graph = model.network->graph;

  // What a training of two photos asks for, all of it to be run by the spy.
  std::vector<ConvProblem> problems;
  ConvTable table(backend);
  table.record(&problems);
  make_plan(graph, {.batch = 2, .h = 12, .w = 16, .training = true, .convs = &table});
  TunedConvs tuned;
  for (const ConvProblem& p : problems) tuned[p] = {"spy", "onednn"};
  const auto shared = std::make_shared<const TunedConvs>(tuned);
  REQUIRE(problems.size() > 10);

  const auto steps = [&](int batch, const ConvChoice& choice) {
    Executor executor(graph, *model.params, {.backend = &backend, .training = true, .conv = choice});
    executor.resize(batch, 12, 16);
    spied = 0;
    executor.forward();
    const int forward = spied;
    executor.backward();
    return std::pair(forward, spied - forward);
  };
  int convolutions = 0;
  for (const Node& node : graph.nodes()) convolutions += node.op && node.op->convolution();
  const auto [forward, backward] = steps(2, ConvChoice("", shared));
  CHECK(forward == convolutions);
  CHECK(backward == 2 * convolutions - 1);                     // the picture has no gradient
  CHECK(steps(1, ConvChoice("", shared)) == std::pair(0, 0));  // another batch
  CHECK(steps(2, {}) == std::pair(0, 0));
  CHECK(steps(2, ConvChoice("onednn", shared)) != std::pair(forward, backward));
  CHECK(steps(2, "spy") == std::pair(forward, backward));
}
