// Suspects among labels: constructed photos whose errors are known.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "model/label_errors.h"
#include "tests/io/picture_support.h"
#include "tests/model/evaluate_support.h"

using namespace rook;
using namespace rook::test;

namespace {

// A photo with one label of class 0 at [0.2, 0.4]^2 that the model finds with that confidence.
ImageResult found(double score) {
  return {.name = "photo",
          .width = 100,
          .height = 100,
          .detections = {detection_at(score, 0.2, 0.2, 0.4, 0.4)},
          .truths = {truth_at(0.2, 0.2, 0.4, 0.4)}};
}

std::vector<Suspect> suspects_of(const ImageResult& photo, int classes = 3) {
  return find_label_errors(std::vector{photo}, class_names(classes));
}

// Objects on a grid of cells, each labelled and found as a good detector would: its class with 0.7 to 0.95, another
// with up to 0.2, a weak box somewhere.
std::vector<ImageResult> good_results(Random& random, int photos, int classes) {
  std::vector<ImageResult> results;
  for (int i = 0; i < photos; ++i) {
    ImageResult photo{.name = fmt::format("photo {}", i), .width = 640, .height = 640};
    for (int cell = 0; cell < 16; ++cell) {
      const double left = cell % 4 * 0.25 + random.uniform(0.01, 0.04),
                   top = cell / 4 * 0.25 + random.uniform(0.01, 0.04);
      const double right = left + 0.15, bottom = top + 0.18;
      const int cls = static_cast<int>(random.below(classes));
      photo.truths.push_back(truth_at(left, top, right, bottom, cls));
      const double moved = random.uniform(-0.005, 0.005);
      photo.detections.push_back(
          detection_at(random.uniform(0.7, 0.95), left + moved, top, right + moved, bottom, cls));
      photo.detections.push_back(
          detection_at(random.uniform(0.01, 0.2), left, top, right, bottom, (cls + 1) % classes));
    }
    photo.detections.push_back(detection_at(random.uniform(0.01, 0.2), 0.1, 0.1, 0.5, 0.5, 0));
    results.push_back(std::move(photo));
  }
  return results;
}

}  // namespace

TEST_CASE("label errors: a label that the model confirms is hardly suspected") {
  const auto suspects = suspects_of(found(0.9));
  REQUIRE(suspects.size() == 1);
  CHECK(suspects[0].kind == LabelError::spurious_box);
  CHECK(near(suspects[0].score, 0.9 * 0.1));
}

TEST_CASE("label errors: another class in the box") {
  ImageResult photo = found(0.02);
  photo.detections.push_back(detection_at(0.95, 0.21, 0.2, 0.41, 0.4, 2));
  photo.detections.push_back(detection_at(0.3, 0.2, 0.2, 0.4, 0.4, 1));
  const auto suspects = suspects_of(photo);
  REQUIRE(suspects.size() == 1);
  CHECK((suspects[0].kind == LabelError::wrong_class && suspects[0].truth == 0 && suspects[0].detection == 1));
  CHECK(near(suspects[0].score, 0.95 * 0.98));
  CHECK(near(suspects[0].overlap, slow_iou(photo.detections[1], photo.truths[0])));
  CHECK(describe(suspects[0], photo, {"rook", "pawn", "queen"}) ==
        "labelled rook; the model sees queen 0.95 (rook 0.02)");
}

TEST_CASE("label errors: a box that is missing, once for all the classes seen there") {
  ImageResult photo = found(1);
  photo.detections.push_back(detection_at(0.6, 0.6, 0.6, 0.8, 0.8, 1));
  photo.detections.push_back(detection_at(0.8, 0.61, 0.6, 0.81, 0.8, 2));
  const auto suspects = suspects_of(photo);
  REQUIRE(suspects.size() == 1);
  CHECK((suspects[0].kind == LabelError::missing_box && suspects[0].truth == -1 && suspects[0].detection == 2));
  CHECK(near(suspects[0].score, 0.8));
  // In a crowd nobody has labelled each object.
  for (const int cls : {1, 2}) photo.ignored.push_back({0.7f, 0.7f, 0.4f, 0.4f, cls, true});
  CHECK(suspects_of(photo).empty());
  photo.ignored.clear();
  // Half beside a label it is worth less: it may be another view of that object.
  photo.detections = {detection_at(1, 0.2, 0.2, 0.4, 0.4), detection_at(0.8, 0.3, 0.2, 0.5, 0.4, 1)};
  const auto beside = suspects_of(photo);
  REQUIRE(beside.size() == 1);
  CHECK(near(beside[0].score, 0.8 * (1 - 1.0 / 3)));
}

TEST_CASE("label errors: a box beside its object") {
  ImageResult photo = found(0.9);
  photo.truths = {truth_at(0.3, 0.2, 0.5, 0.4)};
  const auto suspects = suspects_of(photo);
  REQUIRE(suspects.size() == 1);
  CHECK((suspects[0].kind == LabelError::misplaced_box && suspects[0].truth == 0 && suspects[0].detection == 0));
  CHECK(near(suspects[0].score, 0.9 * (1 - 1.0 / 3)));
  // A neighbour that the model finds well is no box of this object: this one is missing.
  photo = found(0.9);
  photo.detections.push_back(detection_at(0.8, 0.3, 0.2, 0.5, 0.4));
  CHECK(suspects_of(photo)[0].kind == LabelError::missing_box);
}

TEST_CASE("label errors: two labels of one object") {
  for (const int second : {0, 1}) {
    ImageResult photo = found(0.9);
    photo.truths.push_back(truth_at(0.2, 0.2, 0.4, 0.4, second));
    const auto suspects = suspects_of(photo);
    REQUIRE(suspects.size() == 2);
    CHECK(suspects[0].kind == LabelError::double_box);
    CHECK(near(suspects[0].score, 0.9));
    // The matching of COCO gives the last of equal labels the detection.
    CHECK(suspects[0].truth == (second == 0 ? 0 : 1));
    CHECK(suspects[0].other == 1 - suspects[0].truth);
  }
}

TEST_CASE("label errors: a label where nothing is seen counts as much as its class is mostly found") {
  std::vector<ImageResult> results;
  for (int i = 0; i < 3; ++i) results.push_back(found(0.8));
  results.push_back(found(0.4));
  results.back().truths[0].cls = results.back().detections[0].cls = 1;
  for (const int cls : {0, 1}) {
    results.push_back(found(0.5));
    results.back().detections.clear();
    results.back().truths[0].cls = cls;
  }
  const auto suspects = find_label_errors(results, class_names(2));
  REQUIRE(suspects.size() == 6);
  CHECK((suspects[0].kind == LabelError::spurious_box && suspects[0].photo == 4));
  CHECK(near(suspects[0].score, 3 * 0.8 / 4));
  const auto rare = std::find_if(suspects.begin(), suspects.end(), [](const Suspect& s) { return s.photo == 5; });
  CHECK(near(rare->score, 0.4 / 2));
}

TEST_CASE("label errors: what was planted in crowded photos comes first, and nothing else") {
  Random random(7);
  constexpr int kPhotos = 40, kClasses = 4;
  std::vector<ImageResult> results = good_results(random, kPhotos, kClasses);
  std::set<std::pair<int, LabelError>> planted;
  for (int i = 0; i < 20; ++i) {
    ImageResult& photo = results[static_cast<std::size_t>(i)];
    const auto t = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(photo.truths.size())));
    Truth& truth = photo.truths[t];
    if (i % 4 == 0) {
      truth.cls = (truth.cls + 2) % kClasses;
      planted.emplace(i, LabelError::wrong_class);
    } else if (i % 4 == 1) {
      photo.truths.erase(photo.truths.begin() + static_cast<std::ptrdiff_t>(t));
      planted.emplace(i, LabelError::missing_box);
    } else if (i % 4 == 2) {
      photo.truths.push_back(truth);
      planted.emplace(i, LabelError::double_box);
    } else {
      std::erase_if(photo.detections, [&](const Detection& d) { return slow_iou(d, truth) > 0.3; });
      planted.emplace(i, LabelError::spurious_box);
    }
  }
  const auto suspects = find_label_errors(results, class_names(kClasses));
  REQUIRE(suspects.size() > planted.size());
  std::set<std::pair<int, LabelError>> first;
  for (std::size_t i = 0; i < planted.size(); ++i) first.emplace(suspects[i].photo, suspects[i].kind);
  CHECK(first == planted);
  CHECK(suspects[planted.size()].score < suspects[planted.size() - 1].score - 0.1);
}

TEST_CASE("label errors: scores fall from 1 to 0, a label is suspected once, the order of detections does not matter") {
  Random random(11);
  for (int round = 0; round < 30; ++round) {
    std::vector<ImageResult> results = random_results(random, {});
    const auto suspects = find_label_errors(results, class_names(3));
    std::set<std::pair<int, int>> truths, missing;
    double before = 1;
    for (const Suspect& s : suspects) {
      CHECK((s.score > 0 && s.score <= before));
      before = s.score;
      const bool new_one =
          s.truth >= 0 ? truths.emplace(s.photo, s.truth).second : missing.emplace(s.photo, s.detection).second;
      CHECK(new_one);
    }
    for (ImageResult& photo : results) std::reverse(photo.detections.begin(), photo.detections.end());
    const auto again = find_label_errors(results, class_names(3));
    REQUIRE(again.size() == suspects.size());
    for (std::size_t i = 0; i < suspects.size(); ++i) {
      CHECK(near(again[i].score, suspects[i].score));
      CHECK((again[i].photo == suspects[i].photo && again[i].kind == suspects[i].kind &&
             again[i].truth == suspects[i].truth));
    }
  }
}

TEST_CASE("label errors: what is not finite or of no class is an error that names the photo") {
  ImageResult photo = found(0.9);
  photo.detections[0].score = std::numeric_limits<float>::quiet_NaN();
  CHECK(says(error_of([&] { suspects_of(photo); }), "photo: a detection that is not finite"));
  photo = found(0.9);
  photo.truths[0].cls = 3;
  CHECK(says(error_of([&] { suspects_of(photo); }), "labelled box of class 3"));
}
