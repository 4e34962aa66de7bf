// The CUDA kernels as a Subject of the tests that they share with the CPU.
#pragma once

#include <algorithm>

#include "tests/gpu.h"
#include "tests/kernels/subject.h"

namespace rook::test {

inline Subject gpu_subject(const Gpu& gpu) {
  Subject subject;
#define ROOK_SUBJECT_OP(op, Args)        \
  subject.op = [gpu](const Args& args) { \
    gpu.ops->op(args, gpu.stream);       \
    gpu.finish();                        \
  };
  ROOK_OP_LIST(ROOK_SUBJECT_OP)
#undef ROOK_SUBJECT_OP
#define ROOK_SUBJECT_WORKSPACE(op, Args) subject.op##_workspace = gpu.ops->op##_workspace;
  ROOK_WORKSPACE_LIST(ROOK_SUBJECT_WORKSPACE)
#undef ROOK_SUBJECT_WORKSPACE
  subject.watched = gpu.watched;
  subject.types = chosen(subject, std::vector{DType::f32, DType::bf16, DType::f16}, 1);
  // What is small enough to be emulated.
  const int most = gpu.watched ? 8000 : 20000;
  std::copy_if(std::begin(kNhwcCases), std::end(kNhwcCases), std::back_inserter(subject.shapes),
               [most](const NhwcCase& shape) { return !shape.bench && shape.n * shape.h * shape.w * shape.c <= most; });
  // 16-bit vectors in slices, which need channels and pitches that are multiples of 8.
  subject.shapes.push_back({"vectors in slices", 2, 5, 7, 40, {16, 8}, {0, 24}});
  subject.for_each_way = [gpu](const std::function<void()>& body) {
    gpu.for_each_order([&](const std::string& order) {
      INFO("threads ", order);
      body();
    });
  };
  return subject;
}

}  // namespace rook::test
