// Batch norm with the activation fused (darknet.md 2.3; Ioffe, Szegedy 2015). Memory-bound: forward reads z twice and
// writes y once, backward reads z and dy twice and writes dz once.
#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/batchnorm_sums.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// d = z - shift, and d^2: with a value of the channel itself as shift, the sums keep their digits when |mean| >> std.
template <class T>
struct MomentTerms {
  const T* z;
  std::int64_t pitch;
  const float* shift;

  struct Column {
    const T* z;
    std::int64_t pitch;
    Vec shift;
    template <class Lanes>
    void add(Lanes lanes, std::int64_t row, Vec& sum, Vec& squares) const {
      const Vec d = lanes.get(z + row * pitch) - shift;
      sum += d;
      squares += d * d;
    }
  };
  template <class Lanes>
  Column column(Lanes lanes, std::int64_t i) const {
    return {z + i, pitch, lanes.get(shift + i)};
  }
};

// partials: [blocks, 3, width]: shift, sum of d, sum of d^2.
template <class T>
void block_moments(const RowPlan& plan, const ChannelBlocks& blocks, const Tensor& z, float* partials) {
  const std::int64_t pitch = plan.pitch(z);
  parallel_for(blocks.blocks, plan.elements(), [&](std::int64_t b) {
    const auto range = blocks.range(b);
    const T* first = z.as<T>() + range.first_row * pitch;
    float* shift = partials + b * 3 * blocks.width;
    float *sum = shift + blocks.width, *squares = sum + blocks.width;
    map(
        range.width, [](Vec value) { return value; }, shift, first);
    std::fill_n(sum, range.width, 0.0f);
    std::fill_n(squares, range.width, 0.0f);
    add_rows(MomentTerms<T>{first, pitch, shift}, range.rows, range.width, sum, squares);
  });
}

// Mean and sum of squared deviations of each channel from those of the blocks (Chan, Golub, LeVeque 1979).
void combine_moments(const ChannelBlocks& blocks, const float* partials, double* mean, double* deviations) {
  const std::int64_t channels = blocks.channels;
  for_channel_chunks(blocks, [&](std::int64_t begin, std::int64_t end) {
    std::fill(mean + begin, mean + end, 0.0);
    std::fill(deviations + begin, deviations + end, 0.0);
    double count = 0;
    for (std::int64_t b = 0; b < blocks.blocks; ++b) {
      const auto range = blocks.range(b);
      const double rows = static_cast<double>(range.rows);
      for (std::int64_t column = 0; column < range.width; column += channels) {
        const float* shift = partials + b * 3 * blocks.width + column;
        const float *sum = shift + blocks.width, *squares = sum + blocks.width;
        const double weight = rows / (count + rows);
        for (std::int64_t c = begin; c < end; ++c) {
          const double mean_d = sum[c] / rows;
          const double block_deviations = squares[c] - sum[c] * mean_d;
          const double delta = shift[c] + mean_d - mean[c];
          mean[c] += delta * weight;
          deviations[c] += (block_deviations < 0 ? 0 : block_deviations) + delta * delta * count * weight;
        }
        count += rows;
      }
    }
  });
}

// One value per channel, repeated over the width of a row.
class RowParameter {
 public:
  RowParameter(ScratchScope& scratch, const RowPlan& plan, std::int64_t channels)
      : row_(scratch.floats(plan.width)), channels_(channels), width_(plan.width) {}

  template <class F>
  const float* fill(F value) {
    for (std::int64_t c = 0; c < channels_; ++c) row_[c] = static_cast<float>(value(c));
    for (std::int64_t i = channels_; i < width_; ++i) row_[i] = row_[i - channels_];
    return row_;
  }

 private:
  float* row_;
  std::int64_t channels_, width_;
};

// v = (z - mean) scale + beta with scale = gamma inv_std, the pre-activation; each a row of plan.width values.
struct Normalisation {
  const float *mean, *scale, *beta;
};

template <class InvStd>
Normalisation normalisation(ScratchScope& scratch, const RowPlan& plan, std::int64_t channels, const float* mean,
                            const float* gamma, const float* beta, InvStd inv_std) {
  return {RowParameter(scratch, plan, channels).fill([&](std::int64_t c) { return mean[c]; }),
          RowParameter(scratch, plan, channels).fill([&](std::int64_t c) { return gamma[c] * inv_std(c); }),
          RowParameter(scratch, plan, channels).fill([&](std::int64_t c) { return beta[c]; })};
}

// y = act(v).
template <class Act, class In, class Out>
void normalise_rows(Act act, const RowPlan& plan, const Tensor& z, const Tensor& y, const Normalisation& n) {
  const auto value = [act](Vec z_value, Vec mean, Vec scale, Vec beta) {
    return act.value((z_value - mean) * scale + beta);
  };
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    map(width, value, y.as<Out>() + row * plan.pitch(y), static_cast<const In*>(z.as<In>() + row * plan.pitch(z)),
        n.mean, n.scale, n.beta);
  });
}

void normalise(const char* operation, const RowPlan& plan, const Tensor& z, const Tensor& y, const Normalisation& n,
               Activation activation) {
  with_f32_or_bf16(operation, z.dtype, y.dtype, [&](auto in, auto out) {
    with_activation(activation, [&](auto act) {
      normalise_rows<decltype(act), typename decltype(in)::Type, typename decltype(out)::Type>(act, plan, z, y, n);
    });
  });
}

// dv = dy act'(v), and dv (z - mean).
template <class Act, class T>
struct GradientTerms {
  Act act;
  const T* z;
  const T* dy;
  std::int64_t z_pitch, dy_pitch;
  Normalisation n;

  struct Column {
    Act act;
    const T* z;
    const T* dy;
    std::int64_t z_pitch, dy_pitch;
    Vec mean, scale, beta;
    template <class Lanes>
    void add(Lanes lanes, std::int64_t row, Vec& sum, Vec& sum_with_z) const {
      const Vec centred = lanes.get(z + row * z_pitch) - mean;
      const Vec dv = lanes.get(dy + row * dy_pitch) * act.slope(centred * scale + beta);
      sum += dv;
      sum_with_z += dv * centred;
    }
  };
  template <class Lanes>
  Column column(Lanes lanes, std::int64_t i) const {
    return {
        act, z + i, dy + i, z_pitch, dy_pitch, lanes.get(n.mean + i), lanes.get(n.scale + i), lanes.get(n.beta + i)};
  }
};

// partials: [blocks, 2, width]
template <class Act, class T>
void block_gradients_as(Act act, const RowPlan& plan, const ChannelBlocks& blocks, const BatchNormBackward& args,
                        const Normalisation& n, float* partials) {
  parallel_for(blocks.blocks, plan.elements(), [&](std::int64_t b) {
    const auto range = blocks.range(b);
    float *sum = partials + b * 2 * blocks.width, *sum_with_z = sum + blocks.width;
    std::fill_n(sum, 2 * blocks.width, 0.0f);
    const GradientTerms<Act, T> terms{act,
                                      args.z.as<T>() + range.first_row * plan.pitch(args.z),
                                      args.dy.as<T>() + range.first_row * plan.pitch(args.dy),
                                      plan.pitch(args.z),
                                      plan.pitch(args.dy),
                                      n};
    add_rows(terms, range.rows, range.width, sum, sum_with_z);
  });
}

// visit(activation, storage) with the types of what `args` say.
template <class Visitor>
void with_activation_and_storage(const BatchNormBackward& args, Visitor visit) {
  with_f32_or_bf16("batchnorm_backward", args.z.dtype,
                   [&](auto storage) { with_activation(args.activation, [&](auto act) { visit(act, storage); }); });
}

void block_gradients(const RowPlan& plan, const ChannelBlocks& blocks, const BatchNormBackward& args,
                     const Normalisation& n, float* partials) {
  with_activation_and_storage(args, [&](auto act, auto storage) {
    block_gradients_as<decltype(act), typename decltype(storage)::Type>(act, plan, blocks, args, n, partials);
  });
}

// Sums over blocks and over the pixels side by side in a row: sums [2, channels].
void combine_gradients(const ChannelBlocks& blocks, const float* partials, double* sums) {
  const std::int64_t channels = blocks.channels;
  for_channel_chunks(blocks, [&](std::int64_t begin, std::int64_t end) {
    for (int quantity = 0; quantity < 2; ++quantity) {
      double* out = sums + quantity * channels;
      std::fill(out + begin, out + end, 0.0);
      for (std::int64_t b = 0; b < blocks.blocks; ++b) {
        const float* partial = partials + (b * 2 + quantity) * blocks.width;
        for (std::int64_t column = 0; column < blocks.range(b).width; column += channels) {
          for (std::int64_t c = begin; c < end; ++c) out[c] += partial[column + c];
        }
      }
    }
  });
}

// dz = scale dv - offset - slope (z - mean), where offset and slope carry the gradient through mean and variance.
template <class Act, class T>
void write_gradient_as(Act act, const RowPlan& plan, const BatchNormBackward& args, const Normalisation& n,
                       const float* offset, const float* slope) {
  const auto gradient = [act](Vec z, Vec dy, Vec mean, Vec scale, Vec beta, Vec off, Vec slo) {
    const Vec centred = z - mean;
    return dy * act.slope(centred * scale + beta) * scale - off - slo * centred;
  };
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    map(width, gradient, args.dz.as<T>() + row * plan.pitch(args.dz), args.z.as<T>() + row * plan.pitch(args.z),
        static_cast<const T*>(args.dy.as<T>() + row * plan.pitch(args.dy)), n.mean, n.scale, n.beta, offset, slope);
  });
}

void write_gradient(const RowPlan& plan, const BatchNormBackward& args, const Normalisation& n, const float* offset,
                    const float* slope) {
  with_activation_and_storage(args, [&](auto act, auto storage) {
    write_gradient_as<decltype(act), typename decltype(storage)::Type>(act, plan, args, n, offset, slope);
  });
}

}  // namespace

void batchnorm_forward(const BatchNormForward& args, Stream) {
  check_args(args);
  ScratchScope scratch;
  const std::int64_t channels = args.z.c;
  const RowPlan plan = plan_channels({&args.z, &args.y});
  const ChannelBlocks blocks = plan_blocks(plan, channels);
  float* partials = scratch.floats(blocks.blocks * 3 * blocks.width);
  double* mean = scratch.doubles(2 * channels);
  double* deviations = mean + channels;
  with_f32_or_bf16("batchnorm_forward", args.z.dtype, [&](auto storage) {
    block_moments<typename decltype(storage)::Type>(plan, blocks, args.z, partials);
  });
  combine_moments(blocks, partials, mean, deviations);

  const double pixels = static_cast<double>(args.z.pixels());
  const double momentum = args.momentum;
  for (std::int64_t c = 0; c < channels; ++c) {
    args.mean[c] = static_cast<float>(mean[c]);
    args.inv_std[c] = static_cast<float>(1 / std::sqrt(deviations[c] / pixels + args.eps));
    const double unbiased = deviations[c] / std::max(1.0, pixels - 1);
    args.running_mean[c] = static_cast<float>((1 - momentum) * args.running_mean[c] + momentum * mean[c]);
    args.running_var[c] = static_cast<float>((1 - momentum) * args.running_var[c] + momentum * unbiased);
  }
  const Normalisation n = normalisation(scratch, plan, channels, args.mean, args.gamma, args.beta,
                                        [&](std::int64_t c) { return args.inv_std[c]; });
  normalise("batchnorm_forward", plan, args.z, args.y, n, args.activation);
}

void batchnorm_inference(const BatchNormInference& args, Stream) {
  check_args(args);
  ScratchScope scratch;
  const RowPlan plan = plan_channels({&args.z, &args.y});
  const Normalisation n =
      normalisation(scratch, plan, args.z.c, args.running_mean, args.gamma, args.beta,
                    [&](std::int64_t c) { return 1 / std::sqrt(double{args.running_var[c]} + args.eps); });
  normalise("batchnorm_inference", plan, args.z, args.y, n, args.activation);
}

void batchnorm_backward(const BatchNormBackward& args, Stream) {
  check_args(args);
  ScratchScope scratch;
  const std::int64_t channels = args.z.c;
  const RowPlan plan = plan_channels({&args.z, &args.dy, &args.dz});
  const ChannelBlocks blocks = plan_blocks(plan, channels);
  const Normalisation n = normalisation(scratch, plan, channels, args.mean, args.gamma, args.beta,
                                        [&](std::int64_t c) { return args.inv_std[c]; });
  float* partials = scratch.floats(blocks.blocks * 2 * blocks.width);
  double* sums = scratch.doubles(2 * channels);
  block_gradients(plan, blocks, args, n, partials);
  combine_gradients(blocks, partials, sums);

  const double pixels = static_cast<double>(args.z.pixels());
  for (std::int64_t c = 0; c < channels; ++c) {
    args.dbeta[c] += static_cast<float>(sums[c]);
    args.dgamma[c] += static_cast<float>(sums[channels + c] * args.inv_std[c]);
  }
  const float* offset = RowParameter(scratch, plan, channels).fill([&](std::int64_t c) {
    return double{args.gamma[c]} * args.inv_std[c] * sums[c] / pixels;
  });
  const float* slope = RowParameter(scratch, plan, channels).fill([&](std::int64_t c) {
    const double inv_std = args.inv_std[c];
    return args.gamma[c] * inv_std * inv_std * inv_std * sums[channels + c] / pixels;
  });
  write_gradient(plan, args, n, offset, slope);
}

std::size_t batchnorm_forward_workspace(const BatchNormForward&) {
  return 0;
}

std::size_t batchnorm_backward_workspace(const BatchNormBackward&) {
  return 0;
}

}  // namespace rook::cpu
