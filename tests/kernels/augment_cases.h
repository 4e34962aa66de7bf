// augment against ref, on any device.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/augment_support.h"
#include "tests/kernels/subject.h"

namespace rook::test {

// Odd sizes, photos of any size, every kind of change.
inline void test_augment(const Subject& subject) {
  Random random(3);
  const std::vector<AugmentPhoto> photos = {random_photo(random, 37, 41, 7), random_photo(random, 97, 13, 4),
                                            random_photo(random, 1, 1, 1), random_photo(random, 5, 64, 0),
                                            random_photo(random, 120, 90, 30)};
  const std::vector<std::int32_t> order = {0, 4, 2, 3, 1, 4};
  std::int64_t kept = 0;
  for (const AugmentSpec& spec : {kNothing, kGentle, kDarknet, kEverything}) {
    for (const auto& size : {std::pair{29, 43}, std::pair{41, 37}, std::pair{1, 3}, std::pair{70, 1}}) {
      for (std::uint32_t iteration = 0; iteration < 4; ++iteration) {
        const auto configure = [&](AugmentBatch& batch) {
          batch.args.spec = spec;
          batch.args.seed = 0x123456789abcdef;
          batch.args.iteration = iteration;
        };
        const int after = iteration % 2 == 0 ? 5 : 0;  // channels beside the picture's
        AugmentBatch exact(photos, order, DType::f64, size.first, size.second, 20, after);
        configure(exact);
        exact.run(ref::augment);
        for (int i = 0; i < 6; ++i) kept += static_cast<std::int64_t>(exact.truths(i).size());
        for (const DType dtype : subject.types) {
          CAPTURE(std::string(name_of(dtype)));
          AugmentBatch batch(photos, order, dtype, size.first, size.second, 20, after);
          configure(batch);
          batch.run(subject.augment);
          const double relative = dtype == DType::f32 ? 0 : tolerance_of(dtype).relative / 2;
          check_close("y", batch.y, exact.y, {0.25 / 255, relative});
          check_same_truths(batch, exact, 1e-5);
        }
      }
    }
  }
  CHECK(kept > 300);  // enough truths survive for the comparison to mean something
}

// More truths than a warp has lanes, and than there is room for: the first in order, those of four photos in a mosaic.
inline void test_augment_truths(const Subject& subject) {
  Random random(8);
  const std::vector<AugmentPhoto> photos = {random_photo(random, 64, 48, 100), random_photo(random, 50, 60, 33),
                                            random_photo(random, 40, 40, 65)};
  for (const int room : {0, 1, 40, 300}) {
    for (const AugmentSpec& spec : {kGentle, kDarknet}) {
      AugmentBatch exact(photos, {0, 1, 2, 0, 0}, DType::f64, 32, 32, room),
          batch(photos, {0, 1, 2, 0, 0}, DType::f32, 32, 32, room);
      exact.args.spec = batch.args.spec = spec;
      exact.run(ref::augment);
      subject.for_each_way([&] {
        batch.run(subject.augment);
        check_same_truths(batch, exact, 1e-5);
      });
      if (room == 300) CHECK(batch.truths(0).size() > 32);
    }
  }
}

// Iteration and order come from the step's state: to the bit the pictures of the iteration that it names, whatever the
// circumstances, and new ones in the next.
inline void test_augment_step(const Subject& subject) {
  Random random(9);
  const std::vector<AugmentPhoto> photos = {random_photo(random, 40, 30, 3), random_photo(random, 47, 35, 6),
                                            random_photo(random, 54, 40, 9)};
  const std::vector<std::int32_t> orders = {2, 0, 1, 1, 2, 2, 0, 0, 1};  // three iterations: two outputs, one of others
  const Mapped<std::int32_t> order(orders.begin(), orders.end());
  Mapped<StepState> state(1);
  for (const DType dtype : subject.types) {
    std::vector<TestTensor> pictures;
    for (const std::uint32_t iteration : {0, 1, 2}) {
      const auto configure = [](AugmentBatch& batch) {
        batch.args.spec = kEverything;
        batch.args.seed = 5;
        batch.args.first_slot = 2;
      };
      AugmentBatch expected(photos, {orders.at(3 * iteration), orders.at(3 * iteration + 1)}, dtype, 33, 41, 20, 1);
      configure(expected);
      expected.args.iteration = iteration;
      expected.run(subject.augment);
      subject.for_each_way([&] {
        AugmentBatch batch(photos, {0, 0}, dtype, 33, 41, 20, 1);
        configure(batch);
        state[0].iteration = iteration;
        batch.args.order = {order.data(), 2};
        batch.args.order_stride = 3;
        batch.args.iteration = 77;
        batch.args.step = state.data();
        batch.run(subject.augment);
        CHECK(same_bits(batch.y, expected.y));
        check_same_truths(batch, expected, 0);
      });
      pictures.push_back(expected.y);
    }
    CHECK_FALSE(same_bits(pictures[0], pictures[1]));
    CHECK_FALSE(same_bits(pictures[1], pictures[2]));
  }
}

// As the CPU's, to the rounding of f32 and of the sums.
inline void test_augment_like_cpu(const Subject& subject) {
  Random random(2);
  std::vector<AugmentPhoto> photos;
  for (int i = 0; i < 5; ++i) photos.push_back(random_photo(random, 40 + 7 * i, 30 + 5 * i, 2 + 3 * i));
  for (const AugmentSpec& spec : {kNothing, kGentle, kDarknet, kEverything}) {
    AugmentBatch ours(photos, {2, 4, 1}, DType::f32, 32, 48, 24), theirs(photos, {2, 4, 1}, DType::f32, 32, 48, 24);
    ours.args.spec = theirs.args.spec = spec;
    ours.run(subject.augment);
    theirs.run(cpu::augment);
    check_close("y", ours.y, theirs.y, {2e-5, 0});
    check_same_truths(ours, theirs, 1e-7);
  }
}

}  // namespace rook::test
