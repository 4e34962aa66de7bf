// A client over a real socket that can misbehave: it sends what it is told, when it is told, and reads answers.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace rook::test {

struct Answer {
  int status = 0;  // 0: none came
  std::string head, body;
  bool has(const std::string& line) const { return head.find("\r\n" + line) != std::string::npos; }
  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
};

class Client {
 public:
  explicit Client(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int yes = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  // False when the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void send_no_more() { ::shutdown(socket_, SHUT_WR); }

  // The next answer; status 0 when the server closes or says nothing for 20 seconds.
  Answer read() {
    Answer answer;
    std::size_t head = 0;
    while ((head = unread_.find("\r\n\r\n")) == std::string::npos)
      if (!receive()) return {};
    answer.head = unread_.substr(0, head + 2);
    unread_.erase(0, head + 4);
    const std::size_t at = answer.head.find("Content-Length: ");
    const std::size_t length = at == std::string::npos ? 0 : std::strtoul(answer.head.c_str() + at + 16, nullptr, 10);
    while (unread_.size() < length)
      if (!receive()) return {};
    answer.body = unread_.substr(0, length);
    unread_.erase(0, length);
    answer.status = std::atoi(answer.head.c_str() + 9);
    return answer;
  }
  // Whether the server closes the connection, saying nothing more.
  bool closed() { return unread_.empty() && !receive(); }

  Answer ask(std::string_view request) { return send(request) ? read() : read(); }

 private:
  bool receive() {
    pollfd waited{.fd = socket_, .events = POLLIN, .revents = 0};
    if (::poll(&waited, 1, 20'000) <= 0) return false;
    char bytes[16384];
    const ssize_t got = ::recv(socket_, bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    unread_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  int socket_;
  bool connected_ = false;
  std::string unread_;
};

inline std::string get(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}

inline std::string post(const std::string& path, std::string_view body, const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         headers + "\r\n" + std::string(body);
}

inline std::string multipart(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string body;
  for (const auto& [name, bytes] : files)
    body += "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" + name +
            "\"\r\nContent-Type: image/png\r\n\r\n" + bytes + "\r\n";
  return body + "--XX--\r\n";
}

inline const std::string kMultipart = "Content-Type: multipart/form-data; boundary=XX\r\n";

inline Answer ask(int port, std::string_view request) {
  return Client(port).ask(request);
}

}  // namespace rook::test
