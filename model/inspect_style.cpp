#include "model/inspect_parts.h"

namespace rook {

// XHTML-compatible: without '<' and '&'.
const char* const kInspectStyle = R"css(
h3{font-size:1rem;margin:1.25rem 0 .4rem}
.k0{--k:#ff5a5f}.k1{--k:#ffd60a}.k2{--k:#3ddc84}.k3{--k:#4db5ff}
.k4{--k:#ff9f0a}.k5{--k:#d58cff}.k6{--k:#5ff0e0}.k7{--k:#ff7ac6}
.store{position:absolute;width:0;height:0}
.shot{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
.shot figcaption{padding:.5rem .8rem;font-size:.85rem;color:var(--soft)}
.big{max-width:46rem}
.shot svg rect,.shot svg path{vector-effect:non-scaling-stroke}
.shot .dim{fill:#05080c;fill-opacity:.55}
.shot .edge{fill:none;stroke:var(--k);stroke-width:2.2}
.shot .dashed{fill:none;stroke:var(--k);stroke-width:1.8;stroke-dasharray:5 4}
.shot .truth{fill:none;stroke:#fff;stroke-width:1.6}
.shot .other{fill:none;stroke:#fff;stroke-opacity:.45;stroke-width:1}
.shot .cell{fill:var(--k);fill-opacity:.6;stroke:#000;stroke-opacity:.5;stroke-width:1}
.shot .cells{fill:none;stroke:#fff;stroke-opacity:.16;stroke-width:1}
.shot .exact{image-rendering:pixelated}
.shot .tag rect{fill:var(--k)}
.shot .tag text{fill:#101418;font-weight:600}
.row{display:grid;gap:.75rem;margin-bottom:.75rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,14rem),1fr))}
.row.three{grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr))}
.look{display:grid;gap:.75rem;grid-template-columns:minmax(0,2fr) minmax(0,3fr);align-items:start}
@media (max-width:56rem){.look{grid-template-columns:1fr}}
.maps{display:grid;gap:.4rem;grid-template-columns:repeat(auto-fill,minmax(5.6rem,1fr))}
.maps figure{background:var(--card);border:1px solid var(--line);border-radius:6px;overflow:hidden}
.maps img{display:block;width:100%}
.maps img.exact{image-rendering:pixelated}
.maps figcaption{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;font-size:.64rem;line-height:1.3;padding:.15rem .25rem .2rem;color:var(--soft)}
.maps figcaption b{color:var(--text);font-weight:600}
.scale{display:inline-block;width:7rem;height:.7em;border-radius:3px;margin:0 .4em;vertical-align:-.05em;
border:1px solid var(--line)}
.scale.heat{background:linear-gradient(90deg,transparent,#be1414,#ff7800,#fff05a)}
.scale.map{background:linear-gradient(90deg,#1c1044,#4f2987,#b5367a,#fb8861,#fcfdbf)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem .9rem}
.graph path{fill:none;stroke:var(--soft);stroke-opacity:.55;stroke-width:1.2}
.graph path.skip{stroke:var(--c);stroke-opacity:.9;stroke-width:1.6}
.graph rect{fill:var(--c);stroke:var(--card);stroke-width:1}
.graph text{font-size:10.5px}
.graph .grid{stroke-dasharray:2 4}
.chart rect{fill:var(--c)}
.layers td{white-space:nowrap}
.layers td.share{text-align:right;background:linear-gradient(90deg,rgb(var(--right) / .3) var(--share),transparent 0)}
.layers td,.layers th{padding:.22rem .6rem}
.warn{border-left:4px solid var(--s1);padding:.4rem .8rem;background:var(--card);border-radius:0 8px 8px 0;margin:.5rem 0}
)css";

}  // namespace rook
