// The one file that knows cpp-httplib, which parses requests and writes answers. Its own sockets have a time limit for
// each read but none for a request, and no limits for headers and chunked bodies: those are Connection's.
#include "serve/server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "serve/connection.h"

namespace rook::serve {
namespace {

constexpr std::size_t kMostHeaders = std::size_t{64} << 10;  // bytes of the request line and all headers
constexpr std::chrono::seconds kStopGrace{1};                // for requests that are on their way at a stop
constexpr int kBacklog = 511;                                // connections the system holds until they are accepted

using Methods = std::vector<std::string>;

// Where there is something, and for which methods.
const std::map<std::string, Methods>& paths() {
  static const std::map<std::string, Methods> all{{"/", {"GET", "HEAD"}},        {"/healthz", {"GET", "HEAD"}},
                                                  {"/metrics", {"GET", "HEAD"}}, {"/model", {"GET", "HEAD"}},
                                                  {"/detect", {"POST"}},         {"/detect/batch", {"POST"}}};
  return all;
}

// Connection as cpp-httplib wants it.
class ConnectionStream final : public httplib::Stream {
 public:
  explicit ConnectionStream(Connection& connection) : connection_(connection) {}
  bool is_readable() const override { return !connection_.spoilt(); }
  bool is_writable() const override { return true; }  // write() waits
  ssize_t read(char* to, std::size_t size) override { return connection_.read(to, size); }
  ssize_t write(const char* from, std::size_t size) override { return connection_.write(from, size); }
  void get_remote_ip_and_port(std::string&, int&) const override {}  // nobody asks
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return connection_.socket(); }

 private:
  Connection& connection_;
};

// A thread for each connection that is served, made when first needed; more connections wait in a bounded queue, and
// from there on are refused.
class Workers final : public httplib::TaskQueue {
 public:
  using Job = std::function<void()>;
  using Queued = decltype(std::declval<httplib::TaskQueue&>().enqueue(Job()));  // void, or bool since 0.15

  explicit Workers(std::size_t most) : most_(most) {}

  Queued enqueue(Job job) override {
    std::unique_lock lock(mutex_);
    if (jobs_.size() >= kMostWaiting) {
      lock.unlock();
      refusing = true;
      job();
      refusing = false;
      return static_cast<Queued>(true);
    }
    jobs_.push_back(std::move(job));
    if (jobs_.size() > idle_ && threads_.size() < most_) threads_.emplace_back([this] { work(); });
    lock.unlock();
    changed_.notify_one();
    return static_cast<Queued>(true);
  }

  void shutdown() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Whether connections wait for a thread.
  bool crowded() const {
    const std::lock_guard lock(mutex_);
    return !jobs_.empty() && threads_.size() == most_;
  }

  // Of this thread: the connection of its job is to be turned away, for there are too many.
  static thread_local bool refusing;

 private:
  static constexpr std::size_t kMostWaiting = 1024;

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      --idle_;
      if (jobs_.empty()) return;
      const Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

thread_local bool Workers::refusing = false;
thread_local Connection* current = nullptr;  // whose request this thread answers

// The length of a body that is announced, none for a chunked one. Throws Refusal.
std::optional<std::uint64_t> length_of(const httplib::Request& request) {
  const auto encodings = request.get_header_value_count("Transfer-Encoding");
  const auto lengths = request.get_header_value_count("Content-Length");
  if (encodings + lengths == 0) throw Refusal(411, "send the photo with its Content-Length");
  if (encodings + lengths > 1) throw Refusal(400, "the length of the body is stated twice");
  if (encodings == 1) {
    if (request.get_header_value("Transfer-Encoding") != "chunked") throw Refusal(400, "unknown Transfer-Encoding");
    return std::nullopt;
  }
  const std::string text = request.get_header_value("Content-Length");
  constexpr std::size_t kMostDigits = 18;
  if (text.empty() || text.size() > kMostDigits || text.find_first_not_of("0123456789") != std::string::npos)
    throw Refusal(400, "Content-Length is no number of bytes");
  return std::stoull(text);
}

}  // namespace

class Server::Http final : public httplib::Server {
 public:
  Http(Service& service, const ServerOptions& options) : service_(service), options_(options) {
    new_task_queue = [this] { return workers_ = new Workers(static_cast<std::size_t>(options_.connections)); };
    set_tcp_nodelay(true);
    // Not the library's SO_REUSEPORT: two servers would share a port without a word.
    set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    add_handlers();
    bind();
  }

  int port() const { return port_; }

  void serve() {
    entered_ = true;
    if (!stopping_) listen_after_bind();
    left_ = true;
  }

  void drain() {
    read_by_ = Connection::Clock::now() + kStopGrace;
    stopping_ = true;
    service_.drain();
    // The library's stop() does nothing until its loop has begun.
    while (entered_ && !left_ && !is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    httplib::Server::stop();
  }

 private:
  void bind() {
    port_ = options_.port == 0                           ? bind_to_any_port(options_.host)
            : bind_to_port(options_.host, options_.port) ? options_.port
                                                         : -1;
    if (port_ <= 0)
      throw Error(
          fmt::format("{}:{}: cannot be listened on; is another server there? take another --port, or a --host "
                      "of this machine",
                      options_.host, options_.port));
    ::listen(svr_sock_, kBacklog);  // the library's 5 make clients wait seconds for a connection
  }

  void add_handlers() {
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      try {
        check(request);
        return HandlerResponse::Unhandled;
      } catch (const Refusal& refusal) {
        // The body stays unread.
        current->spoil();
        put(error_reply(refusal.status(), refusal.what()), response);
        if (refusal.status() == 405) response.set_header("Allow", fmt::format("{}", paths().at(request.path).front()));
        return HandlerResponse::Handled;
      }
    });
    const auto get = [this](const char* path, auto make) {
      Get(path, [make](const httplib::Request&, httplib::Response& response) { put(make(), response); });
    };
    get("/", [] {
      return Reply{.type = "text/html; charset=utf-8",
                   .body = kPage,
                   .headers = {{"Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src "
                                "blob: data:; connect-src 'self'; form-action 'none'; base-uri 'none'"}}};
    });
    get("/healthz", [this] { return service_.health(); });
    get("/metrics", [this] { return service_.metrics_text(open_); });
    get("/model", [this] { return service_.model(); });
    for (const bool batch : {false, true})
      Post(batch ? "/detect/batch" : "/detect",
           [this, batch](const httplib::Request& request, httplib::Response& response,
                         const httplib::ContentReader& reader) { detect(request, response, reader, batch); });
    // What the library refuses itself (a line that is no request, say) in the form of all errors.
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      if (current) current->spoil();
      const int status = current && current->timed_out() ? 408 : current && current->too_long() ? 431 : response.status;
      put(error_reply(status, status == 408   ? "the request did not come in time"
                              : status == 431 ? "the headers are too long"
                                              : "this is not a request that can be answered"),
          response);
    });
    // The answer is complete and about to be written.
    set_post_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      if (answered_) answered_(request, response);
    });
    set_exception_handler([](const httplib::Request&, httplib::Response& response, const auto& failure) {
      put(error_reply(500, message_of(failure)), response);
    });
  }

  static std::string message_of(const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      return error.what();
    } catch (...) {
      return "unknown";
    }
  }

  static void put(const Reply& reply, httplib::Response& response) {
    response.status = reply.status;
    response.set_content(reply.body, reply.type);
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_header("Cache-Control", "no-store");
    for (const auto& [name, value] : reply.headers) response.set_header(name, value);
    if (current && current->spoilt()) response.set_header("Connection", "close");
  }

  // Before anything of the body is read. Throws Refusal.
  void check(const httplib::Request& request) {
    const auto path = paths().find(request.path);
    if (path == paths().end()) throw Refusal(404, "there is nothing here; look at /");
    const Methods& methods = path->second;
    if (std::find(methods.begin(), methods.end(), request.method) == methods.end())
      throw Refusal(405, fmt::format("{} is not for {}", request.path, request.method));
    const bool open = request.path == "/" || request.path == "/healthz";
    if (!options_.token.empty() && !open && !token_matches(request.get_header_value("Authorization"), options_.token))
      throw Refusal(401, "send the server's token: Authorization: Bearer TOKEN");
    if (methods.front() == "GET") {
      if (request.has_header("Content-Length") || request.has_header("Transfer-Encoding")) current->spoil();
      return;
    }
    const std::size_t most = service_.options().max_bytes;
    if (const auto length = length_of(request); length && *length > most) throw too_large();
    if (request.has_header("Content-Encoding") && request.get_header_value("Content-Encoding") != "identity")
      throw Refusal(415, "photos are taken as they are, without Content-Encoding");
    // Chunks bring their own lines, at worst as many bytes as the body has.
    current->allow(2 * most + kMostHeaders);
  }

  Refusal too_large() const {
    return Refusal(413, fmt::format("the body is larger than {} bytes", service_.options().max_bytes));
  }

  void detect(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader,
              bool batch) {
    try {
      const std::size_t most = service_.options().max_bytes;
      std::string body;
      bool large = false;
      const bool whole = reader([&](const char* bytes, std::size_t size) {
        large = size > most - body.size();
        if (!large) body.append(bytes, size);
        return !large;
      });
      if (!whole) {
        current->spoil();
        if (large) throw too_large();
        throw current->timed_out() ? Refusal(408, "the body did not come in time")
                                   : Refusal(400, "the body is not whole");
      }
      const std::vector<Parameter> query(request.params.begin(), request.params.end());
      put(service_.detect(request.get_header_value(kContentType), body, query, batch), response);
    } catch (const Refusal& refusal) {
      put(error_reply(refusal.status(), refusal.what()), response);
    } catch (const std::exception& error) {
      put(error_reply(500, error.what()), response);
    }
  }

  // One connection from its first request to its last; called by the library on a thread of Workers.
  bool process_and_close_socket(socket_t socket) override {
    Connection connection(socket, read_by_);
    if (Workers::refusing) {
      constexpr std::string_view kBusy =
          "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
      connection.begin_answer(std::chrono::milliseconds(0));
      ::send(socket, kBusy.data(), kBusy.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      return true;
    }
    ++open_;
    ConnectionStream stream(connection);
    const auto leave = [this] { return stopping_ || workers_->crowded(); };
    while (connection.wait_for_request(options_.idle_timeout, leave) && serve_one(connection, stream)) {
    }
    --open_;
    return true;
  }

  // Whether the connection may bring another request.
  bool serve_one(Connection& connection, ConnectionStream& stream) {
    const auto start = std::chrono::steady_clock::now();
    connection.begin(options_.request_timeout, kMostHeaders);
    current = &connection;
    std::string what, path = "other";
    int status = 0;
    answered_ = [&](const httplib::Request& request, const httplib::Response& response) {
      status = response.status;
      what = request.method + " " + request.path;
      if (paths().contains(request.path)) path = request.path;
      connection.begin_answer(options_.request_timeout);
    };
    // Only who was told that the connection ends may find it ended: others get to send one more request.
    const bool last = stopping_;
    bool closed = false;
    const bool good = process_request(stream, last, closed, [](httplib::Request& request) {
      // Read here rather than by the library: its multipart parser matches headers with std::regex, whose depth is that
      // of their length; nor is there anything to compress or to cut into ranges.
      for (auto [at, end] = request.headers.equal_range("Content-Type"); at != end; ++at)
        request.headers.emplace(kContentType, at->second);
      request.headers.erase("Content-Type");
      request.headers.erase("Accept-Encoding");
      request.ranges.clear();
    });
    current = nullptr;
    if (status > 0) {
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      service_.metrics().request(path, status, seconds);
      if (options_.on_request) options_.on_request(what, status, seconds);
    }
    return good && !closed && !last && !connection.spoilt();
  }

  static constexpr const char* kContentType = "X-Rook-Content-Type";
  // Of this thread: what is to be known of a request when its answer is complete.
  static thread_local std::function<void(const httplib::Request&, const httplib::Response&)> answered_;

  Service& service_;
  const ServerOptions options_;
  Workers* workers_ = nullptr;  // the library deletes it when serve() ends
  int port_ = 0;
  std::atomic<bool> stopping_{false}, entered_{false}, left_{false};
  std::atomic<Connection::Clock::time_point> read_by_{Connection::Clock::time_point::max()};
  std::atomic<int> open_{0};
};

thread_local std::function<void(const httplib::Request&, const httplib::Response&)> Server::Http::answered_;

Server::Server(Service& service, const ServerOptions& options) : http_(std::make_unique<Http>(service, options)) {}

Server::~Server() = default;

int Server::port() const {
  return http_->port();
}

void Server::run() {
  http_->serve();
}

void Server::stop() {
  http_->drain();
}

}  // namespace rook::serve
