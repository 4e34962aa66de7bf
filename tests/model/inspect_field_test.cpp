// Receptive fields beside what changes when a pixel of the input does, and beside sums by hand.
#include "model/inspect_field.h"

#include <map>
#include <optional>

#include "base/error.h"
#include "tests/errors.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

constexpr int kWidth = 16, kHeight = 12;

using Cell = std::tuple<int, int, int>;  // node, column, row

// Of every cell of every node the pixels whose change it shows: filters of ones, one pixel after the other raised by 1
// over a picture that is `base` everywhere. Sums of whole numbers in the plain implementation: a cell that does not see
// the pixel keeps its bits.
class Shown {
 public:
  Shown(std::string_view layers, float base) : model_(tiny_model(linear(layers))), executor_(make()) {
    for (const Param& param : model_.params->all())
      for (float& value : model_.params->value(param)) value = param.spec.role == ParamRole::weights ? 1.0f : 0.0f;
    const auto before = run(base, -1, -1);
    for (int y = 0; y < kHeight; ++y)
      for (int x = 0; x < kWidth; ++x) {
        const auto after = run(base, x, y);
        for (std::size_t node = 0; node < after.size(); ++node) compare(static_cast<int>(node), before, after, x, y);
      }
  }

  const Graph& graph() const { return model_.network->graph; }
  std::optional<Window> at(const Cell& cell) const {
    const auto found = seen_.find(cell);
    return found == seen_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  // The cfg's default activation saturates: beyond some sum nothing would show.
  static std::string linear(std::string_view layers) {
    std::string text(layers);
    for (std::size_t at = 0; (at = text.find("conv ", at)) != std::string::npos; ++at)
      text.insert(at + 5, "activation=linear ");
    return text;
  }

  Executor make() {
    return {model_.network->graph, *model_.params, {.backend = &ref_backend(), .keep_all = true, .conv = ""}};
  }

  std::vector<std::vector<double>> run(float base, int x, int y) {
    executor_.resize(1, kHeight, kWidth);
    const Tensor input = executor_.input();
    for (std::int64_t i = 0; i < input.elements(); ++i) {
      const std::int64_t pixel = i / input.c;
      store_from_double(input.data, input.dtype, i, base + (pixel == y * kWidth + x && x >= 0 ? 1 : 0));
    }
    executor_.forward();
    std::vector<std::vector<double>> values;
    for (int node = 0; node < graph().size(); ++node) values.push_back(to_doubles(executor_.output(node)));
    return values;
  }

  void compare(int node, const std::vector<std::vector<double>>& before, const std::vector<std::vector<double>>& after,
               int x, int y) {
    const Shape shape = graph().nodes()[static_cast<std::size_t>(node)].output;
    const auto& a = before[static_cast<std::size_t>(node)];
    const auto& b = after[static_cast<std::size_t>(node)];
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i]) continue;
      const int cell = static_cast<int>(i) / shape.c;
      Window& w = seen_.try_emplace({node, cell % shape.w, cell / shape.w}, Window{x, y, x, y}).first->second;
      w = {std::min(w.left, x), std::min(w.top, y), std::max(w.right, x), std::max(w.bottom, y)};
    }
  }

  Model model_;
  Executor executor_;
  std::map<Cell, Window> seen_;
};

// Every cell of every layer. Where filters have gaps the window at an edge may hold a pixel more than is read.
void check_fields(std::string_view layers, float base, bool gaps = false) {
  CAPTURE(layers);
  const Shown shown(layers, base);
  int cells = 0;
  for (int node = 0; node < shown.graph().size(); ++node) {
    const Shape shape = shown.graph().nodes()[static_cast<std::size_t>(node)].output;
    for (int y = 0; y < shape.h; ++y)
      for (int x = 0; x < shape.w; ++x, ++cells) {
        INFO("layer ", node, ", cell ", x, ",", y);
        const Window field = receptive_window(shown.graph(), node, {x, y, x, y}, kHeight, kWidth, Border::cut);
        const std::optional<Window> truth = shown.at({node, x, y});
        REQUIRE(truth.has_value());
        if (!gaps) {
          CHECK(field == *truth);
          continue;
        }
        CHECK(field.left <= truth->left);
        CHECK(field.top <= truth->top);
        CHECK(field.right >= truth->right);
        CHECK(field.bottom >= truth->bottom);
        CHECK(field.right - field.left <= truth->right - truth->left + 2);
        CHECK(field.bottom - field.top <= truth->bottom - truth->top + 2);
      }
  }
  CHECK(cells > 100);
}

std::string error_of_window(const Graph& graph, int node, Window window) {
  return error_of([&] { receptive_window(graph, node, window, kHeight, kWidth, Border::cut); });
}

}  // namespace

TEST_CASE("receptive field: what changes when a pixel does") {
  check_fields("conv filters=1 size=3 stride=2 pad=1 | conv filters=2 size=3 pad=1 | maxpool size=2 stride=2", 0);
  check_fields(
      "conv filters=2 size=3 pad=1 | conv filters=2 size=5 pad=1 | route layers=-1 groups=2 group_id=1 | "
      "route layers=-1,0 | maxpool size=2 stride=1 | shortcut from=0 | conv filters=1 size=1",
      0);
  check_fields(
      "maxpool size=3 stride=1 | local_avgpool size=3 stride=1 | conv filters=1 size=3 stride=2 pad=1 stride_x=1 "
      "stride_y=2 | route layers=0 | maxpool size=2 stride=2 | conv filters=1 size=3 pad=1 | upsample stride=2 | "
      "route layers=-1,0 | conv filters=1 size=3 pad=1",
      0);
  check_fields("conv filters=2 size=3 pad=1 | reorg3d stride=2 | conv filters=1 size=3 pad=1", 0);
}

TEST_CASE("receptive field: darknet's own reorg scatters") {
  check_fields("conv filters=4 size=1 | reorg stride=2", 0);
  check_fields("conv filters=4 size=1 | reorg stride=2 reverse=1", 0);
  check_fields("conv filters=16 size=1 | reorg3d stride=2 reverse=1", 0);
}

TEST_CASE("receptive field: a gate from all of the picture") {
  check_fields(
      "conv filters=2 size=3 pad=1 | avgpool | conv filters=2 size=1 | scale_channels from=0 | conv filters=1 size=1 | "
      "scale_channels from=0 scale_wh=1",
      1);
  check_fields("conv filters=2 size=3 pad=1 | conv filters=2 size=3 pad=1 | sam from=0", 1);
}

TEST_CASE("receptive field: filters with gaps") {
  check_fields("conv filters=1 size=3 pad=1 dilation=2 | conv filters=1 size=3 pad=1", 0, true);
}

TEST_CASE("receptive field: size and stride by hand") {
  const Model model = tiny_model(
      "conv filters=4 size=3 stride=2 pad=1 | conv filters=4 size=3 pad=1 | maxpool size=2 stride=2 | "
      "conv filters=4 size=3 pad=1 | upsample stride=2 | route layers=-1,1",
      "width=64 height=32 channels=3");
  const auto field = [&](int node) { return receptive_field(model.network->graph, node, 32, 64); };
  // r grows by (size - 1) times the stride so far: 3, 3 + 2 2, 7 + 2, 9 + 2 4.
  const int sizes[] = {3, 7, 9, 17, 17, 17}, strides[] = {2, 2, 4, 4, 2, 2};
  for (int node = 0; node < 6; ++node) {
    CAPTURE(node);
    CHECK(field(node).width == sizes[node]);
    CHECK(field(node).height == sizes[node]);
    CHECK(field(node).stride_x == strides[node]);
    CHECK(field(node).stride_y == strides[node]);
  }
}

TEST_CASE("receptive field: layers and cells that are not there") {
  const Model model = tiny_model("conv filters=1 size=3 pad=1");
  const Graph& graph = model.network->graph;
  CHECK(error_of_window(graph, 1, {}).find("no layer 1; the network has layers 0 to 0") != std::string::npos);
  CHECK(error_of_window(graph, -1, {}).find("no layer -1") != std::string::npos);
  CHECK(error_of_window(graph, 0, {40, 0, 41, 0}).find("see nothing of the picture") != std::string::npos);
}
