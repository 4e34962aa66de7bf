#include "app/label_check.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "app/checks.h"
#include "app/counter.h"
#include "base/error.h"
#include "io/image.h"
#include "model/detect_split.h"
#include "model/detections.h"
#include "model/label_errors.h"
#include "model/run_folder.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

// The photos that are checked, of all splits together, and what a model said of each.
struct Checked {
  io::Split photos;
  std::vector<std::string> splits;  // of each photo
  std::vector<ImageResult> results;
  std::vector<Suspect> suspects;
  std::ptrdiff_t likely = 0;        // suspects with a score of a half or more
  std::vector<int> judged, learnt;  // photos of each model; those of them that it was trained on
};

// The configuration of a model that is a run, an empty object otherwise.
nlohmann::json config_of(const std::string& model) {
  return fs::is_regular_file(fs::path(model) / "config.json") ? read_run(model).config : nlohmann::json::object();
}

bool same_place(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::weakly_canonical(a, error) == fs::weakly_canonical(b, error);
}

// The train split of the data that a run was trained on. What it was trained on may be another version of the data set
// than the one that is checked: photos are compared, not data sets.
std::vector<io::LabelledImage> photos_learnt_by(const nlohmann::json& config, const std::string& model) {
  const std::string data = config.value("data", ""), list = config.value("train_list", "");
  std::error_code error;
  if (data.empty() || !fs::exists(data, error)) return {};
  const io::Dataset dataset = io::read_dataset(data, {.read_sizes = false});
  const io::Split* train = dataset.find("train");
  if (train == nullptr) return {};
  io::Split seen = *train;
  if (!list.empty() && !fs::exists(list, error))
    fmt::print(stderr, "{}: is not there: {} may have been trained on all of 'train'\n", list, model);
  else if (!list.empty())
    io::keep_only(seen, list);
  return seen.images;
}

// Photos that a run has seen in training, itself or as the run it went on from, as canonical paths.
std::set<fs::path> training_photos(std::string model) {
  constexpr int kMostRuns = 100;  // a run that goes on from itself, by links or copies, would never end
  std::set<fs::path> files;
  for (int i = 0; i < kMostRuns && !model.empty(); ++i) {
    const nlohmann::json config = config_of(model);
    for (const io::LabelledImage& image : photos_learnt_by(config, model))
      files.insert(fs::weakly_canonical(image.file));
    model = config.value("from", "");
  }
  return files;
}

Checked photos_of(const io::Dataset& dataset, const LabelCheckOptions& o) {
  Checked checked;
  checked.photos.name = o.split.empty() ? "the data set" : o.split;
  if (!o.split.empty()) DataOptions::find(dataset, o.split);
  std::map<fs::path, std::string> split_of;
  for (const io::Split& split : dataset.splits) {
    if (!o.split.empty() && split.name != o.split) continue;
    for (const io::LabelledImage& image : split.images)
      if (split_of.emplace(image.file, split.name).second) checked.photos.images.push_back(image);
  }
  if (!o.photos.empty()) io::keep_only(checked.photos, o.photos);
  if (checked.photos.images.empty()) throw Error(fmt::format("{}: no photos in it", checked.photos.name));
  for (const io::LabelledImage& image : checked.photos.images) checked.splits.push_back(split_of.at(image.file));
  return checked;
}

void require_classes(const Model& model, const io::Split& photos, const std::vector<std::string>& classes) {
  std::set<int> used;
  for (const io::LabelledImage& image : photos.images)
    for (const io::LabelBox& box : image.boxes) used.insert(box.cls);
  for (const int cls : used) {
    const std::string& name = classes[static_cast<std::size_t>(cls)];
    if (std::find(model.names.begin(), model.names.end(), name) == model.names.end())
      throw Error(fmt::format("{}: knows no class '{}'; rename it with --merge {}=...", model.source, name, name));
  }
}

// Each photo is judged by the first model that has not been trained on it; by the first one where all have.
void judge(Checked& checked, const io::Dataset& dataset, const LabelCheckOptions& o) {
  const std::vector<io::LabelledImage>& images = checked.photos.images;
  std::vector<std::set<fs::path>> seen;
  for (const std::string& model : o.models) seen.push_back(training_photos(model));
  std::vector<std::size_t> judge_of;
  for (const io::LabelledImage& image : images) {
    const auto fresh = std::find_if(
        seen.begin(), seen.end(), [&](const auto& files) { return !files.contains(fs::weakly_canonical(image.file)); });
    judge_of.push_back(fresh == seen.end() ? 0 : static_cast<std::size_t>(fresh - seen.begin()));
  }
  checked.results.resize(images.size());
  Counter counter("photos", static_cast<int>(images.size()), true);
  int before = 0;
  for (std::size_t m = 0; m < o.models.size(); ++m) {
    io::Split part{.name = checked.photos.name, .images = {}};
    std::vector<std::size_t> places;
    int learnt = 0;
    for (std::size_t i = 0; i < images.size(); ++i) {
      if (judge_of[i] != m) continue;
      part.images.push_back(images[i]);
      places.push_back(i);
      learnt += seen[m].contains(fs::weakly_canonical(images[i].file)) ? 1 : 0;
    }
    checked.judged.push_back(static_cast<int>(places.size()));
    checked.learnt.push_back(learnt);
    if (places.empty()) continue;
    const Model model = load_model(o.models[m]);
    require_classes(model, part, dataset.classes);
    Detector detector(*model.network, *model.params, model.preprocess,
                      {.backend = &o.compute.backend(),
                       .compute = o.compute.dtype(false),
                       .batch = 4,
                       .threshold = o.floor,
                       .best_class = false,
                       .conv = o.compute.conv});
    std::vector<ImageResult> results = detect_split(detector, part, model.network->channels, &interrupted(),
                                                    [&](int done) { counter.show(before + done); });
    rename_classes(results, model.names, dataset.classes);
    for (std::size_t k = 0; k < places.size(); ++k) checked.results[places[k]] = std::move(results[k]);
    before += static_cast<int>(places.size());
  }
  checked.suspects = find_label_errors(checked.results, dataset.classes);
  checked.likely =
      std::count_if(checked.suspects.begin(), checked.suspects.end(), [](const Suspect& s) { return s.score >= 0.5; });
}

// Pixels of the photo, as [left, top, width, height].
template <class AnyBox>
PixelBox pixels_of(const AnyBox& box, const ImageResult& photo) {
  return to_pixels({box.x, box.y, box.w, box.h, 0, 0, 0, 0}, photo.width, photo.height);
}

// Where the label stands: of a box that is missing, where its photo does.
int line_of(const Suspect& suspect, const io::LabelledImage& image) {
  return suspect.truth < 0 ? image.labels_line : image.boxes[static_cast<std::size_t>(suspect.truth)].line;
}

std::string to_text(const Checked& checked, const LabelCheckOptions& o, const std::vector<std::string>& classes) {
  std::size_t boxes = 0;
  for (const ImageResult& result : checked.results) boxes += result.truths.size();
  std::string text = fmt::format("{} photos with {} boxes, judged by", checked.results.size(), boxes);
  for (std::size_t m = 0; m < o.models.size(); ++m)
    text += fmt::format("{} {} ({})", m ? "," : "", o.models[m], checked.judged[m]);
  for (std::size_t m = 0; m < o.models.size(); ++m)
    if (checked.learnt[m] > 0)
      text += fmt::format(
          "\n{} of them {} was trained on: it may have learnt their errors. A second --model that was not finds more "
          "(docs/labelling.md)",
          checked.learnt[m], o.models[m]);
  text += fmt::format("\n{} suspects with a score of 0.5 or more\n\nrank score\n", checked.likely);
  for (std::size_t i = 0; i < checked.suspects.size(); ++i) {
    const Suspect& s = checked.suspects[i];
    const io::LabelledImage& image = checked.photos.images[static_cast<std::size_t>(s.photo)];
    const ImageResult& result = checked.results[static_cast<std::size_t>(s.photo)];
    const PixelBox at = s.truth >= 0 ? pixels_of(result.truths[static_cast<std::size_t>(s.truth)], result)
                                     : pixels_of(result.detections[static_cast<std::size_t>(s.detection)], result);
    text += fmt::format("{:4} {:.3f} {}:{}: {}: {}: {}, at {:.0f},{:.0f} {:.0f}x{:.0f}\n", i + 1, s.score,
                        image.labels.string(), line_of(s, image), image.name, name_of(s.kind),
                        describe(s, result, classes), at.left, at.top, at.width, at.height);
  }
  return text;
}

nlohmann::json json_of(const PixelBox& box) {
  return {box.left, box.top, box.width, box.height};
}

nlohmann::json to_json(const Checked& checked, const LabelCheckOptions& o, const std::vector<std::string>& classes) {
  nlohmann::json models = nlohmann::json::array(), suspects = nlohmann::json::array();
  for (std::size_t m = 0; m < o.models.size(); ++m)
    models.push_back({{"model", o.models[m]}, {"photos", checked.judged[m]}, {"trained_on", checked.learnt[m]}});
  for (std::size_t i = 0; i < checked.suspects.size(); ++i) {
    const Suspect& s = checked.suspects[i];
    const io::LabelledImage& image = checked.photos.images[static_cast<std::size_t>(s.photo)];
    const ImageResult& result = checked.results[static_cast<std::size_t>(s.photo)];
    nlohmann::json entry = {{"rank", i + 1},
                            {"score", s.score},
                            {"kind", name_of(s.kind)},
                            {"file", image.labels.string()},
                            {"line", line_of(s, image)},
                            {"photo", image.name},
                            {"split", checked.splits[static_cast<std::size_t>(s.photo)]},
                            {"text", describe(s, result, classes)}};
    if (s.truth >= 0) {
      const Truth& t = result.truths[static_cast<std::size_t>(s.truth)];
      entry["label"] = {{"class", classes[static_cast<std::size_t>(t.cls)]},
                        {"box", json_of(pixels_of(t, result))},
                        {"score", s.own}};
    }
    if (s.detection >= 0) {
      const Detection& d = result.detections[static_cast<std::size_t>(s.detection)];
      entry["model"] = {{"class", classes[static_cast<std::size_t>(d.cls)]},
                        {"box", json_of(pixels_of(d, result))},
                        {"score", d.score}};
    }
    suspects.push_back(std::move(entry));
  }
  return {{"photos", checked.results.size()}, {"models", models}, {"likely", checked.likely}, {"suspects", suspects}};
}

// The part of a photo around a box: three times its sides, a quarter of the photo's at least.
io::Image around(const io::Image& image, const PixelBox& box, int& left, int& top) {
  const auto side = [](float middle, float size, int most, int& from) {
    const int wanted = std::clamp(static_cast<int>(3 * size), std::max(1, most / 4), most);
    from = std::clamp(static_cast<int>(middle) - wanted / 2, 0, most - wanted);
    return wanted;
  };
  io::Image part{.channels = image.channels};
  part.width = side(box.left + box.width / 2, box.width, image.width, left);
  part.height = side(box.top + box.height / 2, box.height, image.height, top);
  for (int y = 0; y < part.height; ++y) {
    const auto row =
        image.pixels.begin() + (static_cast<std::ptrdiff_t>(top + y) * image.width + left) * image.channels;
    part.pixels.insert(part.pixels.end(), row, row + static_cast<std::ptrdiff_t>(part.width) * image.channels);
  }
  return part;
}

// What the label says dashed and yellow, what the model says red.
void draw(const Checked& checked, const fs::path& folder, const std::vector<std::string>& classes) {
  constexpr int kRed = 0, kYellow = 1;  // of the palette boxes are drawn with
  fs::create_directories(folder);
  for (std::size_t i = 0; i < checked.suspects.size(); ++i) {
    const Suspect& s = checked.suspects[i];
    const io::LabelledImage& labelled = checked.photos.images[static_cast<std::size_t>(s.photo)];
    const ImageResult& result = checked.results[static_cast<std::size_t>(s.photo)];
    std::vector<std::pair<PixelBox, io::DrawnBox>> boxes;
    if (s.truth >= 0) {
      const Truth& t = result.truths[static_cast<std::size_t>(s.truth)];
      boxes.push_back({pixels_of(t, result),
                       {.color = kYellow, .label = classes[static_cast<std::size_t>(t.cls)], .dashed = true}});
    }
    if (s.detection >= 0) {
      const Detection& d = result.detections[static_cast<std::size_t>(s.detection)];
      boxes.push_back(
          {pixels_of(d, result),
           {.color = kRed, .label = fmt::format("{} {:.2f}", classes[static_cast<std::size_t>(d.cls)], d.score)}});
    }
    int left = 0, top = 0;
    io::Image part = around(io::read_image(labelled.file), boxes.front().first, left, top);
    std::vector<io::DrawnBox> drawn;
    for (auto& [at, box] : boxes) {
      box.left = at.left - static_cast<float>(left);
      box.top = at.top - static_cast<float>(top);
      box.width = at.width;
      box.height = at.height;
      drawn.push_back(box);
    }
    io::draw_boxes(part, drawn);
    io::write_image(
        folder / fmt::format("{:03}-{}-{}.jpg", i + 1, name_of(s.kind), fs::path(labelled.name).stem().string()), part);
  }
}

}  // namespace

void LabelCheckOptions::add(CLI::App& app) {
  app.add_option("--model", models,
                 "rank the labels that this model doubts, instead of the census; may be repeated: each photo is judged "
                 "by the first one that was not trained on it; --json and --draw are then about the suspects");
  app.add_option("--split", split, "with --model: only this split (default: all)");
  app.add_option("--photos", photos, "with --model: file with the names of the photos to check");
  app.add_option("--top", top, "with --model: how many to list (0: all)")
      ->capture_default_str()
      ->check(between(0, 1e9));
  app.add_option("--floor", floor, "with --model: least confidence that counts as seen")
      ->capture_default_str()
      ->check(between(0, 1));
  compute.add(app);
}

void check_labels(DataOptions data, const LabelCheckOptions& o, const std::string& json, const std::string& draw_to) {
  install_interrupt();
  // What was joined for the training is joined here.
  const nlohmann::json config = config_of(o.models.front());
  if (DataOptions own = data_of_run(config); data.merge.empty() && same_place(own.data, data.path()))
    data.merge = std::move(own.merge);
  const io::Dataset dataset = data.read();
  Checked checked = photos_of(dataset, o);
  judge(checked, dataset, o);
  if (o.top > 0) checked.suspects.resize(std::min(checked.suspects.size(), static_cast<std::size_t>(o.top)));
  if (!json.empty()) write_json(json, to_json(checked, o, dataset.classes));
  if (json != "-") fmt::print("{}", to_text(checked, o, dataset.classes));
  if (draw_to.empty()) return;
  draw(checked, draw_to, dataset.classes);
  if (json != "-") fmt::print("{} pictures: {}\n", checked.suspects.size(), draw_to);
}

}  // namespace rook::app
