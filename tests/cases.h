// The one table of shapes that operations are tested with and timed on.
//
// To add a case for all channel-wise operations: a row in kNhwcCases. To add the cases of one operation with parameters
// of its own (geometry, groups, ...): a struct and a constexpr array in a section of its own at the end, or a file
// tests/cases_OP.h when it needs more than a few lines. Nothing is timed that is not tested: a row marked `bench` is
// also run by the tests.
#pragma once

#include "kernels/types.h"

namespace rook::test {

// Channels of the wider buffer before and after a tensor that is a slice of it; {0, 0}: dense.
struct Slice {
  int before = 0, after = 0;
};

// An activation tensor [n, h, w, c], and what surrounds the input and the output of an operation on it.
struct NhwcCase {
  const char* name;
  int n, h, w, c;
  Slice in, out;
  bool bench = false;
};

// What cpu:: and cuda:: store activations in.
inline constexpr DType kStorageTypes[] = {DType::f32, DType::bf16};

inline constexpr NhwcCase kNhwcCases[] = {
    {"one element", 1, 1, 1, 1, {}, {}},
    {"one pixel", 1, 1, 1, 37, {}, {}},
    {"one pixel per image", 3, 1, 1, 64, {}, {}},
    {"one channel", 2, 7, 5, 1, {}, {}},
    {"one channel of five", 1, 11, 7, 1, {2, 2}, {1, 3}},
    {"image", 2, 13, 11, 3, {}, {}},
    {"eight channels", 1, 9, 17, 8, {}, {}},
    {"twelve channels", 2, 17, 3, 12, {}, {0, 4}},
    {"prime", 3, 7, 11, 13, {}, {}},
    {"prime slice in", 1, 7, 11, 13, {3, 2}, {}},
    {"prime slice out", 1, 7, 11, 17, {}, {5, 1}},
    {"prime slices", 2, 5, 3, 31, {1, 0}, {0, 1}},
    {"sixteen", 1, 5, 29, 16, {}, {}},
    {"sixteen and one", 1, 5, 29, 17, {}, {}},
    {"several blocks", 2, 37, 41, 24, {}, {8, 8}},
    {"logits", 2, 13, 13, 255, {}, {}},
    {"wide", 1, 3, 5, 515, {}, {0, 5}},
    {"yolov4-tiny 10", 1, 52, 52, 128, {}, {}, true},
    {"yolov4-tiny 15, into a concat", 1, 26, 26, 128, {}, {128, 0}, true},
    {"yolov4-tiny 26", 2, 13, 13, 512, {}, {}, true},
};

// A pooling window over [n, h, w, c].
struct PoolingCase {
  const char* name;
  int n, h, w, c;
  PoolGeometry geometry;
  Slice in, out;
  bool bench = false;
};

inline constexpr PoolingCase kPoolingCases[] = {
    {"one pixel", 1, 1, 1, 1, {1, 1, 1, 1, 0}, {}, {}},
    {"one pixel, SAME 5", 2, 1, 1, 19, {5, 5, 1, 1, 4}, {}, {}},
    {"2 / 2, odd", 2, 7, 5, 13, {2, 2, 2, 2, 1}, {}, {}},
    {"2 / 2, even", 1, 8, 6, 32, {2, 2, 2, 2, 1}, {1, 2}, {3, 0}},
    {"2 / 2, no padding, odd", 1, 9, 7, 17, {2, 2, 2, 2, 0}, {}, {0, 1}},
    {"2 / 1, yolov3-tiny", 2, 13, 13, 33, {2, 2, 1, 1, 1}, {}, {}},
    {"3 / 2", 1, 11, 7, 31, {3, 3, 2, 2, 2}, {2, 3}, {}},
    {"5 / 1, SPP", 1, 7, 11, 17, {5, 5, 1, 1, 4}, {}, {17, 34}},
    {"5 x 3 / 2, many channels", 2, 6, 5, 71, {5, 3, 2, 1, 4}, {0, 1}, {2, 0}},
    {"9 / 1, SPP", 1, 13, 11, 8, {9, 9, 1, 1, 8}, {0, 8}, {8, 16}},
    {"13 / 1, SPP", 1, 13, 13, 5, {13, 13, 1, 1, 12}, {}, {}},
    {"5 / 1, several tiles", 1, 19, 37, 40, {5, 5, 1, 1, 4}, {}, {}},
    {"9 / 2, overlapping", 2, 19, 18, 11, {9, 9, 2, 2, 8}, {}, {}},
    {"7 x 4 / 1, total padding 3", 1, 21, 9, 16, {7, 4, 1, 1, 3}, {8, 0}, {0, 8}},
    {"13 / 1, larger than the image", 1, 3, 5, 7, {13, 13, 1, 1, 12}, {}, {}},
    {"not square", 2, 11, 13, 11, {3, 5, 2, 3, 2}, {1, 1}, {}},
    {"stride above size", 1, 17, 13, 9, {2, 3, 5, 4, 1}, {}, {}},
    {"odd total padding", 1, 9, 10, 16, {4, 4, 3, 3, 5}, {}, {}},
    {"several blocks", 3, 37, 41, 24, {2, 2, 2, 2, 1}, {}, {8, 8}},
    {"yolov4-tiny 25", 1, 26, 26, 512, {2, 2, 2, 2, 1}, {}, {}, true},
    {"yolov3-tiny 11", 1, 13, 13, 512, {2, 2, 1, 1, 1}, {}, {}, true},
    {"5 / 1, SPP of yolov4", 1, 13, 13, 512, {5, 5, 1, 1, 4}, {}, {}, true},
};

}  // namespace rook::test
