namespace Marmot.Hosting.ConsolePages;

/// <summary>A chart of the console; the servers name theirs.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="Unit">Of all its series: empty for a count, <c>/s</c>, <c>ms</c>, <c>B</c>.</param>
/// <param name="Series">Its lines.</param>
public sealed record ConsoleChart(string Title, string Unit, params IReadOnlyList<ConsoleSeries> Series);

/// <summary>One line of a chart, or one for each value of a label.</summary>
/// <param name="Label">Name in the legend; with <paramref name="By"/> the label's value takes its place.</param>
/// <param name="Metric">As on <c>/metrics</c>.</param>
/// <param name="Kind">How a value comes of it.</param>
/// <param name="Where">What the labels must hold, e.g. <c>class="2xx"</c>; empty for all.</param>
/// <param name="By">Label by which it is split; empty for one line.</param>
public sealed record ConsoleSeries(string Label, string Metric, SeriesKind Kind, string Where = "", string By = "");

/// <summary>How a line comes of a metric.</summary>
public enum SeriesKind
{
    /// <summary>A gauge as it stands.</summary>
    Value,

    /// <summary>A counter's growth a second.</summary>
    Rate,

    /// <summary>The mean of a histogram since the sample before, times a thousand: milliseconds of seconds.</summary>
    Mean,
}
