namespace Marmot.Hosting.Metrics;

/// <summary>One series as it stands.</summary>
/// <param name="Name">As on <c>/metrics</c>.</param>
/// <param name="Labels">As there, without the braces; empty for none.</param>
/// <param name="Value">The value; a counter's total.</param>
public readonly record struct MetricValue(string Name, string Labels, double Value);
