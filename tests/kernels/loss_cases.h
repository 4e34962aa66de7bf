// A batch for the tests of yolo_loss: heads, their outputs, truths, and everything that a call needs.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/ops.h"
#include "tests/kernels/head_cases.h"
#include "tests/kernels/subject.h"
#include "tests/mapped.h"
#include "tests/support.h"

namespace rook::test {

struct LossHeadCase {
  HeadSpec spec;
  int grid_h = 1, grid_w = 1;
  HeadLossParams params = {};
};

class LossBatch {
 public:
  LossBatch(const std::vector<LossHeadCase>& cases, int images, DType logits = DType::f32, DType gradient = DType::f32,
            int max_truths = 12)
      : images_(images),
        truths_(static_cast<std::size_t>(images * max_truths)),
        counts_(static_cast<std::size_t>(images), 0),
        cases_(cases) {
    for (const LossHeadCase& c : cases) {
      const int channels = c.spec.anchors * c.spec.entries();
      logits_.emplace_back(logits, images, c.grid_h, c.grid_w, channels, 1, 2);
      gradients_.emplace_back(gradient, images, c.grid_h, c.grid_w, channels, 0, 3);
    }
    args.max_truths = max_truths;
    args.net_h = 32 * cases[0].grid_h;
    args.net_w = 32 * cases[0].grid_w;
  }
  // The same batch in other storage.
  LossBatch converted(DType logits, DType gradient) const {
    LossBatch other(cases_, images_, logits, gradient, args.max_truths);
    for (std::size_t h = 0; h < logits_.size(); ++h) other.logits_[h].copy_from(logits_[h]);
    other.truths_ = truths_;
    other.counts_ = counts_;
    other.args.mode = args.mode;
    other.args.net_h = args.net_h;
    other.args.net_w = args.net_w;
    other.args.gradient_scale = args.gradient_scale;
    other.args.seen = args.seen;
    return other;
  }

  void add(int image, Truth truth) {
    const std::size_t n = static_cast<std::size_t>(image);
    truths_[n * static_cast<std::size_t>(args.max_truths) + static_cast<std::size_t>(counts_[n]++)] = truth;
  }
  void fill(Random& random, double objectness = -2) {
    for (std::size_t h = 0; h < logits_.size(); ++h) fill_outputs(logits_[h], cases_[h].spec, random, objectness);
  }

  TestTensor& logits(std::size_t h) { return logits_[h]; }
  TestTensor& gradient(std::size_t h) { return gradients_[h]; }
  std::size_t heads() const { return cases_.size(); }
  HeadLossParams& params(std::size_t h) { return cases_[h].params; }

  // Points the arguments at everything; call again after params have changed.
  const YoloLoss& bind() {
    heads_.clear();
    multipliers_.clear();
    for (std::size_t h = 0; h < cases_.size(); ++h) {
      heads_.push_back({cases_[h].spec, cases_[h].params, logits_[h], gradients_[h]});
      const float*& multipliers = heads_.back().params.class_multipliers;
      if (multipliers == nullptr) continue;
      multipliers_.emplace_back(multipliers, multipliers + cases_[h].spec.classes);  // where a GPU can read them
      multipliers = multipliers_.back().data();
    }
    args.heads = heads_;
    args.truths = truths_.data();
    args.truth_counts = counts_.data();
    parts.assign(1 + cases_.size(), {});
    args.parts = parts.data();
    image_loss.assign(static_cast<std::size_t>(images_), -1.0f);
    args.image_loss = image_loss.data();
    return args;
  }
  void run(const Subject& subject, Poison poison = Poison::nan) {
    for (TestTensor& gradient : gradients_) gradient.poison(poison);
    bind();
    TestWorkspace workspace(subject.yolo_loss_workspace(args), poison);
    args.workspace = workspace.data();
    subject.yolo_loss(args);
    CHECK(workspace.guards_intact());
    for (std::size_t h = 0; h < heads(); ++h) {
      CHECK(gradients_[h].guards_intact());
      CHECK(logits_[h].guards_intact());
    }
  }

  YoloLoss args;
  Mapped<LossParts> parts;
  Mapped<float> image_loss;

 private:
  int images_;
  Mapped<Truth> truths_;
  Mapped<std::int32_t> counts_;
  std::vector<LossHeadCase> cases_;
  std::vector<TestTensor> logits_, gradients_;
  std::vector<LossHead> heads_;
  std::vector<Mapped<float>> multipliers_;
};

inline void check_parts(const Mapped<LossParts>& actual, const Mapped<LossParts>& expected, double tolerance = 2e-5) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const LossParts &a = actual[i], &b = expected[i];
    CAPTURE(i);
    check_near(a.box, b.box, tolerance * (1 + std::abs(b.box)), "box");
    check_near(a.objectness, b.objectness, tolerance * (1 + std::abs(b.objectness)), "objectness");
    check_near(a.classes, b.classes, tolerance * (1 + std::abs(b.classes)), "classes");
    check_near(a.mean_iou, b.mean_iou, 1e-5, "mean_iou");
    check_near(a.mean_obj, b.mean_obj, 1e-5, "mean_obj");
    check_near(a.mean_noobj, b.mean_noobj, 1e-5, "mean_noobj");
    CHECK(a.positives == b.positives);
    CHECK(a.truths == b.truths);
    CHECK(a.unmatched == b.unmatched);
  }
}

// The same in all that is written, to the bit.
inline void check_same(LossBatch& actual, LossBatch& expected) {
  for (std::size_t h = 0; h < actual.heads(); ++h) CHECK(same_bits(actual.gradient(h), expected.gradient(h)));
  CHECK(std::memcmp(actual.parts.data(), expected.parts.data(), actual.parts.size() * sizeof(LossParts)) == 0);
  CHECK(std::memcmp(actual.image_loss.data(), expected.image_loss.data(), actual.image_loss.size() * sizeof(float)) ==
        0);
}

// Runs the subject, and ref on the same batch (f32 logits), and compares all they write; the subject in all
// circumstances, with other poison.
inline void check_equals_ref(const Subject& subject, LossBatch& batch, Tolerance tolerance = {2e-5, 2e-5}) {
  LossBatch expected = batch.converted(DType::f32, DType::f64);
  for (std::size_t h = 0; h < batch.heads(); ++h) expected.params(h) = batch.params(h);
  expected.run(ref_subject());
  bool first = true;
  subject.for_each_way([&] {
    LossBatch again = batch;
    LossBatch& run = first ? batch : again;
    run.run(subject, first ? Poison::nan : Poison::huge);
    if (!first) check_same(again, batch);
    first = false;
  });
  check_parts(batch.parts, expected.parts);
  for (std::size_t n = 0; n < batch.image_loss.size(); ++n) {
    check_near(batch.image_loss[n], expected.image_loss[n], 2e-5 * (1 + std::abs(expected.image_loss[n])),
               "image_loss");
  }
  for (std::size_t h = 0; h < batch.heads(); ++h) {
    check_close("dlogits", batch.gradient(h), expected.gradient(h), tolerance);
  }
}

}  // namespace rook::test
