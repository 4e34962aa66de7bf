#include "engine/arena.h"

namespace rook {

Arena::~Arena() {
  if (memory_) runtime_->release(memory_);
}

void Arena::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  if (memory_) runtime_->release(std::exchange(memory_, nullptr));
  bytes_ = 0;
  memory_ = static_cast<std::byte*>(runtime_->allocate(bytes));
  bytes_ = bytes;
}

}  // namespace rook
