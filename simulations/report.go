package simulations

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

// WriteReport writes one HTML page about a run: what was drawn, what came, and
// plots over time. It needs nothing else to be shown, not even the network.
func WriteReport(out io.Writer, r *Result) error {
	page, err := template.New("report").Parse(reportPage)
	if err != nil {
		return err
	}
	verdict := "nothing was wrong"
	switch {
	case r.Violation != nil:
		verdict = "a promise was broken: " + r.Violation.Rule
	case len(r.Failed) > 0:
		verdict = "an expectation failed"
	case r.Answer != nil && !r.Answer.OK:
		verdict = "the answer is no"
	case r.Answer != nil:
		verdict = "the answer is yes"
	}
	return page.Execute(out, map[string]any{
		"R": r, "OK": r.OK() && (r.Answer == nil || r.Answer.OK), "Verdict": verdict, "Figures": figures(r), "Plots": plots(r), "Knobs": strings.Fields(r.Knobs),
	})
}

type figure struct{ Name, Value string }

func figures(r *Result) []figure {
	share := 100 * float64(r.Served) / float64(max(r.Served+r.Unserved, 1))
	return []figure{
		{"simulated", fmt.Sprintf("%.1f days", r.Simulated/24)},
		{"hosts", strconv.Itoa(r.Hosts)}, {"sites", strconv.Itoa(r.Sites)},
		{"requests served", fmt.Sprintf("%d (%.4f %%)", r.Served, share)},
		{"unserved", strconv.FormatInt(r.Unserved, 10)},
		{"unserved, data out of reach", strconv.FormatInt(r.Dataless, 10)},
		{"without a service", strconv.FormatInt(r.Degraded, 10)},
		{"that woke a DROP", strconv.FormatInt(r.Woken, 10)},
		{"wait beyond PHP, median", fmt.Sprintf("%.1f ms", r.P50MS)},
		{"wait beyond PHP, 99th", fmt.Sprintf("%.1f ms", r.P99MS)},
		{"moves of DROPs", strconv.Itoa(r.Moves)},
		{"commits", strconv.Itoa(r.Commits)},
		{"healed within", fmt.Sprintf("%.0f s", r.Converged)},
		{"trace", r.Hash},
	}
}

// plot is one drawing of 720 by 160 units.
type plot struct {
	Title string
	Top   string // label of the highest value
	Lines []plotLine
	Ticks []tick
}

type plotLine struct {
	Name  string
	Class string
	Path  string
}

type tick struct {
	X    float64
	Text string
}

const plotWidth, plotHeight = 720.0, 140.0

func plots(r *Result) []plot {
	if len(r.Series) == 0 {
		return nil
	}
	series := func(value func(Sample) float64) []float64 {
		values := make([]float64, len(r.Series))
		for i, s := range r.Series {
			values[i] = value(s)
		}
		return values
	}
	type named struct {
		name   string
		values []float64
	}
	draw := func(title, unit string, lines ...named) plot {
		top := 0.0
		for _, l := range lines {
			for _, v := range l.values {
				top = max(top, v)
			}
		}
		p := plot{Title: title, Top: fmt.Sprintf("%.4g%s", top, unit), Ticks: ticks(r)}
		for i, l := range lines {
			p.Lines = append(p.Lines, plotLine{l.name, "line" + strconv.Itoa(i+1), path(r, l.values, top)})
		}
		return p
	}
	return []plot{
		draw("Load: visits a second", "/s", named{"visits", series(func(s Sample) float64 { return s.VisitsS })}),
		draw("Awake DROPs", "", named{"awake", series(func(s Sample) float64 { return float64(s.Awake) })}),
		draw("Time to serve beyond PHP's own work", " ms",
			named{"median", series(func(s Sample) float64 { return s.P50MS })}, named{"99th percentile", series(func(s Sample) float64 { return s.P99MS })}),
		draw("Moves of DROPs", "", named{"moves", series(func(s Sample) float64 { return float64(s.Moves) })}),
		draw("Unserved requests", "", named{"unserved", series(func(s Sample) float64 { return float64(s.Unserved) })},
			named{"served without a database, files or cache", series(func(s Sample) float64 { return float64(s.Degraded) })}),
		draw("Hosts that live", "", named{"hosts", series(func(s Sample) float64 { return float64(s.LiveHosts) })}),
	}
}

// path draws values over time.
func path(r *Result, values []float64, top float64) string {
	last := r.Series[len(r.Series)-1].At
	var b strings.Builder
	for i, v := range values {
		x, y := 0.0, plotHeight
		if last > 0 {
			x = plotWidth * r.Series[i].At / last
		}
		if top > 0 {
			y = plotHeight * (1 - v/top)
		}
		verb := "L"
		if i == 0 {
			verb = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", verb, x, y)
	}
	return b.String()
}

// ticks are at whole hours or days, at most a dozen.
func ticks(r *Result) []tick {
	last := r.Series[len(r.Series)-1].At
	step := 1.0
	for _, hours := range []float64{1, 2, 3, 6, 12, 24, 48, 168, 720, 8760} {
		if step = hours; last/step <= 12 {
			break
		}
	}
	var list []tick
	for at := 0.0; at <= last; at += step {
		text := fmt.Sprintf("%gh", at)
		if step >= 24 || at > 0 && math.Mod(at, 24) == 0 {
			text = fmt.Sprintf("%gd", at/24)
		}
		list = append(list, tick{plotWidth * at / last, text})
	}
	return list
}

const reportPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simulation, seed {{.R.Seed}}</title>
<style>
:root{--ink:#1d2433;--soft:#667085;--page:#fff;--card:#f5f7fa;--line1:#3366cc;--line2:#d9622b;--good:#1a7f4b;--bad:#c0392b}
@media (prefers-color-scheme:dark){:root{--ink:#e8ebf1;--soft:#98a2b3;--page:#14171e;--card:#1e232d;--line1:#7aa2ff;--line2:#ff9f6b;--good:#5fd39a;--bad:#ff8a7a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1rem;margin:2rem 0 .25rem}
.verdict{font-weight:600;color:var(--good)}.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.5rem}
dl div{background:var(--card);border-radius:.5rem;padding:.5rem .75rem}dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-weight:600}
svg{width:100%;height:auto;background:var(--card);border-radius:.5rem}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}path{fill:none;stroke-width:1.5;stroke-linejoin:round}
.line1{stroke:var(--line1);color:var(--line1)}.line2{stroke:var(--line2);color:var(--line2)}.grid{stroke:var(--soft);stroke-opacity:.2}
pre,code{font:12px/1.5 ui-monospace,monospace;background:var(--card);border-radius:.5rem}pre{padding:.75rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.15rem .5rem;border-bottom:1px solid var(--card)}
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-size:.8rem;font-weight:400}
.legend{font-size:.8rem;margin-left:.75rem}
</style></head><body>
<h1>Simulation{{with .R.Scenario}}: {{.}}{{end}}</h1>
<p>Seed {{.R.Seed}}. <span class="verdict{{if not .OK}} bad{{end}}">{{.Verdict}}</span></p>
{{with .R.Violation}}<h2 class="bad">{{.Rule}}, at {{.At}}, position {{.Position}}</h2><p>{{.Text}}</p><pre>{{range .Trace}}{{.}}
{{end}}</pre>{{end}}
{{with .R.Thinned}}<h2>Thinned</h2><ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{with .R.Expected}}<h2>Expected</h2><ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{with .R.Answer}}<h2>What if</h2><p>The cell at position {{.Position}}, {{.Time.UTC.Format "2006-01-02 15:04:05"}}.</p>
<ul>{{range .Lines}}<li>{{.}}</li>{{end}}</ul>
<table><tr><th>host</th><th>DROPs</th><th>after</th><th>memory MiB</th><th>reserved</th><th>awake at most</th><th>with it</th></tr>
{{range .Hosts}}<tr><td>{{.Name}}</td><td>{{.DropsBefore}}</td><td>{{if .Gone}}gone{{else}}{{.Drops}}{{end}}</td><td>{{.MemoryMiB}}</td><td>{{.ReservedMiB}}</td><td>{{.PeakBefore}}</td><td>{{.PeakAwakeMiB}}</td></tr>
{{end}}</table>{{end}}
<dl>{{range .Figures}}<div><dt>{{.Name}}</dt><dd>{{.Value}}</dd></div>{{end}}</dl>
{{range .Plots}}<h2>{{.Title}}{{if gt (len .Lines) 1}}{{range .Lines}}<span class="legend {{.Class}}">{{.Name}}</span>{{end}}{{end}}</h2>
<svg viewBox="-4 -16 736 184" role="img" aria-label="{{.Title}}">
{{range .Ticks}}<line class="grid" x1="{{.X}}" x2="{{.X}}" y1="0" y2="140"/><text x="{{.X}}" y="156">{{.Text}}</text>{{end}}
<text x="0" y="-4">{{.Top}}</text>{{range .Lines}}<path class="{{.Class}}" d="{{.Path}}"/>{{end}}</svg>
{{end}}
<h2>What happened, how often</h2><p>{{range $kind, $n := .R.Happened}}<code>{{$kind}} {{$n}}</code> {{end}}</p>
<h2>Drawn from the seed</h2><p>{{range .Knobs}}<code>{{.}}</code> {{end}}</p>
</body></html>
`
