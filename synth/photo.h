// From a scene to the picture a camera would take of it.
#pragma once

#include "io/image.h"
#include "synth/visibility.h"

namespace rook::synth {

// Linear light per pixel, [height, width].
using Exposure = std::vector<Vec3>;

// Every pixel is the mean of its samples; what they show of one surface is lit once.
Exposure expose(const Scene& scene, const Visibility& visible);

// Lens, sensor and development: vignette, blur, exposure, contrast, noise (from `random`), 8 bit.
io::Image develop(const Scene& scene, Exposure light, Random& random);

}  // namespace rook::synth
