#include "kernels/emu/symbols.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <unordered_set>
#include <vector>

#include "kernels/emu/control.h"

namespace rook::emu {
namespace machine {
namespace {

std::string demangle(const char* symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = status == 0 && text != nullptr ? text : symbol;
  std::free(text);
  return name;
}

template <class T>
bool read_at(std::ifstream& file, std::uint64_t offset, T* items, std::size_t count) {
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(items), static_cast<std::streamsize>(sizeof(T) * count));
  return file.good();
}

// The functions of an ELF file by their address in it. dladdr() knows exported ones only; kernels mostly have internal
// linkage.
std::map<std::uint64_t, std::string> read_functions(const char* path) {
  std::map<std::uint64_t, std::string> functions;
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr header;
  if (!file || !read_at(file, 0, &header, 1) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return functions;
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!read_at(file, header.e_shoff, sections.data(), sections.size())) return functions;
  for (const Elf64_Shdr& section : sections) {
    if ((section.sh_type != SHT_SYMTAB && section.sh_type != SHT_DYNSYM) || section.sh_link >= sections.size())
      continue;
    std::vector<Elf64_Sym> symbols(section.sh_size / sizeof(Elf64_Sym));
    std::vector<char> strings(sections[section.sh_link].sh_size + 1);
    if (!read_at(file, section.sh_offset, symbols.data(), symbols.size()) ||
        !read_at(file, sections[section.sh_link].sh_offset, strings.data(), strings.size() - 1))
      continue;
    for (const Elf64_Sym& symbol : symbols)
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_value != 0 && symbol.st_name < strings.size())
        functions.emplace(symbol.st_value, strings.data() + symbol.st_name);
  }
  return functions;
}

const std::map<std::uint64_t, std::string>& functions_of(const char* path) {
  static std::mutex mutex;
  static auto* const files = new std::map<std::string, std::map<std::uint64_t, std::string>>;
  const std::lock_guard lock(mutex);
  const auto found = files->find(path);
  return found != files->end() ? found->second : files->emplace(path, read_functions(path)).first->second;
}

struct Executed {
  std::mutex mutex;
  std::unordered_set<const void*> functions;
};
Executed& executed() {
  static auto* const all = new Executed;  // also asked when the program ends
  return *all;
}

}  // namespace

std::string kernel_name(const void* function) {
  Dl_info info{};
  if (dladdr(function, &info) != 0 && info.dli_fname != nullptr) {
    const auto address = reinterpret_cast<std::uintptr_t>(function);
    const auto base = reinterpret_cast<std::uintptr_t>(info.dli_fbase);
    // The program's own name may be relative to a folder that it has left.
    const std::map<std::uint64_t, std::string>& functions = functions_of(info.dli_fname);
    const std::map<std::uint64_t, std::string>& own = functions.empty() ? functions_of("/proc/self/exe") : functions;
    for (const std::uintptr_t value : {address - base, address})
      if (const auto found = own.find(value); found != own.end()) return demangle(found->second.c_str());
  }
  return fmt::format("at {}", function);
}

void note_executed(const void* function) {
  const std::lock_guard lock(executed().mutex);
  executed().functions.insert(function);
}

}  // namespace machine

std::vector<std::string> executed_kernels() {
  std::set<std::string> names;
  const std::lock_guard lock(machine::executed().mutex);
  for (const void* function : machine::executed().functions) names.insert(machine::kernel_name(function));
  return {names.begin(), names.end()};
}

}  // namespace rook::emu
