using System.Globalization;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>What one run measures, and with how much.</summary>
internal sealed record Settings
{
    private static readonly int[] StartEvents = [1_000_000, 10_000_000];

    /// <summary>Pre-signed events of the ingest measurements.</summary>
    public int Events { get; init; } = 60_000;

    /// <summary>Events imported before the start-up and the queries.</summary>
    public int Import { get; init; } = 100_000;

    /// <summary>Idle connections, each with a subscription.</summary>
    public int Connections { get; init; } = 10_000;

    /// <summary>Seconds of each closed-loop measurement.</summary>
    public double Seconds { get; init; } = 3;

    /// <summary>Adds the storm at full size: 10,000 idle subscribers, 200 slow readers, floods, churn and half-open sockets beside honest clients;
    /// then each <see cref="RelayLoad.Shape"/>.</summary>
    public bool Storm { get; init; }

    /// <summary>Start-up times alone, on stores of so many events: after a clean stop, after kill -9, and with the index built anew. Empty for the
    /// other measurements.</summary>
    public IReadOnlyList<int> Starts { get; init; } = [];

    /// <summary>One part alone: <c>import</c>, <c>ingest</c>, <c>fanout</c>, <c>queries</c>, <c>idle</c> or <c>storm</c>; null for all.</summary>
    public string? Only { get; init; }

    /// <summary>Of the storm one <see cref="RelayLoad.Shape"/> alone; null for all of it.</summary>
    public string? Shape { get; init; }

    public bool Wants(string part) => Only is null || Only == part;

    public static bool TryRead(string[] args, out Settings settings)
    {
        settings = new Settings();
        for (var i = 0; i < args.Length; i++)
        {
            var number = i + 1 < args.Length && int.TryParse(args[i + 1], CultureInfo.InvariantCulture, out var value) ? value : -1;
            switch (args[i])
            {
                case "--quick":
                    settings = settings with { Events = 8000, Import = 20_000, Connections = 2000, Seconds = 1 };
                    continue;
                case "--start":
                    settings = settings with { Starts = StartEvents };
                    continue;
                case "--storm":
                    settings = settings with { Storm = true };
                    continue;
                case "--only" when i + 1 < args.Length:
                    settings = settings with { Only = args[i + 1], Storm = settings.Storm || args[i + 1] == "storm" };
                    break;
                case "--shape" when i + 1 < args.Length && RelayLoad.Shape.Names.Contains(args[i + 1]):
                    settings = settings with { Shape = args[i + 1], Only = "storm", Storm = true };
                    break;
                case "--events" when number > 0:
                    settings = settings with { Events = number, Starts = settings.Starts.Count > 0 ? [number] : [] };
                    break;
                case "--import" when number > 0:
                    settings = settings with { Import = number };
                    break;
                case "--connections" when number > 0:
                    settings = settings with { Connections = number };
                    break;
                default:
                    Console.Error.WriteLine(
                        "usage: ./bench relay [--quick] [--events N] [--import N] [--connections N] [--storm] [--start [--events N]] "
                            + $"[--only import|ingest|fanout|queries|idle|storm] [--shape {string.Join('|', RelayLoad.Shape.Names)}]");
                    return false;
            }

            i++;
        }

        return true;
    }
}
