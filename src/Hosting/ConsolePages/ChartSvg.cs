using System.Globalization;
using System.Text;

namespace Marmot.Hosting.ConsolePages;

/// <summary>Draws the lines of a chart as SVG: colours come from the style sheet, so that light and dark pages both have theirs.</summary>
internal static class ChartSvg
{
    private const int Width = 600;
    private const int Height = 160;
    private const int Left = 52; // for the numbers of the axis
    private const int Bottom = 18;
    private const int Colours = 6;

    public static void Write(HtmlWriter html, ConsoleChart chart, IReadOnlyList<(string Label, double[] Values)> lines, bool day)
    {
        var top = Nice(lines.SelectMany(line => line.Values).Where(value => !double.IsNaN(value)).DefaultIfEmpty(0).Max());
        html.Add($"""<figure class="chart"><figcaption>{chart.Title}</figcaption>""");
        html.Add($"""<svg class="plot" viewBox="0 0 {Width} {Height}" role="img" aria-label="{Describe(chart, lines)}">""");
        for (var i = 0; i <= 2; i++)
        {
            var y = Y(top * i / 2, top);
            html.Add($"""<line class="grid" x1="{Left}" x2="{Width}" y1="{y:F1}" y2="{y:F1}"/>""");
            html.Add($"""<text class="axis" x="{Left - 6}" y="{y + 4:F1}" text-anchor="end">{Format(top * i / 2, chart.Unit)}</text>""");
        }

        var (from, middle) = day ? ("24 h ago", "12 h") : ("60 min ago", "30 min");
        html.Add($"""<text class="axis" x="{Left}" y="{Height - 2}">{from}</text>""");
        html.Add($"""<text class="axis" x="{(Left + Width) / 2}" y="{Height - 2}" text-anchor="middle">{middle}</text>""");
        html.Add($"""<text class="axis" x="{Width}" y="{Height - 2}" text-anchor="end">now</text>""");
        for (var i = 0; i < lines.Count; i++)
        {
            html.Add($"""<path class="line c{i % Colours}" d="{Path(lines[i].Values, top)}"/>""");
        }

        html.Add($"""</svg><ul class="legend">""");
        for (var i = 0; i < lines.Count; i++)
        {
            html.Add($"""<li><span class="key c{i % Colours}"></span>{lines[i].Label} <b>{Format(Last(lines[i].Values), chart.Unit)}</b></li>""");
        }

        html.Add($"</ul></figure>");
    }

    /// <summary>A number with its unit, short enough for an axis.</summary>
    internal static string Format(double value, string unit)
    {
        if (double.IsNaN(value))
        {
            return "-";
        }

        var (step, prefixes) = unit == "B" ? (1024.0, new[] { "", "Ki", "Mi", "Gi", "Ti" }) : (1000.0, ["", "k", "M", "G", "T"]);
        var power = 0;
        while (Math.Abs(value) >= step && power < prefixes.Length - 1)
        {
            value /= step;
            power++;
        }

        var digits = value >= 100 || value == Math.Floor(value) ? "0" : value >= 10 ? "0.#" : "0.##";
        return value.ToString(digits, CultureInfo.InvariantCulture) + (unit.Length > 0 && unit != "/s" ? " " : "") + prefixes[power] + unit;
    }

    private static string Describe(ConsoleChart chart, IReadOnlyList<(string Label, double[] Values)> lines) =>
        $"{chart.Title}: " + string.Join(", ", lines.Select(line => $"{line.Label} {Format(Last(line.Values), chart.Unit)}"));

    private static double Last(double[] values) =>
        Array.FindLast(values, value => !double.IsNaN(value)) is var last && values.Any(value => !double.IsNaN(value)) ? last : double.NaN;

    // A gap where nothing is known.
    private static string Path(double[] values, double top)
    {
        var path = new StringBuilder();
        var isOpen = false;
        for (var i = 0; i < values.Length; i++)
        {
            if (double.IsNaN(values[i]))
            {
                isOpen = false;
                continue;
            }

            var x = Left + ((double)(Width - Left) * i / (values.Length - 1));
            path.Append(CultureInfo.InvariantCulture, $"{(isOpen ? 'L' : 'M')}{x:F1} {Y(values[i], top):F1}");
            if (!isOpen)
            {
                path.Append("h0.1"); // a single value is a dot
            }

            isOpen = true;
        }

        return path.ToString();
    }

    private static double Y(double value, double top) => 6 + ((Height - Bottom - 12) * (1 - (value / top)));

    private static double Nice(double value)
    {
        if (value <= 0)
        {
            return 1;
        }

        var power = Math.Pow(10, Math.Floor(Math.Log10(value)));
        foreach (var step in (ReadOnlySpan<double>)[1, 2, 5, 10])
        {
            if (value <= step * power)
            {
                return step * power;
            }
        }

        return value;
    }
}
