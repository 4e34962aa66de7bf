#include "model/report_parts.h"

namespace rook {

// XHTML-compatible: without '<' and '&'.
const char* const kReportStyle = R"css(
:root{--page:#f6f7f9;--card:#fff;--text:#1b2330;--soft:#5b6675;--line:#dfe3e9;--grid:#e9ecf1;--accent:#2563eb;
--right:37 99 235;--wrong:225 80 20;
--s0:#2563eb;--s1:#ea580c;--s2:#15803d;--s3:#9333ea;--s4:#0e7490;--s5:#b45309;--s6:#db2777;--s7:#475569}
@media (prefers-color-scheme:dark){:root{--page:#11151b;--card:#1a2029;--text:#e7ebf0;--soft:#9aa6b5;--line:#2f3844;
--grid:#28303b;--accent:#6ea8fe;--right:59 115 220;--wrong:205 85 35;
--s0:#6ea8fe;--s1:#fb923c;--s2:#4ade80;--s3:#c084fc;--s4:#22d3ee;--s5:#fbbf24;--s6:#f472b6;--s7:#94a3b8}}
*{box-sizing:border-box}
body{margin:0;padding:2rem clamp(1rem,4vw,3rem) 3rem;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:break-word}
header,main,footer{max-width:1160px;margin:0 auto}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.2rem;margin:0 0 .5rem}
section{margin-top:2rem}
.note,footer{color:var(--soft);font-size:.9rem;margin:.25rem 0 .75rem}
footer{margin-top:2rem}
small{font-size:.75em;font-weight:400;color:var(--soft)}
ul{list-style:none;margin:0;padding:0}
figure{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(7.6rem,1fr));gap:.75rem;margin-bottom:.75rem}
.tiles li,.chart,.pr,.scroll,.pictures figure{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles li{padding:.7rem .9rem}
.tiles b{display:block;font-size:1.6rem;line-height:1.2;white-space:nowrap}
.tiles span{color:var(--soft);font-size:.85rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:.75rem}
.chart{padding:.8rem .9rem .5rem;display:flex;flex-direction:column}
.chart figcaption{font-weight:600}
.chart svg{margin-top:auto}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.85rem;color:var(--soft);margin:.1rem 0 .3rem}
.legend li::before{content:"";display:inline-block;width:1.1em;height:3px;border-radius:2px;margin-right:.4em;
vertical-align:.25em;background:var(--c)}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}
.s4{--c:var(--s4)}.s5{--c:var(--s5)}.s6{--c:var(--s6)}.s7{--c:var(--s7)}
svg{display:block;width:100%;height:auto}
svg text{font-size:13px;fill:var(--soft)}
svg .end{text-anchor:end}
svg .middle{text-anchor:middle}
svg .grid{stroke:var(--grid)}
svg .axis{stroke:var(--soft)}
svg polyline{fill:none;stroke:var(--c);stroke-width:1.5;stroke-linejoin:round}
svg polyline.bold{stroke-width:2.4}
svg polyline.area{fill:var(--s0);fill-opacity:.12;stroke:none}
svg polyline.measured{stroke:var(--soft);stroke-width:1;stroke-opacity:.6}
svg circle{fill:var(--c)}
.prs{display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));gap:.75rem}
.pr{padding:.5rem .6rem .3rem}
.pr figcaption{display:flex;justify-content:space-between;gap:.5rem;font-size:.85rem}
.pr figcaption span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.35rem .75rem;text-align:left;border-top:1px solid var(--grid)}
thead th{border-top:0;color:var(--soft);font-weight:500}
tbody th{font-weight:500}
tfoot th,tfoot td{border-top:2px solid var(--line);font-weight:700}
th.number,td.number{text-align:right;white-space:nowrap}
.classes th:first-child{min-width:8rem;overflow-wrap:anywhere}
.bar{display:flex;align-items:center;gap:.6rem;min-width:9rem}
.bar span{flex:1;height:.6rem;border-radius:3px;background:var(--grid);overflow:hidden}
.bar i{display:block;height:100%;background:var(--accent)}
.bar b{font-weight:inherit;min-width:3rem;text-align:right}
.confusion{width:auto;font-size:.85rem}
.confusion th{white-space:nowrap;max-width:12rem;overflow:hidden;text-overflow:ellipsis}
.confusion tbody th{text-align:right;position:sticky;left:0;background:var(--card);color:var(--soft)}
.confusion thead th{vertical-align:bottom;padding:.6rem .35rem;max-width:none}
.confusion thead span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:9rem;overflow:hidden;
text-overflow:ellipsis;display:inline-block}
.confusion td{min-width:2.4rem;height:2.1rem;padding:.2rem .35rem;text-align:center;border:1px solid var(--grid)}
.confusion td.right{background:rgb(var(--right) / var(--heat))}
.confusion td.wrong{background:rgb(var(--wrong) / var(--heat))}
.confusion td.deep{color:#fff}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));gap:.75rem}
.pictures figure{overflow:hidden}
.pictures img{display:block;width:100%;height:auto}
.pictures figcaption{padding:.5rem .8rem;font-size:.85rem;color:var(--soft)}
.compare td.best{font-weight:700}
.compare th,.compare td{white-space:nowrap}
.beside{display:grid;gap:.75rem;margin-bottom:1rem}
.beside figure{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
.beside img{display:block;width:100%;height:auto}
.beside figcaption{padding:.5rem .8rem;font-size:.85rem;color:var(--soft)}
.key{display:inline-block;width:.8em;height:.8em;border-radius:3px;margin:0 .3em 0 .8em;vertical-align:-.05em}
@media (max-width:44rem){.beside{grid-template-columns:1fr!important}}
.config th{width:30%;min-width:10rem;font-weight:500;color:var(--soft)}
.config th,.config td{overflow-wrap:anywhere}
.config td{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.85rem;white-space:pre-wrap}
.config tr:first-child th,.config tr:first-child td{border-top:0}
)css";

}  // namespace rook
