// The cases of `rook bench ops`: every operation that has a cost, on the shapes of tests/cases.h marked `bench`.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/bench/op_data.h"
#include "app/bench/timing.h"
#include "kernels/conv.h"
#include "model/network.h"

namespace rook::app {

struct OpCase {
  std::string op, shape;
  // Floating point operations of one image, or of the run where it does not depend on the batch. Counted for what is
  // bound by arithmetic; for the others a few per element, which places them on the roofline but decides nothing.
  double flops = 0;
  bool per_image = true;
  bool typed = true;  // whether it has activations of the case's type; otherwise f32 says all
  // Makes an instance's data and returns what runs it. Works for any batch and type that the data has.
  std::function<std::function<void()>(OpData&)> make;
  // What an output may differ from ref's, of its largest value: f32, bf16.
  double tolerance[2] = {2e-5, 1.0 / 64};
};

std::vector<OpCase> layer_cases();     // batch norm, element-wise, spatial
std::vector<OpCase> training_cases();  // optimizer, head, loss, images

// A convolution: geometry and input of one image. Those of a network, each once.
struct ConvShape {
  ConvGeometry geometry;
  int h = 0, w = 0;
  std::string text() const;  // "52x52x128 > 128, 3x3/1"
  bool operator==(const ConvShape&) const = default;
};
std::vector<ConvShape> conv_shapes(const Network& network, int height, int width);

// The data of a convolution and what runs it by `row`.
std::function<void()> make_conv(OpData& data, const ConvProblem& problem, const ConvRow& row);
// Runs it (gradients twice, the second time adding to the first) and compares `samples` of its outputs, drawn at
// random, and the whole gradient of the bias with sums in double over its inputs as the device has them. Returns what
// is wrong, empty when nothing is.
std::string check_conv_samples(const Backend& backend, Stream stream, const ConvProblem& problem, const ConvRow& row,
                               int samples);
// Rows of one problem, each with so many copies of the data that no cache holds them.
class ConvContest {
 public:
  ConvContest(const Backend& backend, Stream stream, const ConvProblem& problem);
  void add(const ConvRow& row);
  const std::vector<Contestant>& contestants() const { return contestants_; }

 private:
  const Backend& backend_;
  Stream stream_;
  ConvProblem problem_;
  std::vector<std::unique_ptr<OpData>> data_;
  std::vector<Contestant> contestants_;
};
// Bytes of one run: what is read once and written once.
double conv_bytes(const ConvProblem& problem);

}  // namespace rook::app
