"""The page's looks."""

STYLE = """
:root { color-scheme: light; --ink: #222; --soft: #6b6b6b; --line: #e2e2e2; --paper: #fff; --tint: #f6f6f4; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; font-weight: 650; }
h2 { margin: 2.4rem 0 .6rem; font-size: 1.15rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
h3 { margin: 1rem 0 .3rem; font-size: 1rem; font-weight: 600; }
.kind { margin: 0; color: var(--soft); letter-spacing: .04em; text-transform: uppercase; font-size: .75rem; }
.muted { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
p.muted { margin: .3rem 0 .8rem; }
.warning { margin: 1rem 0 0; padding: .7rem 1rem; background: #fff1d6; border-left: 5px solid #d98200; font-weight: 600; }
.reason { color: #8a4b00; font-size: .78rem; font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0 0 .8rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .35rem .6rem; text-align: left; vertical-align: top; }
th { font-weight: 600; font-size: .85rem; }
.figures td { border-top: 1px solid var(--line); font-size: .82rem; color: #444; }
.figures td { line-height: 1.35; }
.figures td:first-child { font-size: .92rem; color: var(--ink); width: 19rem; }
.figures td:nth-child(2) { font-size: .95rem; color: var(--ink); width: 4rem; }
.figures td:nth-child(3) { width: 4rem; }
.figures td:nth-child(4) { width: 15rem; }
.figures td:nth-child(5) { width: 12rem; }
.figures td:nth-child(-n+3) { font-variant-numeric: tabular-nums; }
.figures [title] { cursor: help; }
.group { background: var(--tint); padding-top: .5rem; }
.numbers td { border-top: 1px solid var(--line); font-size: .82rem; font-variant-numeric: tabular-nums; }
.sheet { width: auto; }
.sheet th, .sheet td { padding: 2px; text-align: center; vertical-align: middle; font-size: .8rem; }
.sheet tr > th:first-child { padding-right: .6rem; color: var(--soft); font-weight: 400; white-space: nowrap; }
.sheet img { display: block; width: 9.2rem; height: auto; }
.plot { display: block; width: 100%; max-width: 66rem; height: auto; }
summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
details ol { columns: 4 11rem; font-size: .82rem; }
"""
