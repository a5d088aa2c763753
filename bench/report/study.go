package report

import (
	"fmt"
	"io"
	"math"
	"time"
)

// Study is a page of many experiments, each with subjects beside each other: its table, and plots that are drawn when it is
// opened.
type Study struct {
	Title, Lead string
	Command     string
	Version     string
	Facts       [][2]string
	Scores      []StudyScore
	Cases       []StudyCase
}

// StudyScore is how many goals a subject met.
type StudyScore struct {
	Name    string
	Met, Of int
}

// StudyCase is one experiment.
type StudyCase struct {
	Name, About string
	Head        string // of the column of the rows' names
	Columns     []string
	Goals       []string // of the columns, "" without one
	Rows        []StudyRow
}

// StudyRow is one subject.
type StudyRow struct {
	Name  string
	Cells []StudyCell
	Plots []Plot
}

// StudyCell is a figure as text, and how it stands to its goal.
type StudyCell struct {
	Text  string
	State CellState
}

// CellState is how a cell stands to its goal.
type CellState uint8

// The states.
const (
	NoGoal CellState = iota
	Met
	Missed
)

// Plot is lines over time.
type Plot struct {
	Title, Unit string
	Step        time.Duration
	Lines       []PlotLine
}

// PlotLine is one of a Plot. Values may be NaN or infinite, which is not drawn.
type PlotLine struct {
	Name   string
	Dash   string // "", "dash" or "dot"
	Values []float64
}

type studyPage struct {
	frame
	Study Study
}

// studyData is a case's plots as page.js takes them.
type studyData struct {
	Rows []studyPlots `json:"rows"`
}

type studyPlots struct {
	Name  string      `json:"name"`
	Plots []studyPlot `json:"plots"`
}

type studyPlot struct {
	Title string      `json:"title"`
	Unit  string      `json:"unit"`
	Step  number      `json:"step"` // seconds
	Lines []studyLine `json:"lines"`
}

type studyLine struct {
	Name   string   `json:"name"`
	Colour string   `json:"colour"`
	Dash   string   `json:"dash"`
	Y      []number `json:"y"`
}

// WriteHTML writes the study as one page; see the function WriteHTML.
func (s Study) WriteHTML(w io.Writer) error {
	p := studyPage{frame: frameOf(s.Title), Study: s}
	for _, c := range s.Cases {
		data := studyData{Rows: []studyPlots{}}
		for _, r := range c.Rows {
			if len(r.Plots) == 0 {
				continue
			}
			row := studyPlots{Name: r.Name}
			for _, plot := range r.Plots {
				row.Plots = append(row.Plots, plot.pack())
			}
			data.Rows = append(data.Rows, row)
		}
		p.Data.Study = append(p.Data.Study, data)
	}
	return writePage(w, "study", p)
}

// pack thins a plot out to what can be seen: of several values the greatest, for a peak is what one looks for.
func (p Plot) pack() studyPlot {
	longest := 0
	for _, l := range p.Lines {
		longest = max(longest, len(l.Values))
	}
	each := max(1, (longest+maxPlotPoints-1)/maxPlotPoints)
	out := studyPlot{Title: p.Title, Unit: p.Unit, Step: number(p.Step.Seconds() * float64(each)), Lines: []studyLine{}}
	for i, l := range p.Lines {
		line := studyLine{Name: l.Name, Colour: fmt.Sprintf("c%d", i%plotColours+1), Dash: l.Dash, Y: []number{}}
		for from := 0; from < len(l.Values); from += each {
			most := math.NaN()
			for _, v := range l.Values[from:min(from+each, len(l.Values))] {
				if math.IsNaN(most) || v > most {
					most = v
				}
			}
			line.Y = append(line.Y, number(most))
		}
		out.Lines = append(out.Lines, line)
	}
	return out
}

// plotColours is how many colours page.css has for lines.
const plotColours = 6
