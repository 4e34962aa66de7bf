#include "kernels/emu/pool.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace rook::emu::machine {
namespace {

class Pool {
 public:
  // One caller at a time; a second one works alone.
  void run(int helpers, void (*work)(void*), void* argument) {
    const std::unique_lock alone(user_, std::try_to_lock);
    if (!alone.owns_lock()) return work(argument);
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(threads_.size()) < helpers) threads_.emplace_back([this] { help(); });
      work_ = work;
      argument_ = argument;
      wanted_ = helpers;
    }
    wake_.notify_all();
    work(argument);
    std::unique_lock lock(mutex_);
    wanted_ = 0;  // those who are not awake yet are not needed any more
    done_.wait(lock, [this] { return active_ == 0; });
  }

 private:
  void help() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return wanted_ > 0; });
      --wanted_;
      ++active_;
      lock.unlock();
      work_(argument_);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex user_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  void (*work_)(void*) = nullptr;
  void* argument_ = nullptr;
  int wanted_ = 0;  // helpers that shall still begin
  int active_ = 0;
};

}  // namespace

void run_on_threads(int count, void (*work)(void*), void* argument) {
  if (count <= 1) return work(argument);
  static auto* const pool = new Pool;  // its threads wait for work until the process ends
  pool->run(count - 1, work, argument);
}

}  // namespace rook::emu::machine
