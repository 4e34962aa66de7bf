// --augment of `rook train`: how much the training photos are changed at random.
#pragma once

#include <string>

#include "kernels/ops.h"

namespace rook::app {

// "flip=0,hue=0.1": changes those, the others stay; "none": photos as they are, without mosaics too. Throws UsageError:
// a key that there is not (with the one that was meant), a value that is no number or out of range.
void set_augmentation(AugmentSpec& spec, const std::string& text);

// The keys and what they mean, as --help lists them.
std::string augmentation_keys();

}  // namespace rook::app
