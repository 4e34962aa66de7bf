// Going on from a model when the classes are others: what is known stays, class by class.
#include "model/checkpoint.h"
#include "model/trainer.h"
#include "tests/io/picture_support.h"
#include "tests/model/photos.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

// Two heads of two anchors; classes as asked for.
io::Cfg cfg_with(int classes) {
  io::Cfg cfg = tiny_cfg(
      "conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky | conv filters=14 size=1 "
      "activation=linear" +
          kHead + "| route layers=0 | conv filters=14 size=3 pad=1 activation=linear" + kHead,
      "width=32 height=32 channels=3");
  cfg.set_classes(classes);
  return cfg;
}

Model model_with(const std::vector<std::string>& names, std::uint64_t seed) {
  Model model = make_model(cfg_with(static_cast<int>(names.size())), names, seed);
  randomise(*model.params, seed);
  return model;
}

std::string saved(const Model& model, const TempFolder& folder) {
  Checkpoint checkpoint;
  checkpoint.names = model.names;
  const auto values = std::as_const(*model.params).values();
  checkpoint.values.assign(values.begin(), values.end());
  const auto file = folder / "model.safetensors";
  write_checkpoint(file, *model.network, *model.params, checkpoint);
  return file.string();
}

// Row `logit` of a parameter of the convolution before head `h`.
std::vector<float> row_of(const Model& model, std::size_t h, ParamRole role, int anchor, int entry) {
  const Head& head = model.network->heads[h];
  const auto values = std::as_const(*model.params).value(*model.params->find(head.source, role));
  const std::size_t rows = static_cast<std::size_t>(head.spec.anchors * head.spec.entries()),
                    row = values.size() / rows;
  const auto begin = values.begin() +
                     static_cast<std::ptrdiff_t>(static_cast<std::size_t>(anchor * head.spec.entries() + entry) * row);
  return {begin, begin + static_cast<std::ptrdiff_t>(row)};
}

}  // namespace

TEST_CASE("continue: classes keep their weights by name, wherever they stand") {
  const TempFolder folder;
  const Model old = model_with({"pawn", "king", "cat"}, 1);
  Model model = model_with({"queen", "cat", "pawn", "rook"}, 2);
  const Model before = model_with({"queen", "cat", "pawn", "rook"}, 2);
  const StartReport report = start_from(model, saved(old, folder));
  CHECK(report.fresh.empty());
  CHECK(report.loaded == 3);
  CHECK(report.adapted_nodes.size() == 2);
  CHECK(report.kept_classes == std::vector<std::string>{"cat", "pawn"});
  CHECK(report.new_classes == std::vector<std::string>{"queen", "rook"});
  CHECK(report.lost_classes == std::vector<std::string>{"king"});
  CHECK(says(report.text().substr(report.text().find('\n') + 1),
             "2 keep their weights, found by name; new: queen, rook; given up: king"));
  for (std::size_t h = 0; h < 2; ++h)
    for (const ParamRole role : {ParamRole::weights, ParamRole::bias})
      for (int anchor = 0; anchor < 2; ++anchor) {
        for (int entry = 0; entry < 5; ++entry)
          CHECK(row_of(model, h, role, anchor, entry) == row_of(old, h, role, anchor, entry));
        CHECK(row_of(model, h, role, anchor, 5 + 1) == row_of(old, h, role, anchor, 5 + 2));
        CHECK(row_of(model, h, role, anchor, 5 + 2) == row_of(old, h, role, anchor, 5 + 0));
        for (const int fresh : {0, 3})
          CHECK(row_of(model, h, role, anchor, 5 + fresh) == row_of(before, h, role, anchor, 5 + fresh));
      }
}

TEST_CASE("continue: the same classes in another order are not mistaken for each other") {
  const TempFolder folder;
  const Model old = model_with({"pawn", "king"}, 1);
  Model model = model_with({"king", "pawn"}, 2);
  const StartReport report = start_from(model, saved(old, folder));
  CHECK((report.new_classes.empty() && report.lost_classes.empty() && report.kept_classes.size() == 2));
  CHECK(row_of(model, 0, ParamRole::weights, 1, 5) == row_of(old, 0, ParamRole::weights, 1, 6));
  CHECK(row_of(model, 1, ParamRole::bias, 0, 6) == row_of(old, 1, ParamRole::bias, 0, 5));
}

TEST_CASE("continue: without a class in common the head starts anew, and numbers are no names") {
  const TempFolder folder;
  Model model = model_with({"a", "b", "c"}, 2);
  const StartReport other = start_from(model, saved(model_with({"pawn", "king"}, 1), folder));
  CHECK((other.adapted_nodes.empty() && other.fresh.size() == 2 && other.loaded == 1));
  const Model numbered = model_with({"class_0", "class_1", "class_2"}, 3);
  const StartReport whole = start_from(model, saved(numbered, folder));
  CHECK((whole.adapted_nodes.empty() && whole.fresh.empty()));
  CHECK(std::equal(model.params->values().begin(), model.params->values().end(), numbered.params->values().begin()));
}

TEST_CASE("continue: what is known is still found, and new classes start quietly") {
  const TempFolder folder;
  const Model old = model_with({"pawn", "king"}, 1);
  Model model = model_with({"rook", "king", "pawn"}, 2);
  const StartReport report = start_from(model, saved(old, folder));
  const PhotoCache photos(write_photos(folder / "photos", 4, 32), 32, 32, {});
  TrainConfig config = recipe("continue", model.network->cfg);
  config.width = config.height = 32;
  Trainer trainer(model, config, photos, nullptr, {.backend = &cpu_backend(), .folder = folder / "."});
  trainer.prepare_new_classes(report.adapted_nodes, report.new_classes);
  CHECK(row_of(model, 0, ParamRole::bias, 1, 5) == std::vector<float>{config.class_bias});
  CHECK(row_of(model, 1, ParamRole::bias, 1, 6) == row_of(old, 1, ParamRole::bias, 1, 6));
  // The same boxes with the same scores as before, class by class.
  const auto detect = [&](const Model& m) {
    Detector detector(*m.network, *m.params, {}, {.backend = &cpu_backend(), .threshold = 0.3f, .best_class = false});
    const io::Image photo = io::read_image(photos.file(0));
    std::vector<std::pair<std::string, float>> found;
    const std::vector<Detection> boxes = detector.detect({&photo, 1}).front();
    for (const Detection& d : boxes)
      if (m.names[static_cast<std::size_t>(d.cls)] != "rook")
        found.emplace_back(m.names[static_cast<std::size_t>(d.cls)], d.score);
    std::sort(found.begin(), found.end());
    return found;
  };
  const auto expected = detect(old);
  CHECK(expected.size() > 5);
  CHECK(detect(model) == expected);
}
