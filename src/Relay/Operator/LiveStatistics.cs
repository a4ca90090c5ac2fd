using System.Globalization;
using Marmot.Hosting.Outgoing;

namespace Marmot.Relay.Operator;

/// <summary>What a running relay says of itself on its admin port, a line at a time.</summary>
internal static class LiveStatistics
{
    /// <summary>Sums of the relay's counters by name, labels folded; other lines are stepped over.</summary>
    public static Dictionary<string, double> Read(string metrics)
    {
        var sums = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var range in metrics.AsSpan().Split('\n'))
        {
            var line = metrics.AsSpan()[range];
            var end = line.IndexOfAny(' ', '{');
            if (end > 0 && line.StartsWith("relay_")
                && double.TryParse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture, out var value))
            {
                var name = line[..end].ToString();
                sums[name] = sums.GetValueOrDefault(name) + value;
            }
        }

        return sums;
    }

    /// <summary>One line: totals, or rates since the line before.</summary>
    public static string Describe(Dictionary<string, double> now, Dictionary<string, double>? before, double seconds)
    {
        string Value(string name)
        {
            var counter = name + "_total";
            var key = now.ContainsKey(counter) ? counter : name;
            var value = now.GetValueOrDefault(key);
            return before is null
                ? value.ToString("F0", CultureInfo.InvariantCulture)
                : ((value - before.GetValueOrDefault(key)) / seconds).ToString("F1", CultureInfo.InvariantCulture) + "/s";
        }

        return string.Create(CultureInfo.InvariantCulture,
            $"connections {now.GetValueOrDefault("relay_connections"):F0}  accepted {Value("relay_events_accepted")}  duplicate "
                + $"{Value("relay_events_duplicate")}  refused {Value("relay_events_refused")}  delivered {Value("relay_events_delivered")}  queries "
                + $"{Value("relay_queries")}  dropped {Value("relay_connections_dropped")}");
    }

    public static async Task RunAsync(Uri admin, int every, TextWriter output, CancellationToken cancel)
    {
        using var client = OutgoingHttp.CreateClient(TimeSpan.FromSeconds(100));
        client.BaseAddress = admin;
        Dictionary<string, double>? before = null;
        do
        {
            var now = Read(await client.GetStringAsync(new Uri("metrics", UriKind.Relative), cancel));
            await output.WriteLineAsync(Describe(now, before, every));
            before = now;
            if (every > 0)
            {
                await Task.Delay(TimeSpan.FromSeconds(every), cancel);
            }
        }
        while (every > 0);
    }
}
