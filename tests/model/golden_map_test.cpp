// Real weights on 128 COCO photos: the mAP that OpenCV's network has on them.
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/class_names.h"
#include "io/dataset.h"
#include "model/detector.h"
#include "model/evaluate.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

namespace fs = std::filesystem;

constexpr float kFloor = 0.2f;  // OpenCV's yolo layers leave out scores up to it
constexpr int kBatch = 8;

std::vector<ImageResult> detect_all(const Model& model, const io::Split& split) {
  Detector detector(*model.network, *model.params, {.resampling = Resampling::half_pixel, .fit = Fit::stretch},
                    {.backend = &cpu_backend(), .batch = kBatch, .threshold = kFloor, .best_class = false});
  std::vector<ImageResult> results;
  std::vector<io::Image> photos;
  for (const io::LabelledImage& image : split.images) {
    photos.push_back(io::read_image(image.file));
    ImageResult result{.name = image.name, .width = photos.back().width, .height = photos.back().height};
    for (const io::LabelBox& box : image.boxes) result.truths.push_back({box.x, box.y, box.w, box.h, box.cls});
    results.push_back(std::move(result));
    if (photos.size() < kBatch && results.size() < split.images.size()) continue;
    auto boxes = detector.detect(photos);
    for (std::size_t i = 0; i < boxes.size(); ++i)
      results[results.size() - boxes.size() + i].detections = std::move(boxes[i]);
    photos.clear();
  }
  return results;
}

}  // namespace

TEST_CASE("golden: mAP on 128 photos of COCO is OpenCV's") {
  const fs::path folder = assets("mAP on photos of COCO");
  if (folder.empty()) return;
  if (kSanitized) {
    MESSAGE("skipped under the sanitizers: 256 photos through real networks take minutes");
    return;
  }
  std::ifstream in(folder / "golden/coco_val128_map.json");
  const nlohmann::json golden = nlohmann::json::parse(in)["map"];
  const io::Dataset dataset = io::read_dataset(folder / "coco_val128");
  const std::vector<std::string> names = io::read_class_names(folder / "cfg/coco.names");
  REQUIRE(dataset.classes == names);
  const io::Split* split = dataset.find("valid");
  REQUIRE(split != nullptr);
  REQUIRE(split->images.size() == 128);
  for (const std::string name : {"yolo-fastest-1.1-xl-coco", "MobileNetV2-YOLOv3-Nano-coco"}) {
    CAPTURE(name);
    const Model model = load_model((folder / "cfg" / (name + ".cfg")).string() + ":" +
                                   (folder / "weights" / (name + ".weights")).string());
    const Evaluation e = evaluate(detect_all(model, *split), names);
    const nlohmann::json& expected = golden.at(fmt::format("{}|val2017|{}", name, model.network->width));
    MESSAGE(name, ": AP50 ", e.map50, " (OpenCV ", expected[0].get<double>(), "), AP50:95 ", e.map50_95, " (",
            expected[1].get<double>(), ")");
    CHECK(e.boxes == 898);
    CHECK(std::abs(e.map50 - expected[0].get<double>()) <= 0.003);
    CHECK(std::abs(e.map50_95 - expected[1].get<double>()) <= 0.003);
  }
}
