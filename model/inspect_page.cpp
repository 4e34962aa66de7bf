// The page of `rook inspect`.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <iterator>

#include "model/inspect_parts.h"
#include "model/report_html.h"
#include "model/report_parts.h"
#include "model/report_svg.h"

namespace rook {
namespace {

std::string tile(const std::string& value, const std::string& unit, const std::string& label) {
  return fmt::format("<li><b>{}<small> {}</small></b><span>{}</span></li>", value, unit, label);
}

std::string tiles(const Inspection& all) {
  const NetworkFacts& f = all.facts;
  std::string html = "<section><ul class=\"tiles\">";
  html += tile(fmt::format("{}", f.layers.size()), "", "layers");
  html += tile(short_number(static_cast<double>(f.parameters)), "", "parameters");
  html += tile(fmt::format("{:.2f}", f.flops / 1e9), "GFLOP", "a photo");
  html += tile(fmt::format("{:.1f}", f.ms), "ms", fmt::format("forward, {}", name_of(f.compute)));
  html +=
      tile(fmt::format("{:.1f}", static_cast<double>(f.activation_bytes + f.weight_bytes + f.workspace_bytes) / 1e6),
           "MB", "memory");
  if (all.photo) html += tile(fmt::format("{}", all.photo->detections.size()), "", "boxes found");
  return html + "</ul></section>\n";
}

// A number with a bar behind it: its share of the column's greatest.
std::string share_cell(double value, double most, const std::string& text) {
  return fmt::format("<td class=\"share\" style=\"--share:{:.1f}%\">{}</td>", most > 0 ? 100 * value / most : 0.0,
                     value > 0 ? text : "");
}

std::string reads_of(const LayerFacts& layer) {
  std::string reads;
  for (const int input : layer.inputs)
    reads += (reads.empty() ? "" : ", ") + (input < 0 ? std::string("picture") : std::to_string(input));
  return reads;
}

std::string map_figure(const ChannelMap& map, const LayerView& view, const io::Image& photo) {
  const bool exact = std::max(view.maps.shape.w, view.maps.shape.h) <= 104;
  return fmt::format(
      "<figure title=\"channel {0}: {1:.4g} to {2:.4g}\"><img{3} style=\"aspect-ratio:{4}/{5}\" src=\"{6}\" "
      "alt=\"channel {0}\"/><figcaption><b>{0}</b> {1:.2g}..{2:.2g}</figcaption></figure>",
      map.channel, map.low, map.high, exact ? " class=\"exact\"" : "", photo.width, photo.height,
      map_url(map, view.maps.shape));
}

std::string field_figure(const Inspection& all, const LayerView& view) {
  const double w = all.facts.width, h = all.facts.height;
  const Window& sees = view.sees;
  const Shape& shape = view.maps.shape;
  Overlay overlay(*all.photo);
  overlay.spotlight(sees.left / w, sees.top / h, (sees.right + 1) / w, (sees.bottom + 1) / h);
  overlay.box(sees.left / w, sees.top / h, (sees.right + 1) / w, (sees.bottom + 1) / h, "edge k1");
  // A window too small for the eye gets a frame to find it by.
  const double x = (sees.left + sees.right + 1) / (2 * w), y = (sees.top + sees.bottom + 1) / (2 * h);
  constexpr double kSmall = 0.025;
  if (sees.right - sees.left < kSmall * w) overlay.box(x - kSmall, y - kSmall, x + kSmall, y + kSmall, "dashed k1");
  overlay.box(view.column / double(shape.w), view.row / double(shape.h), (view.column + 1) / double(shape.w),
              (view.row + 1) / double(shape.h), "cell k0");
  const bool greatest = view.column == view.maps.column && view.row == view.maps.row;
  return overlay.figure(
      "receptive field",
      fmt::format(
          "Cell {},{}{} and all that it can see: {}x{} of {}x{} pixels; {}x{} away from the edges, a cell every "
          "{:.3g} pixels.",
          view.column, view.row,
          greatest ? fmt::format(", where channel {} has the layer's greatest value {:.3g},", view.maps.channel,
                                 view.maps.greatest)
                   : "",
          sees.right - sees.left + 1, sees.bottom - sees.top + 1, w, h, view.field.width, view.field.height,
          view.field.stride_x));
}

// Bars over layers on a logarithmic axis.
std::string bars(const std::string& title, const std::vector<LayerGradient>& layers,
                 double (*value)(const LayerGradient&), int color) {
  constexpr double kWidth = 520, kHeight = 230, kLeft = 62, kRight = kWidth - 10, kTop = 10, kBottom = kHeight - 40;
  double low = 0, high = 0;
  for (const LayerGradient& layer : layers) {
    const double v = value(layer);
    if (!(v > 0)) continue;
    low = low > 0 ? std::min(low, v) : v;
    high = std::max(high, v);
  }
  if (!(high > 0)) return "";
  low = std::pow(10, std::floor(std::log10(low) - 0.05));
  high *= 1.15;
  const auto y = [&](double v) { return kBottom - (kBottom - kTop) * std::log(v / low) / std::log(high / low); };
  std::string svg;
  for (const double tick : log_ticks(low, high))
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text class=\"end\" x=\"{3}\" "
        "y=\"{4:.1f}\">{5}</text>",
        kLeft, kRight, y(tick), kLeft - 6, y(tick) + 4.5, short_number(tick));
  const double step = (kRight - kLeft) / static_cast<double>(layers.size());
  const std::size_t every = std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(24 / step)));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const double v = value(layers[i]), x = kLeft + step * static_cast<double>(i);
    if (v > 0)
      svg += fmt::format(
          "<rect class=\"s{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>layer {}: "
          "{:.4g}</title></rect>",
          color, x + step * 0.12, y(v), step * 0.76, kBottom - y(v), layers[i].node, v);
    if (i % every == 0)
      svg += fmt::format("<text class=\"middle\" x=\"{:.1f}\" y=\"{}\">{}</text>", x + step / 2, kBottom + 16,
                         layers[i].node);
  }
  return fmt::format(
      "<figure class=\"chart\"><figcaption>{0} <small>logarithmic</small></figcaption><svg role=\"img\" "
      "aria-label=\"{0}\" viewBox=\"0 0 {1} {2}\">{3}<text class=\"middle\" x=\"{4}\" y=\"{5}\">layer</text></svg>"
      "</figure>",
      title, kWidth, kHeight, svg, (kLeft + kRight) / 2, kHeight - 6);
}

}  // namespace

std::string layers_section(const NetworkFacts& facts) {
  LayerFacts most;
  for (const LayerFacts& layer : facts.layers) {
    most.parameters = std::max(most.parameters, layer.parameters);
    most.flops = std::max(most.flops, layer.flops);
    most.bytes = std::max(most.bytes, layer.bytes);
    most.ms = std::max(most.ms, layer.ms);
  }
  std::string html = fmt::format(
      "<section><h2>Layers</h2><p class=\"note\">At {}x{}; bars are shares of the column's greatest. Output: of one "
      "photo. Sees: the pixels of the input behind one cell, away from the edges. {:.1f} MB hold the activations that "
      "live at the same time, {:.1f} MB the weights, {:.1f} MB are scratch.</p><div class=\"scroll\"><table "
      "class=\"layers\"><thead><tr><th class=\"number\">layer</th><th>kind</th><th>reads</th><th>output</th>",
      facts.width, facts.height, static_cast<double>(facts.activation_bytes) / 1e6,
      static_cast<double>(facts.weight_bytes) / 1e6, static_cast<double>(facts.workspace_bytes) / 1e6);
  for (const char* name : {"parameters", "MFLOP", "output, kB", "ms", "sees", "stride"})
    html += fmt::format("<th class=\"number\">{}</th>", name);
  html += "</tr></thead><tbody>";
  for (std::size_t i = 0; i < facts.layers.size(); ++i) {
    const LayerFacts& layer = facts.layers[i];
    html += fmt::format("<tr><th scope=\"row\" class=\"number\">{}</th><td>{}</td><td>{}</td><td>{}x{}x{}</td>", i,
                        escape_html(layer.type), reads_of(layer), layer.output.w, layer.output.h, layer.output.c);
    html += share_cell(static_cast<double>(layer.parameters), static_cast<double>(most.parameters),
                       fmt::format("{}", layer.parameters));
    html += share_cell(layer.flops, most.flops, fmt::format("{:.1f}", layer.flops / 1e6));
    html += share_cell(static_cast<double>(layer.bytes), static_cast<double>(most.bytes),
                       fmt::format("{:.0f}", static_cast<double>(layer.bytes) / 1e3));
    html += share_cell(layer.ms, most.ms, fmt::format("{:.3f}", layer.ms));
    html += fmt::format("<td class=\"number\">{}x{}</td><td class=\"number\">{:.3g}</td></tr>", layer.field.width,
                        layer.field.height, layer.field.stride_x);
  }
  return html + fmt::format(
                    "</tbody><tfoot><tr><th class=\"number\">all</th><td></td><td></td><td></td><td "
                    "class=\"number\">{}</td><td class=\"number\">{:.1f}</td><td></td><td "
                    "class=\"number\">{:.2f}</td><td></td><td></td></tr></tfoot></table></div></section>",
                    facts.parameters, facts.flops / 1e6, facts.ms);
}

std::string photo_section(const Inspection& all) {
  const PhotoInside& photo = *all.photo;
  Overlay overlay(photo);
  for (auto d = photo.detections.rbegin(); d != photo.detections.rend(); ++d) {  // the surest on top
    const Truth box = on_input({d->x, d->y, d->w, d->h, d->cls}, photo, all.facts.width, all.facts.height);
    const std::string text = fmt::format("{} {:.2f}", all.names.at(static_cast<std::size_t>(d->cls)), d->score);
    overlay.box(box, fmt::format("edge k{}", d->cls % kOverlayColors), text);
    overlay.label(box.x - box.w / 2, box.y - box.h / 2, text, d->cls);
  }
  return "<section><h2>What it finds</h2><div class=\"big\">" +
         overlay.figure("the photo with its detections",
                        fmt::format("{}: {}x{} pixels, brought to {}x{} ({}); {} boxes.", escape_html(photo.name),
                                    photo.photo_w, photo.photo_h, all.facts.width, all.facts.height,
                                    to_text(photo.preprocess), photo.detections.size())) +
         "</div></section>";
}

std::string maps_section(const Inspection& all) {
  std::string html =
      "<section><h2>What the layers make of it</h2><p class=\"note\">Of each layer the channels that vary most over "
      "the "
      "photo (by standard deviation), each scaled by itself: its least value<span class=\"scale map\"></span>its "
      "greatest, which stand below it.</p>";
  for (const LayerView& view : all.photo->layers) {
    const LayerFacts& layer = all.facts.layers[static_cast<std::size_t>(view.maps.node)];
    html += fmt::format(
        "<h3>Layer {} [{}]: {}x{}, {} of {} channels{}</h3><div class=\"look\">{}<div class=\"maps\">", view.maps.node,
        escape_html(layer.type), layer.output.w, layer.output.h, view.maps.channels.size(), layer.output.c,
        view.maps.silent ? fmt::format("; {} are the same everywhere", view.maps.silent) : "", field_figure(all, view));
    for (const ChannelMap& map : view.maps.channels) html += map_figure(map, view, all.photo->view);
    html += "</div></div>";
  }
  return html + "</section>";
}

std::string gradients_section(const Inspection& all) {
  if (!all.photo->step) return "";
  const StepGradients& step = *all.photo->step;
  std::vector<LayerGradient> layers;
  std::copy_if(step.layers.begin(), step.layers.end(), std::back_inserter(layers),
               [](const LayerGradient& layer) { return layer.weight > 0; });
  return fmt::format(
             "<section><h2>How the loss pulls</h2><p class=\"note\">One training step on this photo (recipe {}), "
             "without "
             "augmentation and without the update, batch norm over this photo alone: loss {:.3g} (box {:.3g}, "
             "objectness "
             "{:.3g}, classes {:.3g}), norm of the whole gradient {:.3g}.{} Bars that fall off towards the left mean "
             "that the first layers learn little; one that stands out sets where clipping begins.</p><div "
             "class=\"charts\">",
             escape_html(all.photo->rule), step.loss.box + step.loss.objectness + step.loss.classes, step.loss.box,
             step.loss.objectness, step.loss.classes, step.norm,
             step.frozen ? fmt::format(" Layers before {} are frozen.", step.frozen) : "") +
         bars(
             "Norm of the weights' gradient", layers, [](const LayerGradient& l) { return l.gradient; }, 0) +
         bars(
             "Gradient over weights, norms", layers, [](const LayerGradient& l) { return l.ratio(); }, 1) +
         "</div></section>";
}

std::string inspect_html(const Inspection& all) {
  const bool photo = all.photo.has_value();
  std::string html =
      page_begin("Inside " + all.facts.name, photo ? all.source + " on " + all.photo->name : all.source, kInspectStyle);
  if (photo) html += photo_definition(*all.photo);
  html += tiles(all) + graph_section(all) + "\n";
  if (photo)
    html += photo_section(all) + "\n" + heads_section(all) + "\n" + claims_section(all) + "\n" + maps_section(all) +
            "\n" + gradients_section(all) + "\n";
  return html + layers_section(all.facts) + page_end();
}

}  // namespace rook
