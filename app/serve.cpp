// rook serve: a model as an HTTP API, and a page to try it on.
#include <fmt/format.h>
#include <pthread.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <thread>

#include "app/checks.h"
#include "app/common.h"
#include "base/error.h"
#include "serve/server.h"

namespace rook::app {
namespace {

struct ServeFlags {
  ModelOptions model;
  ComputeOptions compute;
  DetectionOptions detection;
  serve::ServerOptions server;
  int queue = 64, most = 0;
  double max_mb = 32, max_megapixels = 50, timeout_s = 30;
  bool log = false;
};

// SIGINT and SIGTERM end wait() instead of the program, and so does wake(); threads made after this inherit that.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  void wait() const {
    int signal = 0;
    sigwait(&signals_, &signal);
  }
  void wake() const { pthread_kill(waiter_, SIGUSR1); }
  // From here on SIGINT and SIGTERM end the program at once.
  void release() {
    sigdelset(&signals_, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  }

 private:
  sigset_t signals_{};
  pthread_t waiter_ = pthread_self();
};

serve::ServiceOptions service_options(const ServeFlags& o, const Network& network) {
  const DetectorOptions detector = o.detection.detector(network, o.compute);
  return {.batcher = {.detector = detector, .queue = o.queue},
          .defaults = {.conf = detector.threshold,
                       .nms_kind = detector.nms_kind,
                       .nms_threshold = detector.nms_threshold,
                       .most = o.most},
          .max_pixels = static_cast<std::int64_t>(o.max_megapixels * 1e6),
          .max_bytes = static_cast<std::size_t>(o.max_mb * (1 << 20))};
}

void run(ServeFlags& o) {
  StopSignals signals;
  Model model = o.model.read();
  o.detection.apply(model.preprocess);
  const serve::ServiceOptions options = service_options(o, *model.network);
  serve::Service service(model, options);
  o.server.request_timeout = std::chrono::milliseconds(static_cast<std::int64_t>(o.timeout_s * 1e3));
  if (o.log)
    o.server.on_request = [](const std::string& what, int status, double seconds) {
      fmt::print(stderr, "{} {} {:.1f} ms\n", what, status, seconds * 1e3);
    };
  serve::Server server(service, o.server);
  const bool alone = o.server.host == "127.0.0.1" || o.server.host == "::1" || o.server.host == "localhost";
  if (!alone && o.server.token.empty())
    fmt::print(stderr, "rook: --host {} is open to others, and no --token is asked for\n", o.server.host);
  fmt::print("{}: {} classes, {}, batches of up to {}\n", model.source, model.names.size(),
             name_of(options.batcher.detector.compute), options.batcher.detector.batch);
  fmt::print("http://{}:{}/ (a page to try it on; POST photos to /detect); Ctrl-C stops\n", o.server.host,
             server.port());
  std::fflush(stdout);
  std::exception_ptr failure;
  std::thread serving([&] {
    try {
      server.run();
    } catch (...) {
      failure = std::current_exception();
    }
    signals.wake();  // it may have ended by itself
  });
  signals.wait();
  fmt::print("stopping: requests in flight are answered first (Ctrl-C again: at once)\n");
  std::fflush(stdout);
  server.stop();
  signals.release();
  serving.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void add_serve(CLI::App& app) {
  auto o = std::make_shared<ServeFlags>();
  CLI::App* c = app.add_subcommand("serve", "answer photos with boxes over HTTP");
  o->detection.batch = 4;  // two cores have three quarters of their best throughput at 1, all of it at 4
  o->model.add(*c);
  c->add_option("--port", o->server.port, "port; 0: any that is free")->capture_default_str()->check(between(0, 65535));
  c->add_option("--host", o->server.host, "address to listen on; 0.0.0.0 lets other machines in")
      ->capture_default_str();
  c->add_option("--token", o->server.token, "ask clients for it: Authorization: Bearer TOKEN")->envname("ROOK_TOKEN");
  c->add_option("--queue", o->queue, "photos that wait or run at a moment; more are answered with 503")
      ->capture_default_str()
      ->check(between(1, 100000));
  c->add_option("--max", o->most, "boxes per photo, the surest ones (0: all)")
      ->capture_default_str()
      ->check(between(0, 100000));
  c->add_option("--max-mb", o->max_mb, "largest body of a request in MiB")
      ->capture_default_str()
      ->check(between(0.001, 2000.0));
  c->add_option("--max-megapixels", o->max_megapixels, "largest photo")
      ->capture_default_str()
      ->check(between(0.001, 300.0));
  c->add_option("--timeout", o->timeout_s, "seconds a client has to send a request")
      ->capture_default_str()
      ->check(between(0.1, 3600.0));
  c->add_option("--connections", o->server.connections, "clients served at a moment")
      ->capture_default_str()
      ->check(between(1, 4096));
  c->add_flag("--log", o->log, "a line for each request");
  o->detection.add(*c, "best");
  o->compute.add(*c);
  c->footer(
      "Examples:\n  rook serve --model runs/chess\n"
      "  curl --data-binary @photo.jpg 'http://127.0.0.1:8080/detect?conf=0.3'\n"
      "  curl -F a=@one.jpg -F b=@two.jpg http://127.0.0.1:8080/detect/batch\n"
      "GET / is a page, /healthz /metrics /model say how it is doing. docs/serve.md describes all of it.");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
