// A file of class names, one per line, as darknet's *.names: for `--names`. Data sets, where a name stands for one
// class only, read theirs more strictly (dataset_files.cpp).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rook::io {

// Blank lines at the end are left out, others are an error with file:line. A name may occur twice, as in darknet's
// 9k.names.
std::vector<std::string> read_class_names(const std::filesystem::path& file);

}  // namespace rook::io
