using System.Globalization;

namespace Marmot.Benchmarks.Mls;

/// <summary>Every operation of a group at several sizes, beside ts-mls measured in the same run: milliseconds, how many times faster this library is, and what
/// its public-key operations cost alone.</summary>
internal static class MlsBenchmark
{
    private const double RatioTarget = 10;
    private const double GrowthTarget = 2;
    private const double RestTarget = 10; // us
    private const double JoinTarget = 0.6;

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
        Console.WriteLine(
            "MLS, suite 1, beside ts-mls 2.0.0-rc.10: rounds of both in turn after both have warmed up; medians in ms (sizes in bytes). Ratio = ts-mls / ours "
                + "by the clock, CPU = the same by");
        Console.WriteLine(
            "processor time of all threads, which other work on the machine disturbs less; the better one shall be 10. Limit = ts-mls / the public-key "
                + "operations of libsodium that the row needs,");
        Console.WriteLine(
            "alone and on one core: the ratio of an MLS layer that costs nothing. Only more cores, which add, join and self-update use, can pass it.");
        using var peer = new PeerGroup();
        WarmUp(peer);

        var passed = true;
        foreach (var members in sizes)
        {
            var (own, theirs, limits) = (new Figures(), new Figures(), new Limits());
            for (var turn = 0; turn < Rounds(members) / InTurn(members); turn++)
            {
                for (var i = 0; i < InTurn(members); i++) OwnGroup.Round(members, own);
                for (var i = 0; i < InTurn(members); i++) limits.Round();
                for (var i = 0; i < InTurn(members); i++) peer.Round(members, theirs);
            }
            passed &= Print(members, own, theirs, limits);
        }

        return Settled() && passed ? 0 : 1;
    }

    private static int Rounds(int members) => members >= 1000 ? 3 : members >= 100 ? 12 : 60;

    /// <summary>Small groups many times before it is the other's turn: what comes first after the other finds its data in the caches and the second core
    /// asleep.</summary>
    private static int InTurn(int members) => members >= 100 ? 1 : 20;

    /// <summary>Until both compilers have settled.</summary>
    private static void WarmUp(PeerGroup peer)
    {
        var none = new Figures();
        for (var round = 0; round < 20; round++)
        {
            OwnGroup.Round(40, none);
            for (var i = 0; i < 4; i++) OwnGroup.Round(4, none);
            peer.Round(10, none);
        }
    }

    private static bool Print(int members, Figures own, Figures theirs, Limits limits)
    {
        Console.WriteLine(
            string.Create(CultureInfo.InvariantCulture,
                $"\n{"n = " + members.ToString(CultureInfo.InvariantCulture),-34}{"ours",12}{"ts-mls",12}{"ratio",9}{"CPU",9}{"limit",9}"));
        var passed = true;
        foreach (var (key, name, isBytes) in Rows)
        {
            var (mine, peer) = (own[key], theirs[key]);
            var ratio = peer.Elapsed / mine.Elapsed;
            // A Welcome is what the specification makes it; a state shall not be larger.
            var processor = peer.Processor / mine.Processor;
            var meets = isBytes ? key != "stateBytes" || ratio >= 1 : Math.Max(ratio, processor) >= RatioTarget;
            passed &= meets;
            var limit = limits.Of(key, members) is var alone and > 0 ? (peer.Elapsed / alone).ToString("F1", CultureInfo.InvariantCulture) : "";
            Console.WriteLine(isBytes
                ? string.Create(CultureInfo.InvariantCulture, $"{name,-34}{mine.Elapsed,12:N0}{peer.Elapsed,12:N0}{ratio,9:F1}{(meets ? "" : "   larger")}")
                : string.Create(CultureInfo.InvariantCulture,
                    $"{name,-34}{mine.Elapsed,12:F3}{peer.Elapsed,12:F2}{ratio,9:F1}{processor,9:F1}{limit,9}{(meets ? "" : $"   below {RatioTarget}")}"));
        }

        // What is left beside the signature, by processor time; and how far joining is shared out over the cores.
        var rest = 1000 * (own["decrypt"].Processor - limits.VerifyProcessor);
        var join = own["join"].Elapsed / ((members + 1) * limits.Verify);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"decrypt without its signature check: {rest:F1} us (wanted: at most {RestTarget}); join by the clock: {join:F2} of one core's signature checks "
                + $"(wanted: at most {JoinTarget} on two cores from n = 100)"));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"libsodium alone, us: Ed25519 verify {1000 * limits.Verify:F1}, sign {1000 * limits.Sign:F1}; X25519 key {1000 * limits.Key:F1}, shared secret "
                + $"{1000 * limits.Agree:F1}"));
        return passed;
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
            Console.WriteLine(
                string.Create(CultureInfo.InvariantCulture,
                    $"{name,-34}{small[key].Elapsed,12:F3}{large[key].Elapsed,12:F3}{growth,9:F2}{(meets ? "" : $"   not below {GrowthTarget}")}"));
        }

        return passed;
    }
}
