// rook bench: what its reports hold, that nothing wrong is timed, and what compare calls a regression.
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/ops.h"
#include "tests/app/cli_support.h"

using namespace rook::test;

namespace {

const Words kOps{"bench", "ops", "--seconds", "0", "--batch", "1", "--arch", "rook-nano", "--size", "32"};

nlohmann::json ops(Words more) {
  Words words = kOps;
  words.insert(words.end(), more.begin(), more.end());
  return json_of(words);
}

nlohmann::json timing(double ms, double spread = 0.01) {
  return {{"ms_median", ms},
          {"ms_min", ms * 0.9},
          {"ms_max", ms * 2},
          {"ms_q25", ms * (1 - spread)},
          {"ms_q75", ms * (1 + spread)},
          {"samples", 9}};
}

nlohmann::json row(const char* op, const nlohmann::json& figures) {
  nlohmann::json row = {{"op", op}, {"case", "1x2x3"}, {"batch", 1}, {"type", "f32"}};
  row.update(figures);
  return row;
}

std::string write(const TempFolder& folder, const char* name, const nlohmann::json& json) {
  const std::string file = (folder / name).string();
  std::ofstream(file) << json.dump();
  return file;
}

}  // namespace

TEST_CASE("rook bench ops: fields, and that they follow from each other") {
  const nlohmann::json report = ops({"--filter", "conv fprop", "--types", "f32,bf16"});
  CHECK(keys_of(report) == Keys{"bench", "date", "backend", "device", "threads", "ceilings", "unsteady_rows", "rows"});
  CHECK(report["ceilings"]["copy_gb_s"] > 0.01);
  // Not every processor multiplies bf16.
  CHECK((report["ceilings"]["products"].size() >= 1 && report["ceilings"]["products"].size() <= 2));
  CHECK(report["ceilings"]["products"][0]["tflops"] > 1e-4);
  CHECK(report["rows"].size() > 10);
  int of_libraries = 0;
  for (const nlohmann::json& r : report["rows"]) {
    CHECK(keys_of(r) == Keys{"op", "case", "batch", "type", "row", "ms_median", "ms_min", "ms_max", "ms_q25", "ms_q75",
                             "samples", "flops", "bytes", "tflops", "gb_s", "ceiling_percent", "over_library",
                             "unsteady"});
    const double seconds = r["ms_median"].get<double>() / 1e3;
    CHECK(std::abs(r["tflops"].get<double>() * 1e12 * seconds / r["flops"].get<double>() - 1) <= 1e-9);
    CHECK(std::abs(r["gb_s"].get<double>() * 1e9 * seconds / r["bytes"].get<double>() - 1) <= 1e-9);
    CHECK((r["ms_min"] <= r["ms_q25"] && r["ms_q25"] <= r["ms_median"] && r["ms_median"] <= r["ms_q75"] &&
           r["ms_q75"] <= r["ms_max"]));
    of_libraries += r["row"] == "onednn" && r["over_library"] == 1.0;
  }
  CHECK(of_libraries > 0);
  // The first layer by hand: 32x32x3 to 16x16x16 by 3x3.
  const nlohmann::json& first = report["rows"][0];
  CHECK(first["case"] == "32x32x3 > 16, 3x3/2");
  CHECK(first["flops"] == 2.0 * 16 * 16 * 16 * 27);
  CHECK(first["bytes"] == 4.0 * (32 * 32 * 3 + 16 * 16 * 16 + 16 * 27));
}

TEST_CASE("rook bench ops: traffic of an operation, and a table in Markdown") {
  const nlohmann::json report = ops({"--filter", "sam_forward 13x13x512", "--types", "bf16"});
  CHECK(report["rows"].size() == 1);
  CHECK(report["rows"][0]["bytes"] == 3.0 * 13 * 13 * 512 * 2);
  const std::string table = output_of({"bench", "ops", "--seconds", "0", "--batch", "1", "--filter",
                                       "avgpool_forward 13x13x512", "--types", "f32", "--markdown", "-"});
  CHECK(table.find("| avgpool_forward | 13x13x512 | 1 | f32 |") != std::string::npos);
  const Output nothing = run_program({"bench", "ops", "--filter", "no such case", "--seconds", "0"});
  CHECK(nothing.status == 2);
  CHECK(nothing.err.find("no such case") != std::string::npos);
}

TEST_CASE("rook bench ops: every operation that has a cost is among the cases") {
  const std::string list = output_of({"bench", "ops", "--list"});
#define ROOK_NAME_OF(op, Args) #op,
  const std::vector<std::string> operations{ROOK_OP_LIST(ROOK_NAME_OF)};
#undef ROOK_NAME_OF
  CHECK(operations.size() > 30);
  for (const std::string& op : operations) {
    if (op == "advance_step" || op == "limit_gradient") continue;  // they touch a few numbers each
    CHECK_MESSAGE(list.find(op) != std::string::npos, op);
  }
  for (const char* op : {"conv fprop", "conv dgrad", "conv wgrad"})
    CHECK_MESSAGE(list.find(op) != std::string::npos, op);
}

TEST_CASE("rook bench net and train: a row per batch size, the start, the parts") {
  const nlohmann::json net = json_of(
      {"bench", "net", "--arch", "rook-nano", "--size", "64", "--repetitions", "1", "--batch", "1,3", "--starts", "1"});
  CHECK(keys_of(net) == Keys{"bench", "date", "backend", "device", "threads", "network", "width", "height", "precision",
                             "rows", "start"});
  CHECK(net["start"]["ms_median"] > 1);
  CHECK(net["rows"].size() == 2);
  CHECK(net["rows"][1]["batch"] == 3);
  for (const nlohmann::json& r : net["rows"]) {
    CHECK(keys_of(r) ==
          Keys{"ms_median", "ms_min", "ms_max", "ms_q25", "ms_q75", "samples", "batch", "images_per_s", "peak_mb"});
    CHECK((r["peak_mb"] > 1 && r["ms_median"] > 0));
  }
  const nlohmann::json train = json_of({"bench", "train", "--arch", "rook-nano", "--size", "64", "--repetitions", "1",
                                        "--batch", "2", "--classes", "3", "--parts"});
  CHECK(keys_of(train["rows"][0]["parts_images_per_s"]) ==
        Keys{"load", "augment", "forward", "loss", "backward", "update"});
  for (const nlohmann::json& rate : train["rows"][0]["parts_images_per_s"]) CHECK(rate > 0);
}

TEST_CASE("rook bench compare: regressions beyond noise, and only those") {
  const TempFolder folder;
  const nlohmann::json before = {{"bench", "ops"},
                                 {"rows",
                                  {row("same", timing(1)), row("noisy", timing(1, 0.3)), row("slower", timing(1)),
                                   row("little", timing(1)), row("faster", timing(1)), row("gone", timing(1))}}};
  nlohmann::json after = before;
  after["rows"][1].update(timing(1.2, 0.3));
  after["rows"][2].update(timing(1.5));
  after["rows"][3].update(timing(1.04));
  after["rows"][4].update(timing(0.5));
  after["rows"].erase(5);
  const std::string a = write(folder, "a.json", before), b = write(folder, "b.json", after);
  const Output output = run_program({"bench", "compare", a, b});
  CHECK(output.status == 1);
  CHECK(output.out.find("regression") != std::string::npos);
  CHECK(output.out.find("5 timings in both files (1 only before, 0 only after): 2 within noise, 1 slower") !=
        std::string::npos);
  CHECK(run_program({"bench", "compare", a, b, "--percent", "60"}).status == 0);
  CHECK(run_program({"bench", "compare", a, a}).status == 0);
  CHECK(run_program({"bench", "compare", b, a}).status == 1);  // the faster one is slower this way round

  // Of files of bench/*.py the rounds are the noise.
  const auto rounds = [](double low, double high) {
    return nlohmann::json{{{"ms_median", low}}, {{"ms_median", (low + high) / 2}}, {{"ms_median", high}}};
  };
  nlohmann::json file = {{"bench", "infer"}, {"arch", "n"}, {"batch", 1}, {"measured", {{"rook", rounds(10, 12)}}}};
  const std::string c = write(folder, "c.json", file);
  file["measured"]["rook"] = rounds(11.9, 15);
  CHECK(run_program({"bench", "compare", c, write(folder, "d.json", file)}).status == 0);
  file["measured"]["rook"] = rounds(12.5, 15);
  CHECK(run_program({"bench", "compare", c, write(folder, "d.json", file)}).status == 1);
}

TEST_CASE("rook bench compare: files that are none") {
  const TempFolder folder;
  const std::string good = write(folder, "good.json", {{"rows", {row("a", timing(1))}}});
  const auto refused = [&](const std::string& file, const char* what) {
    const Output output = run_program({"bench", "compare", good, file});
    INFO(output.err);
    CHECK(output.status == 1);
    CHECK(output.err.find(what) != std::string::npos);
    CHECK(output.err.find('\n') == output.err.size() - 1);
  };
  refused((folder / "nothing.json").string(), "cannot be read");
  refused(write(folder, "list.json", nlohmann::json::array()), "holds no timings");
  refused(write(folder, "other.json", {{"rows", {row("b", timing(1))}}}), "no timing in common");
  refused(write(folder, "twice.json", {{"rows", {row("a", timing(1)), row("a", timing(1))}}}), "twice");
  refused(write(folder, "zero.json", {{"rows", {row("a", timing(0))}}}), "not a time");
  refused(write(folder, "text.json", {{"rows", {{{"ms_median", "fast"}}}}}), "no file of timings");
  std::ofstream(folder / "cut.json") << "{\"rows\": [";
  refused((folder / "cut.json").string(), "no file of timings");
}
