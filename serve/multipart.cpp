#include "serve/multipart.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/error.h"

namespace rook::serve {
namespace {

constexpr std::size_t kMostHeader = 8192, kMostBoundary = 70, kMostParts = 4096;  // 70: RFC 2046, 5.1.1

constexpr std::string_view kContentType = "content-type:";

bool same_letter(char a, char b) {
  return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), text.begin(), same_letter);
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The value of `name` among "; name=value; name="quoted \" value"".
std::optional<std::string> parameter(std::string_view text, std::string_view name) {
  std::size_t at = text.find(';');
  while (at != std::string_view::npos && at < text.size()) {
    text = trim(text.substr(at + 1));
    const std::size_t equals = std::min(text.find('='), text.size());
    const std::string_view key = trim(text.substr(0, equals));
    text = trim(text.substr(std::min(equals + 1, text.size())));
    std::string value;
    if (!text.empty() && text.front() == '"') {
      at = 1;
      for (; at < text.size() && text[at] != '"'; ++at) {
        if (text[at] == '\\' && at + 1 < text.size()) ++at;
        value += text[at];
      }
      at = text.find(';', std::min(at, text.size()));
    } else {
      at = std::min(text.find(';'), text.size());
      value = trim(text.substr(0, at));
    }
    if (key.size() == name.size() && starts_with(key, name)) return value;
  }
  return std::nullopt;
}

std::string boundary_of(std::string_view content_type) {
  const std::optional<std::string> boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kMostBoundary)
    throw Error("multipart/form-data: the content type has no boundary of 1 to 70 characters");
  return *boundary;
}

// Reads the headers of a part up to the empty line behind them; `rest` then begins with its bytes.
Upload headers_of(std::string_view& rest) {
  Upload part;
  bool file = false, image = false;
  for (std::size_t read = 0; read <= kMostHeader;) {
    const std::size_t end = rest.substr(0, kMostHeader).find("\r\n");
    if (end == std::string_view::npos) break;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 2);
    read += end + 2;
    if (line.empty()) {
      part.field = !file && !image;
      return part;
    }
    if (line.find(':') == std::string_view::npos)
      throw Error("multipart/form-data: a part has a line that is no header");
    if (starts_with(line, kContentType) && starts_with(trim(line.substr(kContentType.size())), "image/")) image = true;
    if (!starts_with(line, "content-disposition:")) continue;
    if (const auto found = parameter(line, "filename")) {
      part.name = *found;
      file = true;
    }
  }
  throw Error("multipart/form-data: the headers of a part do not end");
}

}  // namespace

bool is_multipart(std::string_view content_type) {
  return starts_with(trim(content_type), "multipart/form-data");
}

std::vector<Upload> parse_multipart(std::string_view content_type, std::string_view body) {
  const std::string delimiter = "\r\n--" + boundary_of(content_type);
  // The first delimiter may stand at the very beginning, without the line break that belongs to it.
  std::string_view rest = body;
  if (rest.substr(0, delimiter.size() - 2) == std::string_view(delimiter).substr(2)) {
    rest.remove_prefix(delimiter.size() - 2);
  } else {
    const std::size_t first = rest.find(delimiter);
    if (first == std::string_view::npos) throw Error("multipart/form-data: the body has no part");
    rest.remove_prefix(first + delimiter.size());
  }
  std::vector<Upload> parts;
  while (rest.substr(0, 2) != "--") {
    if (parts.size() == kMostParts) throw Error("multipart/form-data: there are too many parts");
    if (rest.substr(0, 2) != "\r\n") throw Error("multipart/form-data: a boundary does not end with a line break");
    rest.remove_prefix(2);
    Upload part = headers_of(rest);
    const std::size_t end = rest.find(delimiter);
    if (end == std::string_view::npos)
      throw Error("multipart/form-data: the body was cut off before its last boundary");
    part.bytes = rest.substr(0, end);
    parts.push_back(part);
    rest.remove_prefix(end + delimiter.size());
  }
  return parts;
}

}  // namespace rook::serve
