package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size of a cell of the dashboard's grid, 24 to a row, and of what a panel has around its graph.
const (
	gridColumns = 24
	gridWidth   = 42
	gridHeight  = 24
	panelGap    = 4
	panelTop    = 26
	panelLeft   = 52
	legendLine  = 13
	maxLegend   = 4
)

// panel is one of the dashboard, and what Prometheus has for it.
type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr, LegendFormat string }

	series []series
}

// series is a line of a graph: its values, by time in seconds.
type series struct {
	name   string
	points [][2]float64
}

// highest returns the greatest value, 0 at least.
func (s series) highest() (value float64) {
	for _, point := range s.points {
		value = max(value, point[1])
	}
	return value
}

// graphs draws the panels of a dashboard of Grafana from the last seconds that the Prometheus at an
// address has. Of Grafana's variables it knows those that this project's dashboard uses.
func graphs(out io.Writer, address, dashboard, lasting string) error {
	text, err := os.ReadFile(dashboard)
	if err != nil {
		return err
	}
	var board struct{ Panels []*panel }
	if err := json.Unmarshal(text, &board); err != nil {
		return fmt.Errorf("%s: %w", dashboard, err)
	}
	seconds, err := strconv.Atoi(lasting)
	if err != nil {
		return err
	}

	end := float64(time.Now().Unix())
	from := end - float64(seconds)
	height := 0
	for _, p := range board.Panels {
		height = max(height, p.GridPos.Y+p.GridPos.H)
		for _, target := range p.Targets {
			found, err := queryRange(address, target.Expr, target.LegendFormat, from, end)
			if err != nil {
				return fmt.Errorf("panel %q: %w", p.Title, err)
			}
			p.series = append(p.series, found...)
		}
		// The legend names the first few: those that one sees.
		slices.SortStableFunc(p.series, func(a, b series) int { return cmp.Compare(b.highest(), a.highest()) })
	}

	w := bufio.NewWriter(out)
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d">`+"\n", gridColumns*gridWidth, height*gridHeight)
	fmt.Fprintf(w, `<rect width="100%%" height="100%%" fill="#111217"/><g font-family="sans-serif" font-size="11">`+"\n")
	for _, p := range board.Panels {
		p.write(w, from, end)
	}
	fmt.Fprintln(w, "</g>\n</svg>")
	return w.Flush()
}

// label is a name in braces of a legend's format.
var label = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)

// queryRange asks Prometheus for an expression between two times.
func queryRange(address, expr, legend string, from, end float64) (found []series, err error) {
	expr = strings.NewReplacer("$__rate_interval", "10s", "$job", ".*", "$instance", ".*", "$sink", ".*").Replace(expr)
	resp, err := http.Get(fmt.Sprintf("http://%s/api/v1/query_range?query=%s&start=%.0f&end=%.0f&step=2", address, url.QueryEscape(expr), from, end))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}

	for _, r := range answer.Data.Result {
		s := series{name: label.ReplaceAllStringFunc(legend, func(l string) string { return r.Metric[strings.Trim(l, "{} ")] })}
		for _, pair := range r.Values {
			at, _ := pair[0].(float64)
			word, _ := pair[1].(string)
			if value, err := strconv.ParseFloat(word, 64); err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
				s.points = append(s.points, [2]float64{at, value})
			}
		}
		if len(s.points) > 0 {
			found = append(found, s)
		}
	}
	return found, nil
}

// write draws a panel at its place.
func (p *panel) write(w *bufio.Writer, from, end float64) {
	x, y := p.GridPos.X*gridWidth+panelGap/2, p.GridPos.Y*gridHeight+panelGap/2
	wide, high := p.GridPos.W*gridWidth-panelGap, p.GridPos.H*gridHeight-panelGap
	fmt.Fprintf(w, `<g transform="translate(%d,%d)"><rect width="%d" height="%d" rx="3" fill="#181b1f" stroke="#2c3235"/>`, x, y, wide, high)
	writeText(w, 8, 17, "#d8d9da", "start", p.Title)
	if p.Type == "stat" {
		p.writeStat(w, wide, high)
	} else {
		p.writeGraph(w, wide, high, from, end)
	}
	fmt.Fprintln(w, "</g>")
}

// writeStat draws the last value of the first series.
func (p *panel) writeStat(w *bufio.Writer, wide, high int) {
	value := "no data"
	if len(p.series) > 0 {
		points := p.series[0].points
		value = withUnit(points[len(points)-1][1], p.FieldConfig.Defaults.Unit)
	}
	fmt.Fprintf(w, `<g font-size="28">`)
	writeText(w, wide/2, high/2+20, "#73bf69", "middle", value)
	fmt.Fprint(w, "</g>")
}

// writeGraph draws the lines, the highest value on the left and a legend below.
func (p *panel) writeGraph(w *bufio.Writer, wide, high int, from, end float64) {
	highest := 0.0
	if len(p.series) > 0 {
		highest = p.series[0].highest()
	}
	bottom := high - 10 - legendLine*min(len(p.series), maxLegend)
	for _, part := range []float64{0, 0.5, 1} {
		y := float64(bottom) - part*float64(bottom-panelTop)
		fmt.Fprintf(w, `<path d="M%d %.1fH%d" stroke="#2c3235"/>`, panelLeft, y, wide-8)
		writeText(w, panelLeft-5, int(y)+4, "#8e8e8e", "end", withUnit(part*highest, p.FieldConfig.Defaults.Unit))
	}

	for n, s := range p.series {
		color := palette[1+n%6]
		fmt.Fprintf(w, `<polyline fill="none" stroke="%s" points="`, color)
		for _, point := range s.points {
			across := float64(panelLeft) + (point[0]-from)/(end-from)*float64(wide-8-panelLeft)
			up := point[1] / max(highest, math.SmallestNonzeroFloat64) * float64(bottom-panelTop)
			fmt.Fprintf(w, "%.1f,%.1f ", across, float64(bottom)-up)
		}
		fmt.Fprint(w, `"/>`)
		if n < maxLegend {
			name := s.name
			if n == maxLegend-1 && len(p.series) > maxLegend {
				name += fmt.Sprintf(" and %d more", len(p.series)-maxLegend)
			}
			writeText(w, panelLeft, bottom+legendLine*(n+1), color, "start", name)
		}
	}
}

// writeText writes words at a place.
func writeText(w *bufio.Writer, x, y int, color, anchor, words string) {
	fmt.Fprintf(w, `<text x="%d" y="%d" fill="%s" text-anchor="%s">`, x, y, color, anchor)
	xml.EscapeText(w, []byte(words)) // a Writer of bufio keeps its error
	fmt.Fprint(w, "</text>")
}

// withUnit writes a value in a unit of Grafana, shortly.
func withUnit(value float64, unit string) string {
	suffix := map[string]string{"cps": "/s", "s": " s", "bytes": "B", "percentunit": " %"}[unit]
	if unit == "percentunit" {
		value *= 100
	}
	switch {
	case unit == "s" && value > 0 && value < 1:
		return fmt.Sprintf("%.3g ms", value*1000)
	case value >= 1e6:
		return fmt.Sprintf("%.3gM%s", value/1e6, suffix)
	case value >= 1e4:
		return fmt.Sprintf("%.3gk%s", value/1e3, suffix)
	case value >= 100:
		return fmt.Sprintf("%.0f%s", value, suffix)
	}
	return fmt.Sprintf("%.3g%s", value, suffix)
}
