// A library that is looked for when it is first needed, so that the program starts without it.
#pragma once

#include <initializer_list>
#include <string>

namespace rook {

class SharedLibrary {
 public:
  // The first of `files` that can be loaded: names are searched for as the system does (LD_LIBRARY_PATH, ldconfig).
  // Loaded once and never unloaded. Empty names are passed over.
  explicit SharedLibrary(std::initializer_list<const char*> files);

  // Why none could be loaded, in one line; empty when one was.
  const std::string& fault() const { return fault_; }

  // Sets *function to the symbol; where there is none, fault() says so and *function is null.
  template <class Function>
  void find(Function** function, const char* name) {
    *function = reinterpret_cast<Function*>(address(name));
  }

 private:
  void* address(const char* name);

  void* handle_ = nullptr;
  std::string fault_;
};

}  // namespace rook
