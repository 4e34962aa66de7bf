// Claims beside the gradient of the loss, gradient norms beside sums and differences, maps and heat beside the values
// they are made of.
#include <cmath>
#include <set>

#include "base/error.h"
#include "engine/readback.h"
#include "kernels/box.h"
#include "model/train_step.h"
#include "tests/errors.h"
#include "tests/model/inspect_support.h"

using namespace rook;
using namespace rook::test;
using namespace rook::test::inspected;

namespace {

using Slot = std::tuple<int, int, int, int>;  // head, column, row, anchor

// The anchor cells whose objectness the loss wants higher: its gradient there is negative.
std::set<Slot> wanted_by_loss(const Model& model, const TrainConfig& config, const std::vector<HeadCells>& cells,
                              const std::vector<Truth>& truths, std::int32_t* positives) {
  std::vector<LossHead> heads;
  std::vector<std::vector<float>> logits, gradients;
  for (const HeadCells& head : cells) {
    logits.push_back(head.logits);
    gradients.emplace_back(head.logits.size());
  }
  for (std::size_t h = 0; h < cells.size(); ++h) {
    const Head& head = model.network->heads[h];
    const int channels = head.spec.anchors * head.spec.entries();
    heads.push_back(
        {.head = head.spec,
         .params = loss_params(head, config),
         .logits = make_tensor(logits[h].data(), DType::f32, 1, cells[h].rows, cells[h].columns, channels),
         .dlogits = make_tensor(gradients[h].data(), DType::f32, 1, cells[h].rows, cells[h].columns, channels)});
  }
  std::vector<LossParts> parts(1 + heads.size());
  const std::int32_t count = static_cast<std::int32_t>(truths.size());
  YoloLoss loss{.mode = config.loss,
                .heads = heads,
                .truths = truths.data(),
                .truth_counts = &count,
                .max_truths = count,
                .net_w = kSide,
                .net_h = kSide,
                .seen = 1 << 20,
                .parts = parts.data()};
  std::vector<std::byte> workspace(ref::yolo_loss_workspace(loss));
  loss.workspace = workspace.data();
  ref::yolo_loss(loss);
  *positives = parts[0].positives;
  std::set<Slot> wanted;
  for (std::size_t h = 0; h < cells.size(); ++h) {
    const HeadSpec& spec = heads[h].head;
    for (int cell = 0; cell < cells[h].rows * cells[h].columns; ++cell)
      for (int a = 0; a < spec.anchors; ++a) {
        const std::size_t at = static_cast<std::size_t>((cell * spec.anchors + a) * spec.entries() + 4);
        if (gradients[h][at] < 0)
          wanted.insert({static_cast<int>(h), cell % cells[h].columns, cell / cells[h].columns, a});
      }
  }
  return wanted;
}

std::set<Slot> slots_of(const std::vector<Claim>& claims) {
  std::set<Slot> slots;
  for (const Claim& claim : claims) slots.insert({claim.head, claim.column, claim.row, claim.anchor});
  return slots;
}

void check_claims(const char* layers, LossMode mode) {
  Model model = model_of(layers);
  TrainConfig config;
  config.loss = mode;
  const InspectPhoto photo = labelled(kTruths);
  const Inspection all = inspect(model, options_for(cpu_backend()), &photo);
  const std::vector<HeadCells>& cells = all.photo->heads;
  const std::vector<Claim> claims = claims_of(*model.network, config, cells, kTruths, kSide, kSide);
  std::int32_t positives = 0;
  CHECK(slots_of(claims) == wanted_by_loss(model, config, cells, kTruths, &positives));
  CHECK(static_cast<std::int32_t>(claims.size()) == positives);
  for (const Claim& claim : claims) {
    const Truth& truth = kTruths[static_cast<std::size_t>(claim.truth)];
    const HeadCells& head = cells[static_cast<std::size_t>(claim.head)];
    CHECK(claim.column == std::min(static_cast<int>(truth.x * head.columns), head.columns - 1));
    CHECK(claim.row == std::min(static_cast<int>(truth.y * head.rows), head.rows - 1));
    CHECK(claim.objectness == head.at(claim.column, claim.row, claim.anchor).objectness);
    CHECK((claim.shape_overlap > 0 && claim.shape_overlap <= 1));
    CHECK((claim.overlap >= 0 && claim.overlap <= 1));
  }
}

const LayerGradient& gradient_of(const StepGradients& step, int node) {
  for (const LayerGradient& layer : step.layers)
    if (layer.node == node) return layer;
  FAIL("no gradient of that layer");
  return step.layers.front();
}

double total(const LossParts& parts) {
  return static_cast<double>(parts.box) + parts.objectness + parts.classes;
}

}  // namespace

TEST_CASE("inspect: claims are what the loss pulls up") {
  check_claims(kTwoHeads, LossMode::fixed);
  check_claims(kTwoHeads, LossMode::darknet);
  check_claims(kRegion, LossMode::fixed);
  check_claims(kRegion, LossMode::darknet);
}

TEST_CASE("inspect: a truth with the shape of an anchor is that anchor's") {
  Model model = model_of(kTwoHeads);
  TrainConfig config;
  config.weights.iou_thresh = 1;  // only the best
  const InspectPhoto photo = labelled({});
  const Inspection all = inspect(model, options_for(cpu_backend()), &photo);
  const std::vector<Truth> truths{pixels(21, 13, 8, 12, 0), pixels(44, 52, 40, 30, 1)};
  const std::vector<Claim> claims = claims_of(*model.network, config, all.photo->heads, truths, kSide, kSide);
  REQUIRE(claims.size() == 2);
  // Head 0 has the large anchors on 8x8 cells of 8 pixels, head 1 the small ones on 16x16 cells of 4.
  CHECK((claims[0].truth == 1 && claims[0].head == 0 && claims[0].anchor == 1));
  CHECK((claims[0].column == 5 && claims[0].row == 6));
  CHECK((claims[1].truth == 0 && claims[1].head == 1 && claims[1].anchor == 1));
  CHECK((claims[1].column == 5 && claims[1].row == 3));
  for (const Claim& claim : claims) CHECK(std::abs(claim.shape_overlap - 1) <= 1e-6);
}

TEST_CASE("inspect: gradient norms are sums of squares, and slopes of the loss") {
  Model model = model_of(kTwoHeads);
  TrainConfig config;
  const std::vector<float> before(model.params->values().begin(), model.params->values().end());
  Random random(4);
  std::vector<float> photo(kSide * kSide * 3);
  for (float& v : photo) v = static_cast<float>(random.uniform(0, 1));
  const auto step = [&] { return step_gradients(model, config, cpu_backend(), "", photo, kTruths, kSide, kSide); };
  const StepGradients at = step();
  CHECK(std::equal(before.begin(), before.end(), model.params->values().begin()));
  const std::vector<float> gradient(model.params->gradients().begin(), model.params->gradients().end());
  double all = 0;
  for (const float g : gradient) all += static_cast<double>(g) * g;
  CHECK(std::abs(at.norm * at.norm - all) <= 1e-9 * all);
  REQUIRE(at.layers.size() == 5);
  for (const int node : {0, 2, 3, 8}) {
    CAPTURE(node);
    const Param& weights = *model.params->find(node, ParamRole::weights);
    const std::span<const float> g = std::span(gradient).subspan(weights.offset, weights.spec.count());
    const std::span<float> w = model.params->value(weights);
    double squares = 0, weight = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
      squares += static_cast<double>(g[i]) * g[i];
      weight += static_cast<double>(w[i]) * w[i];
    }
    const LayerGradient& layer = gradient_of(at, node);
    CHECK(layer.gradient > 0);
    CHECK(std::abs(layer.gradient * layer.gradient - squares) <= 1e-9 * squares);
    CHECK(std::abs(layer.weight * layer.weight - weight) <= 1e-9 * weight);
    CHECK(std::abs(layer.ratio() - layer.gradient / layer.weight) <= 1e-12);
    // A step along the gradient of this layer changes the loss by its norm times the length of the step.
    const double length = 5e-4 * layer.weight;
    const auto move = [&](double by) {
      for (std::size_t i = 0; i < g.size(); ++i)
        w[i] = static_cast<float>(before[static_cast<std::size_t>(weights.offset) + i] + by * g[i] / layer.gradient);
    };
    move(length);
    const double up = total(step().loss);
    move(-length);
    const double down = total(step().loss);
    move(0);
    CHECK(std::abs((up - down) / (2 * length) - layer.gradient) <= 0.03 * layer.gradient);
  }
  config.freeze = 3;
  const StepGradients frozen = step();
  CHECK(frozen.layers.front().node == 3);
}

TEST_CASE("inspect: a gradient that is not finite is named") {
  Model model = model_of(kTwoHeads);
  model.params->value(*model.params->find(3, ParamRole::weights))[0] = std::nanf("");
  const std::vector<float> photo(kSide * kSide * 3, 0.5f);
  const std::string error =
      error_of([&] { step_gradients(model, TrainConfig{}, cpu_backend(), "", photo, kTruths, kSide, kSide); });
  CHECK(mentions(error, "is not finite"));
  CHECK(mentions(error, "layer "));
}

TEST_CASE("inspect: maps are sorted by how much they vary") {
  // Channel 0 is constant, 1 varies least, 3 most; the greatest value is channel 2's.
  std::vector<float> values;
  for (int i = 0; i < 6; ++i) {
    const float t = static_cast<float>(i);
    for (const float v : {2.0f, 0.1f * t, i == 4 ? 9.0f : 8.5f, -2 * t}) values.push_back(v);
  }
  const LayerMaps maps = layer_maps(7, {2, 3, 4}, values, 3);
  REQUIRE(maps.channels.size() == 3);
  CHECK(maps.channels[0].channel == 3);
  CHECK(maps.channels[1].channel == 2);
  CHECK(maps.channels[2].channel == 1);
  CHECK((maps.channels[0].low == -10 && maps.channels[0].high == 0));
  CHECK(maps.channels[0].plane == std::vector<float>{0, -2, -4, -6, -8, -10});
  CHECK(std::abs(maps.channels[0].deviation - 2 * std::sqrt(35.0 / 12)) <= 1e-6);
  CHECK(maps.silent == 1);
  CHECK((maps.channel == 2 && maps.column == 1 && maps.row == 1 && maps.greatest == 9));
  values[5] = std::nanf("");
  CHECK(mentions(error_of([&] { layer_maps(7, {2, 3, 4}, values, 3); }), "layer 7: channel 1"));
}

TEST_CASE("inspect: heads decode as detection does") {
  Model model = model_of(kTwoHeads);
  const InspectPhoto photo = labelled(kTruths);
  const Inspection all = inspect(model, options_for(cpu_backend()), &photo);
  REQUIRE(all.photo->heads.size() == 2);
  float most = 0;
  for (std::size_t h = 0; h < 2; ++h) {
    const HeadCells& head = all.photo->heads[h];
    CHECK((head.columns == (h ? 16 : 8) && head.rows == head.columns && head.anchors == 2));
    const std::vector<float> plane = head.objectness(-1), second = head.objectness(1);
    for (int cell = 0; cell < head.rows * head.columns; ++cell) {
      double both = 0;
      for (int a = 0; a < 2; ++a) {
        const double logit = head.logits[static_cast<std::size_t>((cell * 2 + a) * 7 + 4)];
        const double objectness = 1 / (1 + std::exp(-logit));
        CHECK(std::abs(head.at(cell % head.columns, cell / head.columns, a).objectness - objectness) <= 1e-5);
        both = std::max(both, objectness);
        if (a == 1) CHECK(std::abs(second[static_cast<std::size_t>(cell)] - objectness) <= 1e-5);
      }
      CHECK(std::abs(plane[static_cast<std::size_t>(cell)] - both) <= 1e-5);
    }
    most = std::max(most, head.largest());
  }
  // The surest detection is one of these cells.
  REQUIRE(!all.photo->detections.empty());
  CHECK(all.photo->detections.front().objectness <= most);
}

TEST_CASE("inspect: letterboxed truths lie where the network sees them") {
  Model model = model_of(kTwoHeads);
  model.preprocess.fit = Fit::letterbox;
  InspectPhoto photo = labelled({{0.5f, 0.5f, 0.25f, 0.5f, 0}});
  photo.image = noise_photo(128, 64);  // 64x32 in the middle of 64x64
  const Inspection all = inspect(model, options_for(cpu_backend()), &photo);
  REQUIRE(all.photo->truths.size() == 1);
  const Truth t = all.photo->truths[0];
  CHECK(std::abs(t.y - 0.5) <= 1e-6);
  CHECK(std::abs(t.w - 0.25) <= 1e-6);
  CHECK(std::abs(t.h - 0.25) <= 1e-6);
  CHECK(all.photo->view.width == all.photo->view.height);
}

TEST_CASE("inspect: what is not there is named") {
  Model model = model_of(kTwoHeads);
  const InspectPhoto photo = labelled(kTruths);
  InspectOptions options = options_for(cpu_backend());
  options.layers = {10};
  CHECK(mentions(error_of([&] { inspect(model, options, &photo); }), "has no layer 10: its layers are 0 to 9"));
  options.layers = {3};
  options.cell = {8, 0};
  CHECK(mentions(error_of([&] { inspect(model, options, &photo); }), "layer 3 has 8x8 cells; there is no cell 8,0"));
}

TEST_CASE("emu: inspect sees what the CPU sees" * doctest::skip(emu_backend() == nullptr)) {
  Model model = model_of(kTwoHeads);
  const InspectPhoto photo = labelled(kTruths);
  const Inspection cpu = inspect(model, options_for(cpu_backend()), &photo);
  const Inspection emu = inspect(model, options_for(*emu_backend()), &photo);
  CHECK(slots_of(emu.photo->claims) == slots_of(cpu.photo->claims));
  CHECK(std::abs(emu.photo->step->norm - cpu.photo->step->norm) <= 1e-3 * cpu.photo->step->norm);
  REQUIRE(emu.photo->step->layers.size() == cpu.photo->step->layers.size());
  for (std::size_t i = 0; i < cpu.photo->step->layers.size(); ++i) {
    const LayerGradient &a = emu.photo->step->layers[i], &b = cpu.photo->step->layers[i];
    CHECK(std::abs(a.gradient - b.gradient) <= 1e-3 * b.gradient);
  }
  for (std::size_t h = 0; h < 2; ++h)
    CHECK(std::abs(emu.photo->heads[h].largest() - cpu.photo->heads[h].largest()) <= 1e-5);
}
