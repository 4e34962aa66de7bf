#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json_reason.h"
#include "io/atomic_file.h"
#include "io/file_reader.h"

namespace rook::io {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian and are copied as they lie");

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::uint64_t kLengthBytes = 8;                   // the header's length, before the header
constexpr std::uint64_t kHighestHeaderBytes = 100'000'000;  // as the reference implementation has it
constexpr std::uint64_t kAlignment = 8;                     // of the first array in the file

// Bytes of one element, 0 for a dtype that is unknown.
std::uint64_t element_bytes(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "U8" || dtype == "I8" || dtype == "BOOL") return 1;
  return 0;
}

// As JSON, so that whatever a damaged file has for a name stays on one line.
std::string quoted(const std::string& name) {
  return nlohmann::json(name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Error fault_in(const std::string& file, const std::string& tensor, const std::string& what) {
  return Error(fmt::format("{}: tensor {}: {}", file, quoted(tensor), what));
}

// Bytes an array of this dtype and shape takes; throws what is wrong with either, or when the product overflows.
std::uint64_t array_bytes(const std::string& file, const std::string& tensor, const std::string& dtype,
                          const std::vector<std::int64_t>& shape) {
  std::uint64_t bytes = element_bytes(dtype);
  if (bytes == 0) throw fault_in(file, tensor, fmt::format("unknown dtype {}", quoted(dtype)));
  for (const std::int64_t extent : shape) {
    if (extent < 0) throw fault_in(file, tensor, fmt::format("negative extent {} in its shape", extent));
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) {
      throw fault_in(file, tensor, "its shape has more bytes than 64 bits can count; the header is damaged");
    }
  }
  return bytes;
}

// ---- reading
// ---------------------------------------------------------------------------------------------------------

// One array as the header announces it; offsets count from the end of the header.
struct Entry {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

struct Header {
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;  // in the order of their data: entries[0] begins at 0
};

// Parses JSON and refuses what nlohmann-json lets pass: duplicate keys (the last would win), a NUL (would end the
// text), a byte order mark, and nesting deeper than a header has.
nlohmann::json parse_json(const std::string& text, const std::string& file) {
  using Json = nlohmann::json;
  if (text.empty() || text.front() != '{' || text.find('\0') != std::string::npos) {
    throw Error(fmt::format("{}: not a safetensors file (its header is no JSON object)", file));
  }
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 3) throw Error(fmt::format("{}: its header is nested too deeply for a safetensors file", file));
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw Error(fmt::format("{}: its header has the key {} twice", file, quoted(parsed.get<std::string>())));
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::parse_error& error) {
    throw Error(fmt::format("{}: its header is no JSON from byte {} on; damaged, or not a safetensors file", file,
                            kLengthBytes + error.byte));
  } catch (const Json::exception&) {
    throw Error(fmt::format("{}: its header is no JSON rook can read; damaged, or not a safetensors file", file));
  }
}

std::map<std::string, std::string> metadata_of(const nlohmann::json& value, const std::string& file) {
  if (!value.is_object()) throw Error(fmt::format("{}: {} is no JSON object", file, kMetadataKey));
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) throw Error(fmt::format("{}: metadata {} is no string", file, quoted(key)));
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

std::uint64_t unsigned_of(const nlohmann::json& value, const Entry& entry, const std::string& file, const char* where) {
  if (!value.is_number_unsigned()) {
    throw fault_in(file, entry.name, fmt::format("{} in its {} is no whole number >= 0", value.dump(), where));
  }
  return value.get<std::uint64_t>();
}

Entry entry_of(const std::string& name, const nlohmann::json& value, const std::string& file) {
  Entry entry;
  entry.name = name;
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets")) {
    throw fault_in(file, name, "its entry in the header must have dtype, shape and data_offsets, and nothing else");
  }
  if (!value["dtype"].is_string()) throw fault_in(file, name, "its dtype is no string");
  entry.dtype = value["dtype"].get<std::string>();
  if (!value["shape"].is_array()) throw fault_in(file, name, "its shape is no array");
  for (const nlohmann::json& extent : value["shape"]) {
    const std::uint64_t count = unsigned_of(extent, entry, file, "shape");
    if (!std::in_range<std::int64_t>(count)) throw fault_in(file, name, fmt::format("extent {} is too large", count));
    entry.shape.push_back(static_cast<std::int64_t>(count));
  }
  const nlohmann::json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) throw fault_in(file, name, "its data_offsets are no two numbers");
  entry.begin = unsigned_of(offsets[0], entry, file, "data_offsets");
  entry.end = unsigned_of(offsets[1], entry, file, "data_offsets");
  const std::uint64_t bytes = array_bytes(file, name, entry.dtype, entry.shape);
  if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
    throw fault_in(file, name,
                   fmt::format("data_offsets [{}, {}] do not fit the {} bytes of its dtype and shape", entry.begin,
                               entry.end, bytes));
  }
  return entry;
}

// The arrays must cover the bytes after the header one after the other, without gap, overlap or rest.
void check_coverage(std::vector<Entry>& entries, std::uint64_t data_bytes, const std::string& file) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      throw fault_in(file, entry.name,
                     fmt::format("its data begin at byte {}, but the array before it ends at {} ({})", entry.begin,
                                 covered, entry.begin < covered ? "overlap" : "gap"));
    }
    if (entry.end > data_bytes) {
      throw fault_in(file, entry.name,
                     fmt::format("its data end at byte {}, but the file has only {} after its header; is it complete?",
                                 entry.end, data_bytes));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    throw Error(fmt::format("{}: {} bytes after the last array belong to none", file, data_bytes - covered));
  }
}

template <class Reader>
Header read_header(Reader& reader) {
  const std::string& file = reader.name();
  if (reader.size() < kLengthBytes) {
    throw Error(fmt::format("{}: {} bytes are too few for a safetensors file; is it complete?", file, reader.size()));
  }
  std::uint64_t length = 0;
  reader.read(std::as_writable_bytes(std::span(&length, 1)));
  if (length > kHighestHeaderBytes || length > reader.size() - kLengthBytes) {
    throw Error(
        fmt::format("{}: not a safetensors file, or not complete (its header should have {} bytes, the file has {})",
                    file, length, reader.size()));
  }
  std::string text(length, '\0');
  reader.read(std::as_writable_bytes(std::span(text)));

  const nlohmann::json json = parse_json(text, file);
  Header header;
  for (const auto& [key, value] : json.items()) {
    if (key == kMetadataKey) {
      header.metadata = metadata_of(value, file);
    } else {
      header.entries.push_back(entry_of(key, value, file));
    }
  }
  check_coverage(header.entries, reader.size() - kLengthBytes - length, file);
  return header;
}

template <class Reader>
SafeTensors read_tensors_from(Reader& reader) {
  Header header = read_header(reader);
  SafeTensors result;
  result.file = reader.name();
  result.metadata = std::move(header.metadata);
  for (Entry& entry : header.entries) {
    SafeTensor tensor{std::move(entry.dtype), std::move(entry.shape), std::vector<std::byte>(entry.end - entry.begin)};
    reader.read(tensor.bytes);
    result.tensors.emplace(std::move(entry.name), std::move(tensor));
  }
  return result;
}

// ---- writing
// ---------------------------------------------------------------------------------------------------------

using Named = std::pair<const std::string, SafeTensor>;

// The order of the arrays in the file: large elements first, so that each array is aligned for its dtype; then by name.
std::vector<const Named*> in_file_order(const SafeTensors& tensors) {
  std::vector<const Named*> order;
  order.reserve(tensors.tensors.size());
  for (const Named& named : tensors.tensors) order.push_back(&named);
  std::stable_sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
    return element_bytes(a->second.dtype) > element_bytes(b->second.dtype);
  });
  return order;
}

// The header's text: metadata, then the arrays by name, padded with spaces so that the data begin aligned.
std::string header_text(const std::string& file, const SafeTensors& tensors, const std::vector<const Named*>& order) {
  std::map<std::string_view, std::pair<std::uint64_t, std::uint64_t>> places;
  std::uint64_t offset = 0;
  for (const Named* named : order) {
    const auto& [name, tensor] = *named;
    const std::uint64_t bytes = array_bytes(file, name, tensor.dtype, tensor.shape);
    if (name == kMetadataKey) throw fault_in(file, name, "this name is taken by the format; choose another");
    if (tensor.bytes.size() != bytes) {
      throw fault_in(file, name, fmt::format("holds {} bytes, its dtype and shape say {}", tensor.bytes.size(), bytes));
    }
    places[name] = {offset, offset + bytes};
    offset += bytes;
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!tensors.metadata.empty()) json[std::string(kMetadataKey)] = tensors.metadata;
  for (const auto& [name, tensor] : tensors.tensors) {
    const auto [begin, end] = places[name];
    json[name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: a name or metadata cannot be written: {}", file, json_reason(error)));
  }
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  if (text.size() > kHighestHeaderBytes) {
    throw Error(fmt::format("{}: its header would have {} bytes, readers take {}; keep less in the metadata", file,
                            text.size(), kHighestHeaderBytes));
  }
  return text;
}

}  // namespace

std::span<const float> SafeTensor::f32() const {
  if (dtype != "F32") throw Error(fmt::format("an array of dtype {} is read as F32; convert it first", dtype));
  if (bytes.size() % sizeof(float) != 0) throw Error(fmt::format("an F32 array cannot have {} bytes", bytes.size()));
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

void SafeTensors::add_f32(const std::string& name, std::vector<std::int64_t> shape, std::span<const float> values) {
  const std::uint64_t needed = array_bytes(file, name, "F32", shape);
  if (needed != values.size_bytes()) {
    throw fault_in(file, name,
                   fmt::format("{} values do not fit its shape of {}", values.size(), needed / sizeof(float)));
  }
  const std::span<const std::byte> bytes = std::as_bytes(values);
  if (!tensors.emplace(name, SafeTensor{"F32", std::move(shape), {bytes.begin(), bytes.end()}}).second) {
    throw fault_in(file, name, "is there already; give each array its own name");
  }
}

const SafeTensor& SafeTensors::at(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    throw fault_in(file, name,
                   fmt::format("is missing (the file has {} arrays); is it of another kind?", tensors.size()));
  }
  return found->second;
}

SafeTensors read_safetensors(const std::filesystem::path& file) {
  FileReader reader(file);
  return read_tensors_from(reader);
}

SafeTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  SpanReader reader(bytes, name);
  return read_tensors_from(reader);
}

std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& file) {
  FileReader reader(file);
  return read_header(reader).metadata;
}

std::vector<std::byte> safetensors_bytes(const SafeTensors& tensors, const std::string& file) {
  const std::vector<const Named*> order = in_file_order(tensors);
  const std::string text = header_text(file, tensors, order);
  std::uint64_t size = kLengthBytes + text.size();
  for (const Named* named : order) size += named->second.bytes.size();

  std::vector<std::byte> bytes;
  bytes.reserve(size);
  const std::uint64_t length = text.size();
  const auto append = [&](std::span<const std::byte> part) { bytes.insert(bytes.end(), part.begin(), part.end()); };
  append(std::as_bytes(std::span(&length, 1)));
  append(std::as_bytes(std::span(text)));
  for (const Named* named : order) append(named->second.bytes);
  return bytes;
}

void write_safetensors(const std::filesystem::path& file, const SafeTensors& tensors) {
  write_file_atomically(file, safetensors_bytes(tensors, file.string()));
}

}  // namespace rook::io
