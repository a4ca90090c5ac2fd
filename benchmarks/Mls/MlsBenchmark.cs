using System.Globalization;

namespace Marmot.Benchmarks.Mls;

/// <summary>Every operation of a group at several sizes, beside ts-mls measured in the same run: milliseconds, and how many times faster this library is.</summary>
internal static class MlsBenchmark
{
    private const double RatioTarget = 10;
    private const double GrowthTarget = 2;

    private static readonly (string Key, string Name, bool IsBytes)[] Rows = [
        ("generate", "key package generate", false),
        ("create", "create group", false),
        ("add", "add n-1 in one commit", false),
        ("join", "join from Welcome", false),
        ("addOne", "commit add 1 (no path)", false),
        ("processAddOne", "process add commit", false),
        ("update", "self-update commit, fresh tree", false),
        ("processUpdate", "process self-update", false),
        ("encrypt", "app message encrypt 200 B", false),
        ("decrypt", "app message decrypt 200 B", false),
        ("stateBytes", "state size", true),
        ("welcomeBytes", "Welcome size", true),
    ];

    private static readonly (string Key, string Name)[] SettledRows = [
        ("settledUpdate", "self-update commit"),
        ("processSettledUpdate", "process self-update"),
        ("settledRemove", "commit remove 1"),
        ("processSettledRemove", "process remove commit"),
        ("processSettledAdd", "process add commit"),
    ];

    public static int Run(int[] sizes)
    {
        Console.WriteLine("MLS, suite 1, beside ts-mls 2.0.0-rc.10; best rounds in ms (sizes in bytes). Ratio = ts-mls / ours by the clock, CPU = the same by processor time of all threads,");
        Console.WriteLine("which other work on the machine disturbs less. What ts-mls does is awaited one after the other, so its CPU time is mostly its elapsed time.");
        OwnGroup.Measure(40, 3); // until the JIT has settled
        OwnGroup.Measure(4, 30);

        var passed = true;
        foreach (var members in sizes)
        {
            var own = OwnGroup.Measure(members, members >= 1000 ? 5 : members >= 100 ? 9 : 25);
            var peer = PeerGroup.Measure(members, members >= 1000 ? 1 : 3);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"\n{"n = " + members.ToString(CultureInfo.InvariantCulture),-34}{"ours",12}{"ts-mls",12}{"ratio",9}{"CPU",9}"));
            foreach (var (key, name, isBytes) in Rows)
            {
                var ratio = peer[key].Elapsed / own[key].Elapsed;
                var processor = peer[key].Processor / own[key].Processor;
                // A Welcome is what the specification makes it; a state shall not be larger.
                var meets = isBytes ? key != "stateBytes" || ratio >= 1 : Math.Max(ratio, processor) >= RatioTarget;
                passed &= meets;
                Console.WriteLine(isBytes
                    ? string.Create(CultureInfo.InvariantCulture, $"{name,-34}{own[key].Elapsed,12:N0}{peer[key].Elapsed,12:N0}{ratio,9:F1}{(meets ? "" : "   larger")}")
                    : string.Create(CultureInfo.InvariantCulture, $"{name,-34}{own[key].Elapsed,12:F3}{peer[key].Elapsed,12:F2}{ratio,9:F1}{processor,9:F1}{(meets ? "" : $"   below {RatioTarget}")}"));
            }
        }

        return Settled() && passed ? 0 : 1;
    }

    /// <summary>The cost of following a commit where every member has committed once, so that paths are short: it shall grow with log n.</summary>
    private static bool Settled()
    {
        var small = SettledGroup.Measure(100, 50);
        var large = SettledGroup.Measure(1000, 50);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"\n{"settled tree",-34}{"n = 100",12}{"n = 1000",12}{"growth",9}"));
        var passed = true;
        foreach (var (key, name) in SettledRows)
        {
            var growth = large[key].Elapsed / small[key].Elapsed;
            var meets = growth < GrowthTarget || !key.StartsWith("process", StringComparison.Ordinal);
            passed &= meets;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-34}{small[key].Elapsed,12:F3}{large[key].Elapsed,12:F3}{growth,9:F2}{(meets ? "" : $"   not below {GrowthTarget}")}"));
        }

        return passed;
    }
}
