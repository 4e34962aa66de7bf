// Both evaluators on fixtures worked out by hand, and against the slow ones of evaluate_support.h on random photos.
#include "model/evaluate.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <limits>

#include "base/error.h"
#include "tests/model/evaluate_support.h"

namespace rook::test {
namespace {

constexpr double kExact = 1e-12;

#define CHECK_NEAR(actual, expected) CHECK(std::abs((actual) - (expected)) <= kExact)

Evaluation evaluate_one(std::vector<Detection> detections, std::vector<Truth> truths, int classes = 1,
                        const EvaluateOptions& options = {}) {
  const std::vector<ImageResult> results = {
      {.name = "photo", .width = 100, .height = 100, .detections = std::move(detections), .truths = std::move(truths)}};
  return evaluate(results, class_names(classes), options);
}

}  // namespace

TEST_CASE("evaluate: a perfect detector") {
  const Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 0.5, 0.5), detection_at(0.8, 0.5, 0.5, 1, 1, 1)},
                                    {truth_at(0, 0, 0.5, 0.5), truth_at(0.5, 0.5, 1, 1, 1)}, 2);
  CHECK(e.images == 1);
  CHECK(e.boxes == 2);
  for (const double figure : {e.map50, e.map50_95, e.darknet_map50, e.precision, e.recall, e.f1, e.best_f1.f1}) {
    CHECK_NEAR(figure, 1);
  }
  CHECK(e.confusion == std::vector<std::vector<int>>{{1, 0, 0}, {0, 1, 0}, {0, 0, 0}});
  CHECK(e.image_f1 == std::vector<double>{1});
}

TEST_CASE("evaluate: hit, miss, hit over two boxes") {
  const Evaluation e = evaluate_one(
      {detection_at(0.7, 0.5, 0.5, 1, 1), detection_at(0.9, 0, 0, 0.5, 0.5), detection_at(0.8, 0, 0.9, 0.1, 1)},
      {truth_at(0, 0, 0.5, 0.5), truth_at(0.5, 0.5, 1, 1)});
  CHECK_NEAR(e.map50, (51 + 50 * 2 / 3.0) / 101);  // recall 0..0.50 at precision 1, the rest at 2/3
  CHECK_NEAR(e.darknet_map50, 0.5 + 0.5 * 2 / 3.0);
  const std::vector<PrPoint>& curve = e.classes[0].curve;
  REQUIRE(curve.size() == 3);
  CHECK(curve[0].conf == 0.9f);
  CHECK_NEAR(curve[0].precision, 1);
  CHECK_NEAR(curve[0].recall, 0.5);
  CHECK_NEAR(curve[0].f1, 2 / 3.0);
  CHECK_NEAR(curve[1].precision, 0.5);
  CHECK_NEAR(curve[2].precision, 2 / 3.0);
  CHECK_NEAR(curve[2].f1, 0.8);
}

TEST_CASE("evaluate: detections in ignored regions are not judged") {
  // One truth on the left, a region on the right half; by hand after pycocotools' COCOeval.evaluateImg.
  const Truth truth = truth_at(0, 0, 0.2, 0.2);
  const auto region = [](double left, double top, double right, double bottom, bool crowd, int cls = 0) {
    const Truth box = truth_at(left, top, right, bottom, cls);
    return io::IgnoredRegion{box.x, box.y, box.w, box.h, cls, crowd};
  };
  const auto evaluated = [&](std::vector<Detection> detections, std::vector<io::IgnoredRegion> ignored) {
    const std::vector<ImageResult> results = {{.name = "photo",
                                               .width = 100,
                                               .height = 100,
                                               .detections = std::move(detections),
                                               .truths = {truth},
                                               .ignored = std::move(ignored)}};
    return evaluate(results, class_names(2));
  };
  const Detection hit = detection_at(0.5, 0, 0, 0.2, 0.2), inside = detection_at(0.9, 0.6, 0.6, 0.7, 0.7);
  const io::IgnoredRegion crowd = region(0.5, 0.5, 1, 1, true), difficult = region(0.6, 0.6, 0.7, 0.7, false);

  SUBCASE("without regions it is false, in a crowd or on a difficult object it is nothing") {
    CHECK_NEAR(evaluated({hit, inside}, {}).map50, 0.5);
    for (const io::IgnoredRegion& there : {crowd, difficult}) {
      const Evaluation e = evaluated({hit, inside}, {there});
      CHECK_NEAR(e.map50, 1);
      CHECK_NEAR(e.map50_95, 1);
      CHECK(e.boxes == 1);
      CHECK_NEAR(e.precision, 1);
      CHECK_NEAR(e.recall, 1);
      CHECK_NEAR(e.best_f1.f1, 1);
      CHECK(e.classes[0].false_positives == 0);
      CHECK(e.classes[0].curve.size() == 1);
      CHECK(e.confusion == std::vector<std::vector<int>>{{1, 0, 0}, {0, 0, 0}, {0, 0, 0}});
      CHECK(e.image_f1 == std::vector<double>{1});
    }
  }
  SUBCASE("a crowd holds any number, a region of another class none") {
    CHECK_NEAR(evaluated({hit, inside, inside, detection_at(0.8, 0.5, 0.5, 1, 1)}, {crowd}).map50, 1);
    CHECK_NEAR(evaluated({hit, inside}, {region(0.5, 0.5, 1, 1, true, 1)}).map50, 0.5);
  }
  SUBCASE("a crowd counts the share inside, a difficult object the IoU") {
    // 60 % of the detection lie inside: enough at 0.5 and 0.55, in floats perhaps at 0.6, and false above.
    const Detection across = detection_at(0.9, 0.46, 0.6, 0.56, 0.7);
    const Evaluation e = evaluated({hit, across}, {crowd});
    CHECK_NEAR(e.map50, 1);
    CHECK((near(e.map50_95, (2 * 1 + 8 * 0.5) / 10) || near(e.map50_95, (3 * 1 + 7 * 0.5) / 10)));
    // A large box that is not crowded: the IoU is 0.04.
    CHECK_NEAR(evaluated({hit, inside}, {region(0.5, 0.5, 1, 1, false)}).map50, 0.5);
    CHECK_NEAR(evaluated({hit, detection_at(0.9, 0.3, 0.6, 0.56, 0.7)}, {crowd}).map50, 0.5);
  }
  SUBCASE("a truth comes first: a hit in a crowd is a hit, a second detection of its truth is nothing") {
    const io::IgnoredRegion over = region(0, 0, 0.5, 0.5, true);
    const Evaluation e = evaluated({hit, detection_at(0.4, 0, 0, 0.2, 0.2)}, {over});
    CHECK(e.classes[0].true_positives == 1);
    CHECK(e.classes[0].false_positives == 0);
    CHECK_NEAR(e.recall, 1);
    // Its IoU with the truth is 0.04 / 0.06.
    const Evaluation loose = evaluated({detection_at(0.9, 0, 0, 0.2, 0.3)}, {over});
    CHECK(loose.classes[0].true_positives == 1);
    CHECK_NEAR(loose.map50, 1);
    CHECK_NEAR(loose.map50_95, 0.4);  // a hit up to 0.65; above it is neither, and the truth is missed
  }
  SUBCASE("darknet's own figure knows no regions") {
    CHECK(evaluated({hit, inside}, {crowd}).darknet_map50 == evaluated({hit, inside}, {}).darknet_map50);
  }
}

TEST_CASE("evaluate: a second detection of the same box is false") {
  const Truth truth = truth_at(0, 0, 1, 0.5);
  SUBCASE("the better one first") {
    const Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 1, 0.5), detection_at(0.8, 0, 0, 1, 0.5)}, {truth});
    CHECK_NEAR(e.map50_95, 1);
    CHECK(e.classes[0].true_positives == 1);
    CHECK(e.classes[0].false_positives == 1);
    CHECK(e.classes[0].false_negatives == 0);
    CHECK_NEAR(e.precision, 0.5);
    CHECK_NEAR(e.f1, 2 / 3.0);
  }
  SUBCASE("a worse one of higher score takes it at the low thresholds only") {
    const Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 0.625, 0.5), detection_at(0.8, 0, 0, 1, 0.5)}, {truth});
    CHECK_NEAR(e.map50, 1);
    CHECK_NEAR(e.map50_95, (3 * 1 + 7 * 0.5) / 10);  // IoU 0.625 reaches 0.5, 0.55 and 0.6
    CHECK_NEAR(e.darknet_map50, 1);
  }
}

TEST_CASE("evaluate: an IoU of exactly one half counts for COCO, not for darknet") {
  const Truth truth = truth_at(0, 0, 0.5, 0.5);
  const Evaluation half = evaluate_one({detection_at(0.9, 0, 0, 0.25, 0.5)}, {truth});
  CHECK_NEAR(half.map50, 1);
  CHECK_NEAR(half.map50_95, 0.1);
  CHECK(half.darknet_map50 == 0);
  const Evaluation below = evaluate_one({detection_at(0.9, 0, 0, 0.2499, 0.5)}, {truth});
  CHECK(below.map50 == 0);
  const Evaluation above = evaluate_one({detection_at(0.9, 0, 0, 0.2501, 0.5)}, {truth});
  CHECK_NEAR(above.darknet_map50, 1);
}

TEST_CASE("evaluate: only darknet's mean counts classes without boxes") {
  const Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 0.5, 0.5), detection_at(0.8, 0, 0, 0.5, 0.5, 2)},
                                    {truth_at(0, 0, 0.5, 0.5)}, 4);
  CHECK_NEAR(e.map50, 1);
  CHECK_NEAR(e.darknet_map50, 0.25);
  CHECK(e.classes[2].ap50 == 0);
  CHECK(e.classes[2].false_positives == 1);
  CHECK_NEAR(e.precision, 0.5);
}

TEST_CASE("evaluate: only COCO falls back to the second best truth") {
  const Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 0.5, 0.5), detection_at(0.8, 0.03125, 0, 0.53125, 0.5)},
                                    {truth_at(0, 0, 0.5, 0.5), truth_at(0.125, 0, 0.625, 0.5)});
  CHECK_NEAR(e.map50, 1);
  CHECK_NEAR(e.darknet_map50, 0.5);
  CHECK_NEAR(e.recall, 1);
}

TEST_CASE("evaluate: nothing there, nothing found") {
  SUBCASE("no photos") {
    const Evaluation e = evaluate({}, class_names(2));
    CHECK(e.images == 0);
    CHECK(e.map50 == 0);
    CHECK(e.f1 == 0);
    CHECK(e.confusion.size() == 3);
    CHECK(e.image_f1.empty());
  }
  SUBCASE("no classes") {
    const Evaluation e = evaluate_one({}, {}, 0);
    CHECK(e.darknet_map50 == 0);
    CHECK(e.image_f1 == std::vector<double>{1});
  }
  SUBCASE("boxes, no detections") {
    const Evaluation e = evaluate_one({}, {truth_at(0, 0, 0.5, 0.5)});
    CHECK(e.map50 == 0);
    CHECK(e.precision == 0);
    CHECK(e.classes[0].false_negatives == 1);
    CHECK(e.confusion == std::vector<std::vector<int>>{{0, 1}, {0, 0}});
    CHECK(e.image_f1 == std::vector<double>{0});
  }
  SUBCASE("detections, no boxes") {
    const Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 0.5, 0.5)}, {});
    CHECK(e.map50 == 0);
    CHECK(e.recall == 0);
    CHECK(e.confusion == std::vector<std::vector<int>>{{0, 0}, {1, 0}});
    CHECK(e.image_f1 == std::vector<double>{0});
  }
}

TEST_CASE("evaluate: confidence must be exceeded") {
  const std::vector<Detection> detections = {detection_at(0.25, 0, 0, 0.5, 0.5), detection_at(0.5, 0.5, 0.5, 1, 1)};
  const std::vector<Truth> truths = {truth_at(0, 0, 0.5, 0.5), truth_at(0.5, 0.5, 1, 1)};
  CHECK_NEAR(evaluate_one(detections, truths).recall, 0.5);
  CHECK_NEAR(evaluate_one(detections, truths, 1, {.conf = 0.2}).recall, 1);
  CHECK_NEAR(evaluate_one(detections, truths, 1, {.conf = 0.5}).recall, 0);
}

TEST_CASE("evaluate: confusion pairs what is left across classes") {
  // 0 found twice: as 1 with the better box, and as itself with the lower score; 1 taken for 2; 2 missed; one from
  // nowhere.
  const Evaluation e =
      evaluate_one({detection_at(0.9, 0, 0, 0.5, 0.5, 1), detection_at(0.6, 0, 0, 0.45, 0.5, 0),
                    detection_at(0.7, 0.5, 0.5, 1, 1, 2), detection_at(0.8, 0, 0.9, 0.1, 1, 0)},
                   {truth_at(0, 0, 0.5, 0.5, 0), truth_at(0.5, 0.5, 1, 1, 1), truth_at(0.5, 0, 1, 0.4, 2)}, 3);
  CHECK(e.confusion == std::vector<std::vector<int>>{{1, 0, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {1, 1, 0, 0}});
  CHECK_NEAR(e.image_f1[0], 2.0 / 7);
}

TEST_CASE("evaluate: at most so many detections of a class in a photo") {
  std::vector<Detection> detections;
  for (int i = 0; i < 100; ++i) detections.push_back(detection_at(0.9, 0.9, 0.9, 1, 1));
  detections.push_back(detection_at(0.5, 0, 0, 0.5, 0.5));
  detections.push_back(detection_at(0.4, 0, 0, 0.5, 0.5, 1));  // another class has its own hundred
  const std::vector<Truth> truths = {truth_at(0, 0, 0.5, 0.5), truth_at(0, 0, 0.5, 0.5, 1)};
  const Evaluation limited = evaluate_one(detections, truths, 2);
  CHECK(limited.classes[0].ap50 == 0);
  CHECK_NEAR(limited.classes[1].ap50, 1);
  CHECK_NEAR(limited.classes[0].darknet_ap50, 1.0 / 101);  // darknet has no such limit
  const Evaluation unlimited = evaluate_one(detections, truths, 2, {.max_detections = 0});
  CHECK_NEAR(unlimited.classes[0].ap50, 1.0 / 101);
}

TEST_CASE("evaluate: faulty results are named") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Detection detection = detection_at(0.9, 0, 0, 0.5, 0.5);
  Truth truth = truth_at(0, 0, 0.5, 0.5);
  SUBCASE("score") {
    detection.score = nan;
  }
  SUBCASE("box") {
    detection.w = nan;
  }
  SUBCASE("class") {
    detection.cls = 1;
  }
  SUBCASE("negative class") {
    detection.cls = -1;
  }
  SUBCASE("label's class") {
    truth.cls = 1;
  }
  SUBCASE("label's box") {
    truth.y = std::numeric_limits<float>::infinity();
  }
  std::string message;
  try {
    evaluate_one({detection}, {truth});
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.starts_with("photo: a "));
  CHECK(message.find('\n') == std::string::npos);
}

TEST_CASE("evaluate: as the slow evaluators have it, on random photos") {
  Random random(20240511);
  for (int round = 0; round < 60; ++round) {
    const RandomResults wanted{.photos = 1 + round % 7,
                               .classes = 1 + round % 4,
                               .truths = 1 + round % 9,
                               .detections = 5 + round % 23,
                               .score_levels = round % 3 == 0 ? 7 : 1 << 20};
    const std::vector<ImageResult> results = random_results(random, wanted);
    const EvaluateOptions options{.conf = 0.4, .max_detections = round % 2 == 0 ? 4 : 100};
    const Evaluation e = evaluate(results, class_names(wanted.classes), options);
    double sum50 = 0, sum50_95 = 0, sum_darknet = 0;
    int counted = 0;
    for (int cls = 0; cls < wanted.classes; ++cls) {
      CAPTURE(round);
      CAPTURE(cls);
      const ClassResult& result = e.classes[static_cast<std::size_t>(cls)];
      const int boxes = boxes_of(results, cls);
      REQUIRE(result.boxes == boxes);
      double ap50 = 0, ap50_95 = 0;
      for (int t = 0; t < 10 && boxes > 0; ++t) {
        const double ap = slow_coco_ap(slow_coco_hits(results, cls, 0.5 + 0.05 * t, options.max_detections), boxes);
        if (t == 0) ap50 = ap;
        ap50_95 += ap / 10;
      }
      CHECK_NEAR(result.ap50, ap50);
      CHECK_NEAR(result.ap50_95, ap50_95);
      CHECK_NEAR(result.darknet_ap50, slow_darknet_ap(results, cls));
      int hits = 0, misses = 0;
      for (const Ranked& judged : slow_coco_hits(results, cls, 0.5, options.max_detections)) {
        if (judged.score > options.conf) ++(judged.hit ? hits : misses);
      }
      CHECK(result.true_positives == hits);
      CHECK(result.false_positives == misses);
      CHECK(result.false_negatives == boxes - hits);
      sum50 += ap50;
      sum50_95 += ap50_95;
      sum_darknet += result.darknet_ap50;
      counted += boxes > 0 ? 1 : 0;
    }
    CHECK_NEAR(e.map50, counted > 0 ? sum50 / counted : 0);
    CHECK_NEAR(e.map50_95, counted > 0 ? sum50_95 / counted : 0);
    CHECK_NEAR(e.darknet_map50, sum_darknet / wanted.classes);
  }
}

TEST_CASE("evaluate: rows of the confusion matrix sum to boxes, columns to detections, the diagonal holds the hits") {
  Random random(7);
  for (int round = 0; round < 20; ++round) {
    const std::vector<ImageResult> results = random_results(random, {});
    const Evaluation e = evaluate(results, class_names(3));
    int last_row = 0, last_column = 0;
    for (std::size_t cls = 0; cls < 3; ++cls) {
      int row = 0, column = 0;
      for (std::size_t other = 0; other <= 3; ++other) {
        row += e.confusion[cls][other];
        column += e.confusion[other][cls];
      }
      CHECK(row == e.classes[cls].boxes);
      CHECK(column == e.classes[cls].true_positives + e.classes[cls].false_positives);
      CHECK(e.confusion[cls][cls] == e.classes[cls].true_positives);
      last_row += e.confusion[3][cls];
      last_column += e.confusion[cls][3];
    }
    CHECK(last_row <= e.classes[0].false_positives + e.classes[1].false_positives + e.classes[2].false_positives);
    CHECK(last_column <= e.classes[0].false_negatives + e.classes[1].false_negatives + e.classes[2].false_negatives);
    CHECK(e.confusion[3][3] == 0);
  }
}

TEST_CASE("evaluate: the best F1 is reached at its confidence and exceeded at no other") {
  Random random(11);
  for (int round = 0; round < 12; ++round) {
    const std::vector<ImageResult> results = random_results(random, {.score_levels = round % 2 == 0 ? 9 : 1 << 20});
    const PrPoint best = evaluate(results, class_names(3)).best_f1;
    const Evaluation at_best = evaluate(results, class_names(3), {.conf = best.conf});
    CHECK_NEAR(at_best.f1, best.f1);
    CHECK_NEAR(at_best.precision, best.precision);
    CHECK_NEAR(at_best.recall, best.recall);
    for (const ImageResult& photo : results) {
      for (const Detection& d : photo.detections) {
        CHECK(evaluate(results, class_names(3), {.conf = std::nextafter(d.score, 0.0f)}).f1 <= best.f1 + kExact);
      }
    }
  }
}

TEST_CASE("evaluate: what must change nothing, and what must not help") {
  Random random(13);
  for (int round = 0; round < 20; ++round) {
    std::vector<ImageResult> results = random_results(random, {});
    results.push_back({.name = "last", .width = 10, .height = 10, .truths = {truth_at(0, 0, 0.5, 0.5)}});
    const Evaluation before = evaluate(results, class_names(3));
    const auto same = [&](const std::vector<ImageResult>& changed) {
      const Evaluation after = evaluate(changed, class_names(3));
      CHECK(std::abs(after.map50 - before.map50) <= kExact);
      CHECK(std::abs(after.map50_95 - before.map50_95) <= kExact);
      CHECK(std::abs(after.darknet_map50 - before.darknet_map50) <= kExact);
      CHECK(after.confusion == before.confusion);
      CHECK(std::abs(after.best_f1.f1 - before.best_f1.f1) <= kExact);
    };
    std::vector<ImageResult> reversed(results.rbegin(), results.rend());
    same(reversed);
    for (ImageResult& photo : reversed) std::reverse(photo.detections.begin(), photo.detections.end());
    same(reversed);
    std::vector<ImageResult> smaller = results;  // by a power of two: the same to the last bit
    for (ImageResult& photo : smaller) {
      for (Detection& d : photo.detections) d.x /= 2, d.y /= 4, d.w /= 2, d.h /= 4;
      for (Truth& t : photo.truths) t.x /= 2, t.y /= 4, t.w /= 2, t.h /= 4;
    }
    same(smaller);

    std::vector<ImageResult> worse = results;
    worse[0].detections.push_back(detection_at(1e-7, 0.98, 0.98, 0.99, 0.99, round % 3));
    const Evaluation with_false = evaluate(worse, class_names(3));
    CHECK(with_false.map50 <= before.map50);
    CHECK(with_false.map50_95 <= before.map50_95);
    CHECK(with_false.darknet_map50 <= before.darknet_map50);
    worse = results;
    worse.back().truths.push_back(truth_at(0.98, 0.98, 0.99, 0.99));
    const Evaluation with_missed = evaluate(worse, class_names(3));
    CHECK(with_missed.classes[0].ap50 <= before.classes[0].ap50);
    CHECK(with_missed.recall <= before.recall);
  }
}

TEST_CASE("evaluate: JSON has the fields that the design promises, and no others") {
  Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 0.5, 0.5), detection_at(0.8, 0, 0, 0.1, 0.1)},
                              {truth_at(0, 0, 0.5, 0.5)}, 2);
  e.preprocess = "stretch, half-pixel";
  e.classes[1].name = e.classes[0].name = "pawn";
  const nlohmann::json none = {{"ap50", 0.0}, {"ap50_95", 0.0}, {"boxes", 0}};
  const nlohmann::json all = {{"ap50", 1.0}, {"ap50_95", 1.0}, {"boxes", 1}};
  const nlohmann::json expected = {{"images", 1},
                                   {"boxes", 1},
                                   {"map50", 1.0},
                                   {"map50_95", 1.0},
                                   {"darknet_map50", 0.5},
                                   {"conf", 0.25},
                                   {"precision", 0.5},
                                   {"recall", 1.0},
                                   {"f1", 2 / 3.0},
                                   {"best_f1", {{"conf", 0.85}, {"precision", 1.0}, {"recall", 1.0}, {"f1", 1.0}}},
                                   {"per_class", {{"pawn", all}, {"pawn (class 1)", none}}},
                                   {"preprocess", "stretch, half-pixel"}};
  nlohmann::json actual = to_json(e);
  CHECK(std::abs(actual["best_f1"]["conf"].get<double>() - 0.85) <= 1e-7);
  actual["best_f1"]["conf"] = 0.85;
  CHECK(actual == expected);
}

TEST_CASE("evaluate: the table is aligned, whatever the names") {
  Evaluation e = evaluate_one({detection_at(0.9, 0, 0, 0.5, 0.5)}, {truth_at(0, 0, 0.5, 0.5)}, 3);
  e.classes[0].name = "Läufer, weiß";
  e.classes[1].name = "p";
  const std::string text = to_text(e);
  CHECK(text.starts_with("1 images, 1 boxes\n\nclass "));
  std::size_t width = 0, rows = 0;
  for (std::size_t at = text.find("\n\n") + 2; text[at] != '\n'; at = text.find('\n', at) + 1) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    const auto columns =
        static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
    if (width == 0) width = columns;
    CHECK_MESSAGE(columns == width, line);
    ++rows;
  }
  CHECK(rows == 7);  // header, three classes, the mean, two rulers
  CHECK(text.find("Läufer, weiß") != std::string::npos);
  CHECK(text.find("precision 1.000, recall 1.000, F1 1.000") != std::string::npos);
}

}  // namespace rook::test
