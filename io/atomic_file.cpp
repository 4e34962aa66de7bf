#include "io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>

#include "base/error.h"

namespace rook::io {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const char* doing, int code) {
  throw Error(
      fmt::format("{}: cannot write the file: {}: {}", file.string(), doing, std::generic_category().message(code)));
}

// An open file that is closed, and deleted unless it was given its final name.
class OutputFile {
 public:
  OutputFile(int descriptor, fs::path path) : descriptor_(descriptor), path_(std::move(path)) {}
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  void write(std::span<const std::byte> bytes, const fs::path& file) {
    // Linux moves at most 0x7ffff000 bytes per call, and any call may move fewer.
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), std::min<std::size_t>(bytes.size(), 1u << 30));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail(file, "write", written < 0 ? errno : EIO);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void sync(const fs::path& file) const {
    if (::fsync(descriptor_) != 0) fail(file, "sync", errno);
  }

  // Some file systems (NFS, quotas) report a failed write only here.
  void close(const fs::path& file) {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (::close(descriptor) != 0) fail(file, "close", errno);
  }

  void rename_to(const fs::path& file) {
    if (::rename(path_.c_str(), file.c_str()) != 0) fail(file, "rename", errno);
    path_.clear();
  }

 private:
  int descriptor_;
  fs::path path_;  // empty: nothing to delete
};

// The name does not contain the final one, so it is never too long. O_EXCL makes it ours even when another machine
// with the same process id writes to the same folder.
OutputFile create_beside(const fs::path& file, const fs::path& folder) {
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0;; ++attempt) {
    const fs::path path = folder / fmt::format(".rook-{}-{}.tmp", ::getpid(), counter++);
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) return {descriptor, path};
    if (errno != EEXIST || attempt == 100) fail(file, "create a temporary file beside it", errno);
  }
}

// Makes the new name durable. Not every file system lets a folder be synced, and the file itself is whole already.
void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

void write_file_atomically(const fs::path& file, std::span<const std::byte> bytes) {
  struct stat found {};
  const bool exists = ::stat(file.c_str(), &found) == 0;
  if (exists && S_ISDIR(found.st_mode)) fail(file, "open", EISDIR);
  if (exists && !S_ISREG(found.st_mode)) {
    const int descriptor = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) fail(file, "open", errno);
    OutputFile device(descriptor, {});
    device.write(bytes, file);
    device.close(file);
    return;
  }
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  OutputFile output = create_beside(file, folder);
  output.write(bytes, file);
  output.sync(file);
  output.close(file);
  output.rename_to(file);
  sync_folder(folder);
}

void write_file_atomically(const fs::path& file, const std::string& text) {
  write_file_atomically(file, std::as_bytes(std::span(text)));
}

void make_folder(const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(fmt::format("{}: cannot be made: {}", folder.string(), failure.message()));
}

}  // namespace rook::io
