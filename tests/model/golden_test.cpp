// Raw heads and imports against files that other programs made ($ROOK_ASSETS): OpenCV's outputs for the same input, and
// darknet weights, which must come out of a round trip byte for byte.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "engine/executor.h"
#include "io/safetensors.h"
#include "model/darknet_import.h"
#include "model/model.h"

namespace fs = std::filesystem;

namespace rook {
namespace {

constexpr const char* kEnding = ".dog.safetensors";
constexpr float kOpenCvEps = 1e-6f;  // what OpenCV adds to the variance in batch norm

const char* assets() {
  const char* folder = std::getenv("ROOK_ASSETS");
  if (!folder) MESSAGE("skipped: ROOK_ASSETS is not set");
  return folder;
}

std::vector<std::string> golden_models(const fs::path& folder) {
  std::vector<std::string> models;
  for (const auto& entry : fs::directory_iterator(folder / "golden")) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kEnding)) models.push_back(name.substr(0, name.size() - std::strlen(kEnding)));
  }
  std::sort(models.begin(), models.end());
  return models;
}

// Largest difference of a head's logits to OpenCV's, relative to the largest of those. NaN gives infinity.
double worst_head(const fs::path& folder, const std::string& name, DType type) {
  const io::SafeTensors golden = io::read_safetensors(folder / "golden" / (name + kEnding));
  Model model =
      load_model(fmt::format("{0}/cfg/{1}.cfg:{0}/weights/{1}.weights", folder.string(), name), {.bn_eps = kOpenCvEps});
  Executor executor(model.network->graph, *model.params, {.backend = &cpu_backend(), .compute = type});
  const io::SafeTensor& picture = golden.at("input_nchw_rgb01");
  const int h = static_cast<int>(picture.shape[2]), w = static_cast<int>(picture.shape[3]), plane = h * w;
  executor.resize(1, h, w);
  std::vector<float> nhwc(static_cast<std::size_t>(plane) * 3);
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < plane; ++i) nhwc[i * 3 + c] = picture.f32()[c * plane + i];
  cpu::copy_channels({.src = make_tensor(nhwc.data(), DType::f32, 1, h, w, 3), .dst = executor.input()});
  executor.forward();
  double worst = 0;
  for (const Head& head : model.network->heads) {
    const auto want = golden.at(fmt::format("raw_conv_{}", head.source)).f32();
    const Tensor logits = executor.output(head.source);
    REQUIRE(static_cast<std::int64_t>(want.size()) == logits.elements());
    double difference = 0, largest = 0;
    for (int c = 0; c < logits.c; ++c) {
      for (int i = 0; i < logits.h * logits.w; ++i) {
        const double expected = want[c * logits.h * logits.w + i];
        const double gap = std::fabs(logits.as<float>()[i * logits.pitch + c] - expected);
        difference = gap <= difference ? difference : gap;
        if (std::isnan(gap)) return INFINITY;
        largest = std::max(largest, std::fabs(expected));
      }
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

}  // namespace

TEST_CASE("raw heads agree with OpenCV on the same input") {
  const char* folder = assets();
  if (!folder) return;
  const auto models = golden_models(folder);
  REQUIRE(models.size() == 6);
  for (const std::string& name : models) {
    const double f32 = worst_head(folder, name, DType::f32);
    MESSAGE(name << ": f32 " << f32);
    CHECK(f32 <= 1e-4);
    if (!cpu_has_bf16()) continue;
    const double bf16 = worst_head(folder, name, DType::bf16);
    MESSAGE(name << ": bf16 " << bf16);
    CHECK(bf16 <= 0.08);  // eight bits of mantissa through up to 84 convolutions
  }
}

TEST_CASE("darknet weights come out as they went in") {
  const char* folder = assets();
  if (!folder) return;
  for (const std::string& name : golden_models(folder)) {
    CAPTURE(name);
    const auto file = io::read_darknet_weights(fs::path(folder) / "weights" / (name + ".weights"));
    const auto network = build_network(io::read_cfg(fs::path(folder) / "cfg" / (name + ".cfg")));
    Params params(network->graph);
    CHECK(import_darknet(*network, params, file).kind == ImportKind::exact);
    const auto back = export_darknet(*network, params);
    REQUIRE(back.payload.size() == file.payload.size());
    CHECK(std::memcmp(back.payload.data(), file.payload.data(), file.payload.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("weights that end at a layer, and weights of other classes") {
  const char* folder = assets();
  if (!folder) return;
  io::Cfg cfg = io::read_cfg(fs::path(folder) / "cfg" / "yolov4-tiny-voc-rebuilt.cfg");
  cfg.set_classes(12);
  const auto network = build_network(cfg);
  Params params(network->graph);
  const auto prefix = import_darknet(
      *network, params, io::read_darknet_weights(fs::path(folder) / "weights" / "yolov4-tiny-voc-rebuilt.conv.29"));
  CHECK(prefix.kind == ImportKind::partial);
  CHECK(prefix.layers == 29);
  CHECK(prefix.skipped == std::vector<int>{29, 32, 35, 36});
  io::DarknetWeights whole = io::read_darknet_weights(fs::path(folder) / "weights" / "yolov4-tiny-voc-rebuilt.weights");
  const auto other = import_darknet(*network, params, whole);
  CHECK(other.kind == ImportKind::other_classes);
  CHECK(other.file_classes == 20);
  CHECK(other.skipped == std::vector<int>{29, 36});
  whole.payload.resize(whole.payload.size() - 7);
  CHECK_THROWS_WITH(import_darknet(*network, params, whole), doctest::Contains("bytes are left over"));
}

}  // namespace rook
