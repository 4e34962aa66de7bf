#include "kernels/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace rook {

SharedLibrary::SharedLibrary(std::initializer_list<const char*> files) {
  for (const char* file : files) {
    if (*file == '\0') continue;
    handle_ = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle_) {
      fault_.clear();
      return;
    }
    if (fault_.empty())
      fault_ = fmt::format("{} cannot be loaded ({}); name its folder in LD_LIBRARY_PATH", file, dlerror());
  }
}

void* SharedLibrary::address(const char* name) {
  if (!handle_) return nullptr;
  void* const found = dlsym(handle_, name);
  if (!found && fault_.empty())
    fault_ = fmt::format("it has no function {}; its version is not the one expected", name);
  return found;
}

}  // namespace rook
