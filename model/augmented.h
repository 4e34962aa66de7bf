// What a training draws its inputs with, and the inputs themselves for people to look at.
#pragma once

#include <string>
#include <vector>

#include "io/image.h"
#include "model/train_config.h"
#include "model/train_data.h"

namespace rook {

// The augmentation of one of the `subdivisions` parts of an update, without where it reads and writes: ranges, random
// numbers, places in the order of photos.
Augment augmentation_of(const TrainConfig& config, int part, bool mosaic);

// Whether there may be mosaics in that update, counted from 0. schedule.iterations must be set.
bool has_mosaics(const TrainConfig& config, std::int64_t iteration);

struct AugmentedInput {
  std::int64_t iteration = 0;  // of the update, from 0
  std::string photo;           // its name; of a mosaic, that of its own photo among four
  io::Image picture;
  std::vector<Truth> truths;  // relative to the picture
};

// The first `count` inputs of a training on these photos, to the bit what its network sees (with --stages or
// --multi-scale: at the size of the photos). `config` complete: seed, batch and schedule.iterations set.
std::vector<AugmentedInput> first_inputs(const PhotoCache& photos, const TrainConfig& config, int count);

}  // namespace rook
