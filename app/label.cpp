// rook label: boxes proposed for photos that nobody has labelled, the least certain photos first.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/checks.h"
#include "app/common.h"
#include "app/counter.h"
#include "app/pictures.h"
#include "base/error.h"
#include "io/dataset_write.h"
#include "io/image.h"
#include "io/temporary_folder.h"
#include "model/proposals_review.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct LabelFlags {
  ModelOptions model;
  ComputeOptions compute;
  DetectionOptions detection;
  std::vector<std::string> inputs;
  std::string out, format = "coco", split = "train";
  float floor = 0.05f;
  int max = 0, page = 200;
  bool quiet = false;
};

// What the model sees on the photos that can be read, in their order; the others with their reason.
void look(Review& review, const std::vector<fs::path>& files, const Model& model, const LabelFlags& o) {
  DetectorOptions options = o.detection.detector(*model.network, o.compute);
  options.threshold = o.floor;
  options.best_class = false;
  options.batch = std::min<int>(options.batch, static_cast<int>(files.size()));
  Detector detector(*model.network, *model.params, model.preprocess, options);
  Counter counter("photos", static_cast<int>(files.size()), !o.quiet);
  const auto batch = static_cast<std::size_t>(detector.batch());
  for (std::size_t next = 0; next < files.size();) {
    if (interrupted()) throw Error("interrupted: nothing was written");
    const std::size_t first = review.photos.size();
    while (next < files.size() && review.photos.size() - first < batch) {
      const fs::path& file = files[next++];
      try {
        const io::Image image = io::read_image(file, model.network->channels);
        detector.load(static_cast<int>(review.photos.size() - first), image);
        review.photos.push_back(
            {.file = file, .name = "", .width = image.width, .height = image.height, .proposals = {}});
      } catch (const Error& error) {
        review.unreadable.emplace_back(file.string(), error.what());
      }
    }
    if (review.photos.size() == first) continue;
    const auto boxes = detector.run(static_cast<int>(review.photos.size() - first));
    for (std::size_t i = 0; i < boxes.size(); ++i)
      review.photos[first + i].proposals = propose(boxes[i], review.options);
    counter.show(static_cast<int>(next));
  }
}

void sort_photos(Review& review) {
  std::vector<PhotoProposals> proposals;
  for (const ReviewPhoto& photo : review.photos) proposals.push_back(photo.proposals);
  std::vector<ReviewPhoto> sorted;
  for (const int i : by_uncertainty(proposals)) sorted.push_back(std::move(review.photos[static_cast<std::size_t>(i)]));
  review.photos = std::move(sorted);
}

io::Dataset dataset_of(const Review& review, const std::string& split) {
  io::Dataset dataset{.root = {}, .format = "", .classes = review.classes, .splits = {}, .faults = {}};
  io::Split& part = dataset.splits.emplace_back(io::Split{.name = split, .images = {}});
  for (const ReviewPhoto& photo : review.photos) {
    io::LabelledImage image{.file = photo.file,
                            .name = photo.file.filename().string(),
                            .width = photo.width,
                            .height = photo.height,
                            .boxes = {}};
    for (const Proposal& p : std::span(photo.proposals.boxes).first(static_cast<std::size_t>(photo.proposals.proposed)))
      image.boxes.push_back(
          {.x = p.box.x, .y = p.box.y, .w = p.box.w, .h = p.box.h, .cls = p.box.cls, .score = p.box.score});
    part.images.push_back(std::move(image));
  }
  return dataset;
}

// Everything, or nothing: into a folder beside `out` that then takes its name.
void write(Review& review, const LabelFlags& o) {
  const io::TemporaryFolder beside(o.out);
  const fs::path folder = beside.path() / "data";
  const io::Dataset dataset = dataset_of(review, o.split);
  const std::vector<fs::path> names = io::written_photos(dataset.splits.front(), o.format);
  std::string order;
  for (std::size_t i = 0; i < names.size(); ++i) {
    review.photos[i].name = names[i].generic_string();
    order += review.photos[i].name + "\n";
  }
  io::write_dataset(dataset, folder, o.format);
  write_text((folder / "order.txt").string(), order);
  write_text((folder / "proposals.csv").string(), to_csv(review));
  write_json((folder / "proposals.json").string(), to_json(review));
  const int shown = std::min(o.page, static_cast<int>(review.photos.size()));
  {
    Counter counter("photos on the page", shown, !o.quiet);
    write_text((folder / "review.html").string(), review_html(review, shown, [&](int done) { counter.show(done); }));
  }
  if (interrupted()) throw Error("interrupted: nothing was written");
  std::error_code error;
  const fs::path out = fs::path(o.out).lexically_normal();
  fs::rename(folder, out.has_filename() ? out : out.parent_path(), error);  // also over an empty folder
  if (error) throw Error(fmt::format("{}: cannot be made: {}", o.out, error.message()));
}

void run(const LabelFlags& o) {
  if (fs::exists(o.out) && !(fs::is_directory(o.out) && fs::is_empty(o.out)))
    throw Error(fmt::format("{}: exists and is not empty; name a new folder", o.out));
  if (!(o.floor > 0 && o.floor <= o.detection.conf))
    throw Error(fmt::format("--floor {}: must lie above 0 and not above --conf {}", o.floor, o.detection.conf));
  const std::vector<fs::path> files = pictures_of(o.inputs);
  Model model = o.model.read();
  o.detection.apply(model.preprocess);
  Review review{
      .model = model.source,
      .classes = model.names,
      .options = {.conf = o.detection.conf, .floor = o.floor, .nms_threshold = o.detection.nms_threshold, .max = o.max},
      .photos = {},
      .unreadable = {}};
  look(review, files, model, o);
  for (const auto& [file, why] : review.unreadable) fmt::print(stderr, "left out: {}\n", why);
  if (review.photos.empty()) throw Error("none of the photos could be read: nothing was written");
  sort_photos(review);
  write(review, o);
  if (!review.unreadable.empty()) exit_status = 1;
  if (o.quiet) return;
  fmt::print("{}: {} boxes proposed on {} photos as {}, about {:.0f} corrections expected{}\n", o.out,
             review.proposed(), review.photos.size(), o.format, review.corrections(),
             review.unreadable.empty() ? "" : fmt::format("; {} files could not be read", review.unreadable.size()));
  fmt::print("the least certain first: {}, {}\n", (fs::path(o.out) / "review.html").string(),
             (fs::path(o.out) / "order.txt").string());
}

}  // namespace

void add_label(CLI::App& app) {
  auto o = std::make_shared<LabelFlags>();
  CLI::App* c = app.add_subcommand(
      "label",
      "propose boxes for photos without labels, the least certain photos first; exit status 1 when some could "
      "not be read");
  c->add_option("out", o->out, "new folder for the data set of proposals")->required()->type_name("OUT");
  c->add_option("pictures", o->inputs, "pictures, or folders of them")->required()->type_name("IMAGE|DIR");
  o->model.add(*c);
  o->detection.add(*c, "all");
  c->remove_option(c->get_option("--classes"));
  o->compute.add(*c);
  c->add_option("--format", o->format, "coco (with scores), yolo, voc or darknet")
      ->capture_default_str()
      ->check(CLI::IsMember({"coco", "yolo", "voc", "darknet"}));
  c->add_option("--split", o->split, "the split the photos are put in")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "valid", "test"}));
  c->add_option("--max", o->max, "boxes per photo, the surest ones (0: all)")
      ->capture_default_str()
      ->check(between(0, 1e9));
  c->add_option("--floor", o->floor, "least confidence of a hint at something that is not proposed")
      ->capture_default_str()
      ->check(between(0, 1));
  c->add_option("--page", o->page, "how many photos the page shows")->capture_default_str()->check(between(0, 1e9));
  c->add_flag("--quiet", o->quiet, "print nothing but photos that are left out");
  c->footer(
      "Examples:\n  rook label proposals photos/ --model runs/chess\n"
      "  rook label proposals photos/ --model runs/chess --format yolo --conf 0.4\n"
      "Open proposals/review.html, correct the labels, then check them: rook data check proposals");
  c->callback([o] {
    install_interrupt();
    run(*o);
  });
}

}  // namespace rook::app
