using Marmot.Hosting.ConsolePages;

namespace Marmot.Relay;

/// <summary>What the console draws of the relay.</summary>
internal static class RelayCharts
{
    public static void Add(IServiceCollection services)
    {
        services.AddSingleton(new ConsoleChart("Connections", "", new ConsoleSeries("connections", "relay_connections", SeriesKind.Value)));
        services.AddSingleton(new ConsoleChart("Events in, by kind", "/s", new ConsoleSeries("", "relay_events_stored_total", SeriesKind.Rate, By: "kind")));
        services.AddSingleton(new ConsoleChart(
            "Events in and out", "/s",
            new ConsoleSeries("accepted", "relay_events_accepted_total", SeriesKind.Rate),
            new ConsoleSeries("duplicate", "relay_events_duplicate_total", SeriesKind.Rate),
            new ConsoleSeries("refused", "relay_events_refused_total", SeriesKind.Rate),
            new ConsoleSeries("delivered", "relay_events_delivered_total", SeriesKind.Rate),
            new ConsoleSeries("queries", "relay_queries_total", SeriesKind.Rate)));
        services.AddSingleton(new ConsoleChart("OK latency (commit)", "ms", new ConsoleSeries("mean", "relay_commit_seconds", SeriesKind.Mean)));
    }
}
