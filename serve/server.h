// HTTP/1.1 around a Service: sockets, deadlines, limits, a clean stop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "serve/service.h"

namespace rook::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";                     // loopback: nobody else can ask
  int port = 8080;                                    // 0: any that is free
  std::string token = {};                             // asked for by all but the page and /healthz; empty: by none
  int connections = 64;                               // served at a moment; others wait their turn
  std::chrono::milliseconds request_timeout{30'000};  // for all of a request to come, and for its answer to be taken
  std::chrono::milliseconds idle_timeout{15'000};     // between requests of a connection
  // Called after each request, from any thread: "POST /detect", its status, seconds.
  std::function<void(const std::string& what, int status, double seconds)> on_request = {};
};

class Server {
 public:
  // Binds at once: throws Error when the address is taken or not of this machine. The service must outlive the server.
  Server(Service& service, const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  // Serves until stop(); returns when the last request in flight has been answered.
  void run();
  // From any thread, but not from a signal handler. No new connections from here on.
  void stop();

 private:
  class Http;
  std::unique_ptr<Http> http_;
};

}  // namespace rook::serve
