// rook tune: rows that are wrong, throw or dawdle, and the program from measuring to using.
#include "app/tuner.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "app/common.h"
#include "base/error.h"
#include "model/zoo.h"
#include "tests/app/cli_support.h"
#include "tests/model/trainer_support.h"

using namespace rook;
using namespace rook::app;
using namespace rook::test;

namespace {

ConvProblem problem(ConvDirection direction) {
  return {.direction = direction,
          .geometry = {.c = 8, .k = 12, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
          .n = 2,
          .h = 9,
          .w = 7,
          .bias = direction != ConvDirection::dgrad,
          .activation = direction == ConvDirection::fprop ? Activation::leaky : Activation::linear};
}

const ConvRow& honest() {
  return ref_backend().conv_rows()[0];
}

ConvRow planted(std::string_view name, void (*run)(const ConvProblem&, const ConvArgs&, Stream)) {
  ConvRow row = honest();
  row.name = name;
  row.run = run;
  return row;
}

// One output channel is off by a thousandth of its value.
void run_slightly_off(const ConvProblem& p, const ConvArgs& args, Stream stream) {
  honest().run(p, args, stream);
  if (p.direction == ConvDirection::wgrad) {
    for (std::int64_t i = 0; i < p.geometry.weights() / 2; ++i) args.dweights[i] *= 1.001f;
    return;
  }
  const Tensor& out = p.direction == ConvDirection::fprop ? args.y : args.x;
  for (std::int64_t i = 0; i < out.elements() / 2; ++i) out.as<float>()[i] *= 1.001f;
}

void run_forgetful(const ConvProblem& p, const ConvArgs& args, Stream stream) {  // does not add to a gradient
  if (p.direction == ConvDirection::wgrad) std::fill_n(args.dweights, p.geometry.weights(), 0.0f);
  ConvArgs plain = args;
  plain.mode = Grad::overwrite;
  plain.bias = nullptr;
  honest().run(p, plain, stream);
}

void run_nan(const ConvProblem& p, const ConvArgs& args, Stream stream) {
  honest().run(p, args, stream);
  if (p.direction == ConvDirection::wgrad)
    std::fill_n(args.dweights, p.geometry.weights(), NAN);
  else
    std::fill_n((p.direction == ConvDirection::fprop ? args.y : args.x).as<float>(), 8, NAN);
}

void run_throwing(const ConvProblem&, const ConvArgs&, Stream) {
  throw Error("out of order");
}

void run_without_bias(const ConvProblem& p, const ConvArgs& args, Stream stream) {
  ConvArgs bare = args;
  bare.bias = nullptr;
  bare.dbias = nullptr;
  honest().run(p, bare, stream);
}

const std::vector<ConvRow>& planted_rows() {
  static const std::vector<ConvRow> rows = [] {
    std::vector<ConvRow> all{planted("off", run_slightly_off), planted("forgetful", run_forgetful),
                             planted("nan", run_nan), planted("throwing", run_throwing),
                             planted("without bias", run_without_bias)};
    all.insert(all.end(), cpu_backend().conv_rows().begin(), cpu_backend().conv_rows().end());
    return all;
  }();
  return rows;
}

Backend planted_backend() {
  Backend backend = cpu_backend();
  backend.conv_rows = []() -> std::span<const ConvRow> { return planted_rows(); };
  return backend;
}

constexpr TimingLimits kQuick{.seconds = 0, .least_samples = 3, .most_samples = 3};

// By value: a loop over a part of a temporary outlives it.
nlohmann::json listed_rows(const Words& words) {
  return json_of(words)["rows"];
}

}  // namespace

TEST_CASE("tuner: rows that are wrong or throw are dropped, saying why; the right ones are timed") {
  const Backend backend = planted_backend();
  for (const ConvDirection direction : {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad}) {
    CAPTURE(name_of(direction));
    const TunedProblem tuned = tune_problem(backend, {}, problem(direction), kQuick);
    CHECK(tuned.by_rule == "off");  // the first that supports it
    const auto dropped = [&](std::string_view row) {
      const Candidate* candidate = tuned.find(row);
      REQUIRE(candidate);
      return !candidate->ms && !candidate->fault.empty();
    };
    CHECK(dropped("off"));
    CHECK(dropped("nan"));
    CHECK(dropped("throwing"));
    CHECK(tuned.find("throwing")->fault == "out of order");
    CHECK(dropped("forgetful"));
    CHECK(dropped("without bias") == (direction != ConvDirection::dgrad));
    CHECK_FALSE(dropped("onednn"));
    CHECK_FALSE(dropped("ref"));  // small enough to be a candidate
    const MeasuredConv measured = tuned.measured();
    REQUIRE(!measured.rows.empty());
    for (std::size_t i = 1; i < measured.rows.size(); ++i)
      CHECK(measured.rows[i - 1].ms <= measured.rows[i].ms);  // the rule's row is not among them
    for (const MeasuredRow& row : measured.rows)
      CHECK((row.row == "onednn" || row.row == "ref" || row.row == "winograd" || row.row == "without bias"));
  }
}

namespace {

int runs_of_late = 0;  // of the row below, since it was set to 0
constexpr int kRunsOfChecks = 8;

// Right at first, then as a kernel that runs out of something: while it is timed.
void run_failing_late(const ConvProblem& p, const ConvArgs& args, Stream stream) {
  if (++runs_of_late > kRunsOfChecks) throw Error("too late");
  honest().run(p, args, stream);
}
bool cannot_say(const ConvProblem&) {
  throw Error("cannot be asked");
}

const std::vector<ConvRow>& late_rows() {
  static const std::vector<ConvRow> rows = [] {
    ConvRow silent = planted("silent", run_throwing);
    silent.supports = cannot_say;
    return std::vector<ConvRow>{honest(), planted("late", run_failing_late), silent};
  }();
  return rows;
}

// A contestant of the GPU's kind, timed by recorded graphs and events, on the emulator.
Backend timed_as_gpu() {
  Backend backend = *emu_backend();
  backend.device = Device::cuda;
  return backend;
}

}  // namespace

TEST_CASE("tuner: a row that throws while it is timed, or when it is asked, is dropped, and the others are timed") {
  Backend backend = cpu_backend();
  backend.conv_rows = []() -> std::span<const ConvRow> { return late_rows(); };
  runs_of_late = 0;
  const TimingLimits limits{.seconds = 0, .least_samples = 20, .most_samples = 20};
  const TunedProblem tuned = tune_problem(backend, {}, problem(ConvDirection::fprop), limits);
  REQUIRE((tuned.find("late") && tuned.find("silent") && tuned.find("ref")));
  CHECK(runs_of_late == kRunsOfChecks + 1);
  CHECK(tuned.find("late")->fault == "too late");
  CHECK_FALSE(tuned.find("late")->ms);
  CHECK(tuned.find("silent")->fault == "cannot be asked");
  CHECK(tuned.find("ref")->ms);
  CHECK(tuned.measured().rows.size() == 1);
}

TEST_CASE("timing: what throws while it is recorded ends the recording" * doctest::skip(emu_backend() == nullptr)) {
  const Backend backend = timed_as_gpu();
  const Stream stream = backend.runtime->create_stream();
  int runs = 0;
  const Contestant breaking{{[&] {
    if (++runs > 2) throw Error("broke");  // the first two are the warm-up
  }}};
  const Contestant sound{{[] {}}};
  const TimingLimits limits{.seconds = 0, .least_samples = 3, .most_samples = 3};
  CHECK_THROWS_WITH_AS(time_in_turn(backend, stream, {breaking}, limits), "broke", Error);
  CHECK_NOTHROW(backend.runtime->synchronize(stream));  // not allowed while it records
  runs = 0;
  const auto results = time_each_in_turn(backend, stream, {breaking, sound}, limits);
  REQUIRE(results.size() == 2);
  CHECK(results[0].fault);
  CHECK_FALSE(results[1].fault);
  CHECK(results[1].timing.samples == 3);
  backend.runtime->destroy_stream(stream);
}

TEST_CASE("timing: calls end with their time, but not before the fifth") {
  int runs = 0;
  const auto run = [&] { ++runs; };
  CHECK(time_calls(2, 100, run, 0).samples == 5);
  CHECK(runs == 7);
  CHECK(time_calls(0, 3, run, 0).samples == 3);
  CHECK(time_calls(0, 100, run).samples == 100);
}

TEST_CASE("tuner: the default rule's row stays unless another is faster beyond the noise") {
  const auto chosen = [](double rule_ms, double other_ms) {
    const TunedProblem tuned{.problem = {},
                             .by_rule = "rule",
                             .candidates = {{"other", other_ms, ""}, {"rule", rule_ms, ""}, {"bad", {}, "wrong"}}};
    const MeasuredConv measured = tuned.measured();
    CHECK(measured.rows.size() == 2);
    return measured.rows.front().row;
  };
  CHECK(chosen(1, 0.99) == "rule");
  CHECK(chosen(1, 0.95) == "other");
  CHECK(chosen(1, 1.2) == "rule");
}

TEST_CASE("tuner: large problems are not given to ref") {
  const ConvProblem large{
      .geometry = {.c = 64, .k = 64, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1}, .n = 1, .h = 52, .w = 52};
  const TunedProblem tuned = tune_problem(cpu_backend(), {}, large, kQuick);
  CHECK_FALSE(tuned.find("ref"));
  CHECK(tuned.find("onednn"));
  CHECK(tuned.by_rule == ConvTable(cpu_backend()).choose(large).name);
}

TEST_CASE("tuner: a network's problems are those its executor asks for") {
  const auto network = build_network(tiny_cfg(kAllLayers));
  const auto inference = conv_problems(*network, cpu_backend(), DType::f32, 3, 12, 16, false);
  const auto training = conv_problems(*network, cpu_backend(), DType::f32, 3, 12, 16, true);
  int convolutions = 0;
  for (const Node& node : network->graph.nodes()) convolutions += node.op && node.op->convolution();
  CHECK(convolutions > 5);
  for (const ConvProblem& p : inference) {
    CHECK(p.direction == ConvDirection::fprop);
    CHECK((p.n == 3 && p.bias));
  }
  const auto count = [&](ConvDirection direction) {
    return std::count_if(training.begin(), training.end(),
                         [&](const ConvProblem& p) { return p.direction == direction; });
  };
  CHECK(count(ConvDirection::fprop) > 0);
  CHECK(count(ConvDirection::wgrad) == count(ConvDirection::fprop));
  CHECK(count(ConvDirection::dgrad) > 0);
}

namespace {

// The cfg of a network of few convolutions: each row of each of them is measured.
const std::string& small_network() {
  static const TempFolder folder;
  static const std::string file = [] {
    append_text(folder / "small.cfg", cfg_text(kTrainLayers, kTrainNet));
    return (folder / "small.cfg").string();
  }();
  return file;
}

// Each row sampled as little as may be.
Words tune_words(const fs::path& cache, const Words& more, const std::string& device = "cpu") {
  Words words{"tune", "--arch",   small_network(), "--size", "32",          "--seconds",
              "0",    "--device", device,          "--out",  cache.string()};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words inspect_words(const Words& more) {
  Words words{"inspect", "--model", "rook-nano", "--size", "32", "--runs", "1", "--device", "cpu"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// A cache that has ref for all that detection with that network asks for.
void save_ref_everywhere(const fs::path& cache, const ConvCacheKey& key) {
  std::vector<MeasuredConv> measured;
  const auto network = build_network(find_cfg("rook-nano"));
  for (const ConvProblem& p : conv_problems(*network, cpu_backend(), DType::f32, 1, 32, 32, false))
    measured.push_back({p, {{"ref", 1.0}}});
  save_conv_cache(cache, key, measured);
}

}  // namespace

TEST_CASE("command line: tune measures, writes, and lists what it wrote") {
  const TempFolder folder;
  const fs::path cache = folder / "tuned/cache.json";
  const nlohmann::json before = json_of(tune_words(cache, {"--list"}));
  for (const auto& row : before["rows"]) CHECK(row["why"] == "rule");
  CHECK_FALSE(fs::exists(cache));

  const nlohmann::json measured = json_of(tune_words(cache, {"--train"}));
  CHECK(measured["rows"].size() > before["rows"].size());
  CHECK(measured["ms"].get<double>() > 0);
  CHECK(measured["cache"] == cache.string());
  std::set<std::string> directions;
  for (const auto& row : measured["rows"]) {
    const std::string text = row["problem"];
    directions.insert(text.substr(0, text.find(' ')));
    CHECK(row["rows"].size() >= 1);
    for (const auto& candidate : row["rows"]) CHECK_FALSE(candidate.contains("dropped"));
  }
  CHECK(directions == std::set<std::string>{"fprop", "dgrad", "wgrad"});

  const nlohmann::json after = json_of(tune_words(cache, {"--list"}));
  REQUIRE(after["rows"].size() == before["rows"].size());
  for (const auto& row : after["rows"]) CHECK(row["why"] == "tuned");
  for (const auto& row : listed_rows(tune_words(cache, {"--list", "--batch", "2"}))) CHECK(row["why"] == "rule");
  // Libraries left out: the rule's choice among ours, or the fastest of ours that was measured.
  for (const auto& row : listed_rows(tune_words(cache, {"--list", "--conv", "ours"}))) CHECK(row["row"] != "onednn");
  for (const auto& row : listed_rows(tune_words("none", {"--list", "--conv", "ours"}))) {
    CHECK(row["row"] != "onednn");
    CHECK(row["row"] != "ref");
    CHECK(row["why"] == "forced");
  }
  const std::size_t all = before["rows"].size();
  CHECK(shows(output_of(tune_words("none", {"--list", "--conv", "ours"})),
              fmt::format("--conv ours: used for {} of {} convolutions\n", all, all)));
  CHECK(shows(output_of(tune_words("none", {"--list", "--conv", "ref"})),
              fmt::format("--conv ref: used for {} of {} convolutions\n", all, all)));
  CHECK(shows(output_of(tune_words("none", {"--list", "--conv", "winograd"})),
              " convolutions; the others run as listed"));
}

TEST_CASE("command line: tune that is stopped keeps what it has measured") {
  const TempFolder folder;
  const fs::path cache = folder / "cache.json";
  // The first convolution is written long before the last one is measured.
  const Words words{"tune", "--arch",   small_network(), "--size",  "32",    "--seconds",
                    "0.2",  "--device", "cpu",           "--train", "--out", cache.string()};
  Child tuning(folder / ".", command_of(words), kQuietThreads);
  REQUIRE(wait_for([&] { return fs::exists(cache) || !tuning.running(); }, 60));
  REQUIRE(tuning.running());
  tuning.end(SIGKILL);
  const auto rows = listed_rows(tune_words(cache, {"--list", "--train"}));
  const auto tuned = std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row["why"] == "tuned"; });
  CHECK(tuned >= 1);
  CHECK(tuned < static_cast<std::ptrdiff_t>(rows.size()));
}

TEST_CASE("command line: a network runs the rows of the cache") {
  const TempFolder folder;
  const fs::path cache = folder / "cache.json";
  save_ref_everywhere(cache, conv_cache_key(cpu_backend()));
  // Bytes of packed weights tell the rows apart: ref keeps them as they are.
  const auto weight_bytes = [](const Words& more) {
    return json_of(inspect_words(more))["weight_bytes"].get<double>();
  };
  const double ref = weight_bytes({"--conv", "ref", "--conv-cache", "none"});
  CHECK(weight_bytes({"--conv-cache", "none"}) != ref);
  CHECK(weight_bytes({"--conv-cache", cache.string()}) == ref);
  CHECK(weight_bytes({"--conv-cache", cache.string(), "--conv", "onednn"}) != ref);  // what is forced comes first
}

TEST_CASE("command line: a stale or broken cache is ignored with one line") {
  const TempFolder folder;
  const fs::path cache = folder / "cache.json";
  const Words inspect = inspect_words({"--conv-cache", cache.string()});
  append_text(cache, "{ half a file");
  Output output = run_program(inspect);
  CHECK(output.status == 0);
  CHECK(output.err.starts_with(cache.string() + ": is not what rook tune writes"));
  CHECK(std::count(output.err.begin(), output.err.end(), '\n') == 1);

  save_ref_everywhere(cache, {conv_cache_key(cpu_backend()).device, "rook 0.0.1, oneDNN 1.0"});
  output = run_program(inspect);
  CHECK(output.status == 0);
  CHECK(shows(output.err, "was measured with rook 0.0.1, oneDNN 1.0"));
  CHECK(std::count(output.err.begin(), output.err.end(), '\n') == 1);
}

TEST_CASE("command line: what tune cannot do it says") {
  const auto refused = [](const Words& words, const std::string& why) {
    const Output output = run_program(words);
    CHECK(output.status == 1);
    CHECK_MESSAGE(shows(output.err, why), output.err);
  };
  refused({"tune"}, "--model or --arch");
  refused({"tune", "--arch", "rook-nano", "--device", "ref"}, "--device ref");
  refused({"tune", "--arch", "rook-nano", "--device", "cpu", "--conv", "onednn"}, "--conv");
  refused({"tune", "--arch", "rook-nano", "--device", "cpu", "--out", "none"}, "--out none");
  refused({"tune", "--arch", "no-such-network", "--device", "cpu"}, "no-such-network");
}

TEST_CASE("command line: tune on the emulator") {
  if (!emu_backend()) return;
  const TempFolder folder;
  const fs::path cache = folder / "cache.json";
  const nlohmann::json measured = json_of(tune_words(cache, {}, "emu"));
  CHECK(measured["rows"].size() > 3);
  for (const auto& row : measured["rows"])
    for (const auto& candidate : row["rows"]) CHECK_FALSE(candidate.contains("dropped"));
  for (const auto& row : listed_rows(tune_words(cache, {"--list"}, "emu"))) CHECK(row["why"] == "tuned");
}
