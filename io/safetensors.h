// safetensors files: a JSON header of named arrays and string metadata, then their bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace rook::io {

struct SafeTensor {
  std::string dtype;  // F64 I64 U64  F32 I32 U32  F16 BF16 I16 U16  U8 I8 BOOL
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  std::span<const float> f32() const;  // throws Error when dtype is not F32
};

struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::map<std::string, SafeTensor> tensors;

  void add_f32(const std::string& name, std::vector<std::int64_t> shape, std::span<const float> values);
  const SafeTensor& at(const std::string& name) const;  // throws Error naming the tensor and the file
  std::string file;                                     // what messages name
};

// Checks everything: header length, JSON, dtypes, offsets that overlap or leave gaps, sizes that do not fit the shape.
SafeTensors read_safetensors(const std::filesystem::path& file);
SafeTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name);
// Only the metadata, without reading the arrays.
std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& file);
// The file's bytes; `file` is what messages name.
std::vector<std::byte> safetensors_bytes(const SafeTensors& tensors, const std::string& file);
// Written to a temporary name beside it, synced, renamed: a reader sees the old file or the new one, never a part.
void write_safetensors(const std::filesystem::path& file, const SafeTensors& tensors);

}  // namespace rook::io
