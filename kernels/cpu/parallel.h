// Work spread over the threads of the CPU.
#pragma once

#include <omp.h>
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace rook::cpu {

// Below this much work a parallel region costs more than it gains.
inline constexpr std::int64_t kParallelElements = 32768;

// f(i) for i in [begin, end). Compiled once for each f, whoever calls: in another copy the compiler may fuse other
// products with sums, and results would differ in the last bit between one thread and several (seen with AVX-512).
#if defined(__clang__)
#define ROOK_ONE_COPY [[gnu::noinline]]
#else
#define ROOK_ONE_COPY [[gnu::noinline, gnu::noclone]]
#endif
template <class F>
ROOK_ONE_COPY void call_for_each(F& f, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) f(i);
}
#undef ROOK_ONE_COPY

// Items [0, count) in as many equal shares as there are threads. A thread works through its own share, a few items at a
// time, and then through what is left of the others': where one of them is slow (a small core, or one that another
// program uses as well), the others do not wait for it. From call to call an item tends to stay with its thread, and so
// in its cache.
class Shares {
 public:
  Shares(std::int64_t count, int threads) : shares_(std::min(threads, kMost)) {
    for (int i = 0; i < shares_; ++i) {
      const std::int64_t begin = count * i / shares_, end = count * (i + 1) / shares_;
      share_[i].next.store(begin, std::memory_order_relaxed);
      share_[i].end = end;
      share_[i].step = std::max<std::int64_t>(1, (end - begin) / kSteps);
    }
  }

  // Calls f(i) for the items that are left, until there are none. To be called by each thread.
  template <class F>
  void work(int thread, F& f) {
    for (int k = 0; k < shares_; ++k) {
      Share& share = share_[(thread + k) % shares_];
      while (true) {
        const std::int64_t first = share.next.fetch_add(share.step, std::memory_order_relaxed);
        if (first >= share.end) break;
        call_for_each(f, first, std::min(share.end, first + share.step));
      }
    }
  }

 private:
  static constexpr int kMost = 256;           // shares; further threads have none of their own
  static constexpr std::int64_t kSteps = 16;  // of a share: how finely it can be divided
  struct alignas(64) Share {                  // a cache line of its own
    std::atomic<std::int64_t> next;
    std::int64_t end, step;
  };

  int shares_;
  Share share_[kMost];
};

// Calls f(i) for every i in [0, count), on all threads when `elements` make it worth while. Which thread takes which i
// is not known: results must not depend on it.
template <class F>
void parallel_for(std::int64_t count, std::int64_t elements, F f) {
  const int threads = omp_get_max_threads();
  if (count <= 1 || elements < kParallelElements || threads == 1 || omp_in_parallel()) {
    call_for_each(f, 0, count);
    return;
  }
  Shares shares(count, threads);
#pragma omp parallel
  shares.work(omp_get_thread_num(), f);
}

}  // namespace rook::cpu
