// rook bench ops: every operation on its own, beside what the device can do and beside the libraries.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include "app/bench/bench.h"
#include "app/bench/ceilings.h"
#include "app/bench/op_cases.h"
#include "app/checks.h"
#include "base/error.h"
#include "kernels/names.h"
#include "model/zoo.h"

namespace rook::app {
namespace {

struct BenchOpsFlags {
  std::string device = "auto", filter, json, markdown;
  std::vector<std::string> arch{"yolov4-tiny"}, types, rows;
  std::vector<int> batches{1, 8, 64};
  double seconds = 0.3;
  int size = 0;
  bool list = false;
};

constexpr std::int64_t kGateElements = 4 << 20;  // larger cases are compared with ref on one image
constexpr int kConvSamples = 200;

class OpsBench {
 public:
  explicit OpsBench(const BenchOpsFlags& o) : o_(o), backend_(find_backend(o.device)), limits_{.seconds = o.seconds} {
    if (backend_.name == "ref")
      throw UsageError("--device ref: is what the others are compared with; take cpu, cuda or emu");
    for (const std::string& name : o.types) {
      const auto type = dtype_from_name(name);
      if (type != DType::f32 && type != DType::bf16 && type != DType::f16)
        throw UsageError(fmt::format("--types {}: is not one of f32, bf16, f16", name));
      types_.push_back(*type);
    }
    if (types_.empty()) types_.push_back(DType::f32);
    if (o.types.empty() && (backend_.device != Device::cpu || cpu_has_bf16())) types_.push_back(DType::bf16);
    stream_ = backend_.runtime->create_stream();
  }
  ~OpsBench() { backend_.runtime->destroy_stream(stream_); }
  OpsBench(const OpsBench&) = delete;
  OpsBench& operator=(const OpsBench&) = delete;

  void run();

 private:
  bool wanted(const std::string& op, const std::string& shape) const {
    return o_.filter.empty() || (op + " " + shape).find(o_.filter) != std::string::npos;
  }
  void print(const std::string& text) const {
    if (o_.json == "-" || o_.markdown == "-") return;
    fmt::print("{}\n", text);
    std::fflush(stdout);
  }
  void run_op(const OpCase& c, int batch, DType type);
  void check(const OpCase& c, const OpData& probe, DType type);
  std::string fault_of(const ConvRow& row, const ConvProblem& problem) const;
  void run_conv(const ConvShape& shape, ConvDirection direction, int batch, DType type);
  void add_row(nlohmann::json row, const Timing& timing, double flops, double bytes, DType type,
               std::optional<double> library);
  std::string markdown(const nlohmann::json& result) const;

  const BenchOpsFlags& o_;
  const Backend& backend_;
  TimingLimits limits_;
  std::vector<DType> types_;
  Stream stream_;
  Ceilings ceilings_;
  nlohmann::json rows_ = nlohmann::json::array();
  int unsteady_ = 0;
};

// The outputs of a run beside those of ref on the same data, as doubles.
void OpsBench::check(const OpCase& c, const OpData& probe, DType type) {
  const bool large = probe.bytes() > static_cast<double>(kGateElements * 4);
  OpData ours(backend_, stream_, large ? 1 : probe.batch(), type), truth(ref_backend(), {}, ours.batch(), type);
  c.make(ours)();
  backend_.runtime->synchronize(stream_);
  c.make(truth)();
  const auto actual = ours.outputs(), expected = truth.outputs();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double largest = 0;
    for (const double value : expected[i].values) largest = std::max(largest, std::abs(value));
    const double allowed = expected[i].exact ? 0 : largest * c.tolerance[type == DType::f32 ? 0 : 1];
    for (std::size_t j = 0; j < expected[i].values.size(); ++j)
      if (!(std::abs(actual[i].values[j] - expected[i].values[j]) <= allowed))
        throw Error(fmt::format("{} {} {} on {}: {}[{}] is {}, ref has {}; nothing is timed that is wrong", c.op,
                                c.shape, name_of(type), backend_.name, expected[i].what, j, actual[i].values[j],
                                expected[i].values[j]));
  }
}

void OpsBench::run_op(const OpCase& c, int batch, DType type) {
  std::vector<std::unique_ptr<OpData>> instances;
  Contestant contestant;
  double bytes = 0;
  do {
    instances.push_back(std::make_unique<OpData>(backend_, stream_, batch, type));
    contestant.instances.push_back(c.make(*instances.back()));
    if (instances.size() == 1) check(c, *instances.front(), type);
    bytes += instances.back()->bytes();
  } while (bytes < cache_bytes(backend_) && instances.size() < 64);
  const Timing timing = time_in_turn(backend_, stream_, {contestant}, limits_).front();
  add_row({{"op", c.op}, {"case", c.shape}, {"batch", c.per_image ? batch : 1}, {"type", name_of(type)}}, timing,
          c.flops * (c.per_image ? batch : 1), instances.front()->bytes(), type, std::nullopt);
}

// What is wrong with what a row computes, empty when nothing is. A library may also refuse a problem it said it takes.
std::string OpsBench::fault_of(const ConvRow& row, const ConvProblem& problem) const {
  try {
    return check_conv_samples(backend_, stream_, problem, row, kConvSamples);
  } catch (const Error& error) {
    if (row.ours()) throw;
    return error.what();
  }
}

// All rows of the table in turn.
void OpsBench::run_conv(const ConvShape& shape, ConvDirection direction, int batch, DType type) {
  const ConvProblem problem{
      .direction = direction, .geometry = shape.geometry, .n = batch, .h = shape.h, .w = shape.w, .x = type, .y = type};
  std::vector<const ConvRow*> rows;
  for (const ConvRow& row : backend_.conv_rows()) {
    const bool named = std::find(o_.rows.begin(), o_.rows.end(), row.name) != o_.rows.end();
    if ((o_.rows.empty() ? row.name != "ref" : named) && row.supports(problem)) rows.push_back(&row);
  }
  ConvContest contest(backend_, stream_, problem);
  std::erase_if(rows, [&](const ConvRow* row) {
    const std::string fault = fault_of(*row, problem);
    if (fault.empty()) {
      contest.add(*row);
      return false;
    }
    const std::string words = fmt::format("{} by {}: {}", describe(problem), row->name, fault);
    if (row->ours()) throw Error(words + "; nothing is timed that is wrong");
    print(words + "; left out");
    return true;
  });
  if (rows.empty()) return;
  const std::vector<Timing> timings = time_in_turn(backend_, stream_, contest.contestants(), limits_);
  std::optional<double> library;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (!rows[i]->ours()) library = std::min(library.value_or(timings[i].median), timings[i].median);
  for (std::size_t i = 0; i < rows.size(); ++i)
    add_row({{"op", fmt::format("conv {}", name_of(direction))},
             {"case", shape.text()},
             {"batch", batch},
             {"type", name_of(type)},
             {"row", rows[i]->name}},
            timings[i], problem.flops(), conv_bytes(problem), type, library);
}

void OpsBench::add_row(nlohmann::json row, const Timing& timing, double flops, double bytes, DType type,
                       std::optional<double> library) {
  row.update(to_json(timing));
  row["flops"] = flops;
  row["bytes"] = bytes;
  row["tflops"] = flops / timing.median / 1e12;
  row["gb_s"] = bytes / timing.median / 1e9;
  row["ceiling_percent"] = 100 * ceilings_.seconds(flops, bytes, type) / timing.median;
  if (library) row["over_library"] = *library / timing.median;
  const bool unsteady = timing.spread() > kUnsteady;
  unsteady_ += unsteady;
  row["unsteady"] = unsteady;
  print(fmt::format("{:<26} {:<30} {:>3} {:<4} {:<14} {:>9.4f} ms {:>8.3f} TFLOP/s {:>7.1f} GB/s {:>4.0f} % {:>6}{}",
                    row["op"].get<std::string>(), row["case"].get<std::string>(), row["batch"].get<int>(),
                    row["type"].get<std::string>(), row.value("row", std::string()), timing.median * 1e3,
                    row["tflops"].get<double>(), row["gb_s"].get<double>(), row["ceiling_percent"].get<double>(),
                    library ? fmt::format("{:.2f}x", *library / timing.median) : "", unsteady ? "  unsteady" : ""));
  rows_.push_back(std::move(row));
}

void OpsBench::run() {
  std::vector<OpCase> cases = layer_cases();
  for (OpCase& c : training_cases()) cases.push_back(std::move(c));
  std::vector<ConvShape> convs;
  for (const std::string& arch : o_.arch) {
    const auto network = build_network(find_cfg(arch, {}));
    const int width = o_.size ? o_.size : network->width, height = o_.size ? o_.size : network->height;
    for (const ConvShape& shape : conv_shapes(*network, height, width))
      if (std::find(convs.begin(), convs.end(), shape) == convs.end()) convs.push_back(shape);
  }
  ceilings_ = measure_ceilings(backend_, stream_, types_, {.seconds = 3 * o_.seconds});
  print(fmt::format("{}: a copy {:.1f} GB/s", backend_.name, ceilings_.copy_bytes_per_s / 1e9));
  for (const auto& [type, flops] : ceilings_.flops_per_s)
    print(fmt::format("  {} matrix product {:.3f} TFLOP/s (by {})", name_of(type), flops / 1e12,
                      ceilings_.product_by.at(type)));
  for (const OpCase& c : cases)
    if (wanted(c.op, c.shape))
      for (const DType type : types_)
        for (const int batch : o_.batches)
          if (type != DType::f16 && (c.typed || type == types_.front()) && (c.per_image || batch == o_.batches.front()))
            run_op(c, batch, type);
  for (const ConvDirection direction : {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad})
    for (const ConvShape& shape : convs)
      if (wanted(fmt::format("conv {}", name_of(direction)), shape.text()))
        for (const DType type : types_)
          for (const int batch : o_.batches) run_conv(shape, direction, batch, type);
  if (rows_.empty())
    throw UsageError(
        fmt::format("--filter {}: no case has it in its name; `rook bench ops --list` shows them", o_.filter));
  nlohmann::json result = measured_on(backend_);
  result.update({{"bench", "ops"}, {"ceilings", ceilings_.json()}, {"unsteady_rows", unsteady_}, {"rows", rows_}});
  if (!o_.json.empty()) write_json(o_.json, result);
  if (!o_.markdown.empty()) write_text(o_.markdown, markdown(result));
  if (unsteady_ * 5 > static_cast<int>(rows_.size()))
    fmt::print(stderr, "rook: {} of {} rows vary by more than {:.0f} %: something else is running on this machine\n",
               unsteady_, rows_.size(), 100 * (kUnsteady - 1));
}

std::string OpsBench::markdown(const nlohmann::json& result) const {
  std::string text =
      fmt::format("{}, {} threads, {}; copy {:.1f} GB/s", result["device"].get<std::string>(),
                  result["threads"].get<int>(), result["date"].get<std::string>(), ceilings_.copy_bytes_per_s / 1e9);
  for (const auto& [type, flops] : ceilings_.flops_per_s)
    text += fmt::format(", {} matrix product {:.3f} TFLOP/s ({})", name_of(type), flops / 1e12,
                        ceilings_.product_by.at(type));
  text +=
      "\n\n| operation | case | batch | type | row | ms (min-max) | TFLOP/s | GB/s | of ceiling | over library |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& row : rows_)
    text += fmt::format("| {} | {} | {} | {} | {} | {:.4f} ({:.4f}-{:.4f}) | {:.3f} | {:.1f} | {:.0f} % | {} |\n",
                        row["op"].get<std::string>(), row["case"].get<std::string>(), row["batch"].get<int>(),
                        row["type"].get<std::string>(), row.value("row", std::string()), row["ms_median"].get<double>(),
                        row["ms_min"].get<double>(), row["ms_max"].get<double>(), row["tflops"].get<double>(),
                        row["gb_s"].get<double>(), row["ceiling_percent"].get<double>(),
                        row.contains("over_library") ? fmt::format("{:.2f}x", row["over_library"].get<double>()) : "");
  return text;
}

void list_cases(const BenchOpsFlags& o) {
  std::vector<OpCase> cases = layer_cases();
  for (OpCase& c : training_cases()) cases.push_back(std::move(c));
  for (const OpCase& c : cases) fmt::print("{} {}\n", c.op, c.shape);
  for (const std::string& arch : o.arch) {
    const auto network = build_network(find_cfg(arch, {}));
    for (const ConvShape& shape : conv_shapes(*network, network->height, network->width))
      for (const ConvDirection direction : {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad})
        fmt::print("conv {} {}\n", name_of(direction), shape.text());
  }
}

}  // namespace

void add_bench_ops(CLI::App& bench) {
  auto o = std::make_shared<BenchOpsFlags>();
  CLI::App* c = bench.add_subcommand("ops", "each operation beside the device's ceilings, convolutions row by row");
  c->add_option("--filter", o->filter, "only cases whose name contains this");
  c->add_flag("--list", o->list, "names of the cases, without timing");
  c->add_option("--batch", o->batches, "photos at a time, a list")
      ->delimiter(',')
      ->capture_default_str()
      ->check(between(1, 1024));
  c->add_option("--types", o->types,
                "f32, bf16, f16 (convolutions on a GPU); default f32, and bf16 where the device computes in it")
      ->delimiter(',');
  c->add_option("--arch", o->arch, "networks whose convolutions are timed")->delimiter(',')->capture_default_str();
  add_size(*c, o->size, "the cfg's");
  c->add_option("--rows", o->rows, "only these rows of the convolution table (default: all but ref)")->delimiter(',');
  c->add_option("--seconds", o->seconds, "time for the samples of one row; five are taken at least")
      ->capture_default_str()
      ->check(between(0.0, 3600.0));
  c->add_option("--device", o->device, "auto (a GPU, else the CPU), cuda, cpu, or emu")->capture_default_str();
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  c->add_option("--markdown", o->markdown, "as a Markdown table to a file, or to standard output (-)");
  c->footer(
      "Each case is compared with ref before it is timed. Columns: median, TFLOP/s, GB/s, share of what the device's\n"
      "copy and matrix product would allow, and how many times faster than the best library's row.\nExamples:\n  rook "
      "bench ops --filter conv --batch 1 --types f32\n  rook bench ops --device cuda --json ops.json");
  c->callback([o] {
    if (o->list) return list_cases(*o);
    install_interrupt();
    OpsBench(*o).run();
  });
}

}  // namespace rook::app
