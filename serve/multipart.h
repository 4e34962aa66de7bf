// Files in a request body: multipart/form-data (RFC 7578), as browsers and `curl -F` send it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rook::serve {

struct Upload {
  std::string_view bytes;  // of the request's body
  std::string name;        // as the client calls the file; may be empty
  bool field = false;      // of a form, like its text boxes: no file, and not said to be a picture
};

bool is_multipart(std::string_view content_type);

// The parts of `body` in their order, empty ones included. Views into `body`.
// Throws Error: no boundary in the content type, a part without an end, a header that is none.
std::vector<Upload> parse_multipart(std::string_view content_type, std::string_view body);

}  // namespace rook::serve
