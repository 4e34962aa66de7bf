// One process at a time changes a store.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "base/error.h"
#include "io/store.h"

namespace rook::io {

StoreLock::StoreLock(const Store& store) {
  std::error_code failure;
  std::filesystem::create_directories(store.root(), failure);
  const std::filesystem::path file = store.root() / "lock";
  // Not deleted afterwards: another process may be about to lock the file that this name led to.
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw Error(
        fmt::format("{}: the store cannot be written: {}", file.string(), std::generic_category().message(errno)));
  while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    const int code = errno;
    std::string holder(32, '\0');
    const ssize_t length = ::read(descriptor_, holder.data(), holder.size());
    holder.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    ::close(descriptor_);
    if (code == EWOULDBLOCK)
      throw Error(fmt::format("{}: another rook{} is changing the store; try again when it is done",
                              store.root().string(), holder.empty() ? "" : fmt::format(" (process {})", holder)));
    throw Error(fmt::format("{}: cannot be locked: {}", file.string(), std::generic_category().message(code)));
  }
  const std::string self = std::to_string(::getpid());
  // Only for the message above: who holds the lock is the system's to say.
  const bool written = ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, self.data(), self.size(), 0) > 0;
  static_cast<void>(written);
  store.sweep();
}

StoreLock::~StoreLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace rook::io
