using System.Diagnostics;
using System.Globalization;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>All measurements in a row on one relay, then on its peer where there is one; the machine's limits stand first.</summary>
internal static class RelayBenchmark
{
    private const int Rounds = 5;
    private const int WarmUps = 2; // rounds that nobody measures: a relay that has just been started compiles beside its work
    private const double IngestTarget = 0.4;
    private const double SingleTarget = 1.5; // times the disk
    private const double IdleTargetBytes = 12 * 1024;
    private const int ShapeSeconds = 10;
    private const int ShapeMegabytes = 256; // what one address may hold of filters, messages and answers, twice over

    public static int Run(Settings settings)
    {
        Console.WriteLine($"Relay: {Environment.ProcessorCount} cores, client and relay share them");
        if (settings.Only == "storm")
        {
            return Conclude(RunStorms(settings));
        }

        if (settings.Starts.Count > 0)
        {
            return settings.Starts.Sum(StartUps);
        }

        var corpusFile = Path.GetTempFileName();
        try
        {
            var events = Events.GroupEvents(settings.Events, 1000);
            using var corpus = new Corpus(settings.Import, corpusFile);
            var passed = true;

            // 1. The machine.
            var verifies = Limits.VerifiesPerSecond(events);
            Line("limit: Schnorr verifications, all cores", $"{verifies:N0}/s");
            Line("limit: loopback, messages of 1.1 KB", $"{Limits.LoopbackMessagesPerSecond():N0}/s");

            // 2. Ours, then the peer under the same load.
            using (var own = new OwnRelay())
            {
                var fsync = Limits.Fsync(own.Directory);
                Line("limit: write 4 KB and wait for the disk", $"{fsync.TotalMilliseconds:F2} ms, {1 / fsync.TotalSeconds:N0}/s");
                passed &= Measure(own, events, corpus, corpusFile, settings, verifies);
            }

            using var strfry = Strfry.Find();
            if (strfry is null)
            {
                Console.WriteLine("\nstrfry: not on PATH, not measured");
            }
            else
            {
                Measure(strfry, Events.GroupEvents(settings.Events, 1000), corpus, corpusFile, settings, verifies);
            }

            if (settings.Storm)
            {
                passed &= RunStorms(settings);
            }

            return Conclude(passed);
        }
        finally
        {
            File.Delete(corpusFile);
        }
    }

    // docs/decisions/0016: when the index is believed, and when it is built anew.
    private static int StartUps(int count)
    {
        var result = StartLoad.RunAsync(count).GetAwaiter().GetResult();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"\n{count:N0} events, log {result.LogBytes / 1e9:F1} GB, index {result.IndexBytes / 1e9:F1} GB"));
        Line("start-up after a clean stop", $"{result.Clean.TotalSeconds:F2} s");
        Line("start-up after kill -9 beside writes", $"{result.Killed.TotalSeconds:F2} s");
        Line("start-up with the index built anew from the log", $"{result.Rebuilt.TotalSeconds:F1} s, {count / result.Rebuilt.TotalSeconds:N0} events/s");
        return 0;
    }

    private static int Conclude(bool passed)
    {
        Console.WriteLine(passed ? "holds" : "DOES NOT HOLD");
        return passed ? 0 : 1;
    }

    private static bool Measure(
        Peer peer, byte[][] events, Corpus corpus, string corpusFile, Settings settings, double verifies)
    {
        Console.WriteLine($"\n{peer.Name}");
        var ours = peer is OwnRelay;
        var passed = true;

        // 1. Import and start-up.
        if ((settings.Wants("import") || settings.Wants("queries")) && peer.Import(corpusFile) is { } import)
        {
            var rate = settings.Import / import.TotalSeconds;
            Line($"import of {settings.Import:N0} events", $"{rate:N0}/s, {rate / verifies:F2} of the verify limit");
        }

        var start = peer.Start();
        Line("start-up on them, to the first open connection", $"{start.TotalSeconds:F2} s");

        // 2. Writes, deliveries, queries, connections.
        if (settings.Wants("ingest"))
        {
            passed &= Ingest(peer, events, verifies) || !ours;
        }

        if (settings.Wants("fanout"))
        {
            FanOut(peer, 100);
            FanOut(peer, 1000);
        }

        if (settings.Wants("queries"))
        {
            Queries(peer, corpus, settings.Seconds);
        }

        if (settings.Wants("idle"))
        {
            passed &= Idle(peer, settings.Connections) || !ours;
        }

        peer.Stop();
        if (ours && settings.Wants("idle"))
        {
            IdleWithoutShortcut(settings.Connections);
        }

        return passed;
    }

    // Decision 15: what the shortcut before the HTTP server saves.
    private static void IdleWithoutShortcut(int connections)
    {
        using var plain = new OwnRelay { ExtraSettings = ["--Public:Shortcuts=false"] };
        plain.Start();
        var (opened, each, rate) = IdleLoad.Run(plain, connections);
        Line($"the same through the HTTP server, {opened:N0} open", $"{each / 1024:F1} KB each, {rate:N0} opened/s");
        plain.Stop();
    }

    private static bool Ingest(Peer peer, byte[][] events, double verifies)
    {
        // Limit and load alternate, so that a neighbour on the machine slows both; the medians are compared.
        var frames = events.Select(Events.EventFrame).ToArray();
        var share = frames.Length / (Rounds + WarmUps);
        PublishLoad.Run(peer, frames[..(WarmUps * share)], 8, 64);
        var rounds = new List<(double Ratio, PublishLoad.Result Result)>();
        for (var round = WarmUps; round < WarmUps + Rounds; round++)
        {
            var before = Limits.VerifiesPerSecond(events);
            var result = PublishLoad.Run(peer, frames[(round * share)..((round + 1) * share)], 8, 64);
            rounds.Add((result.PerSecond / ((before + Limits.VerifiesPerSecond(events)) / 2), result));
        }

        var (ratio, publish) = rounds.OrderBy(r => r.Ratio).ElementAt(Rounds / 2);
        Line("durable OK, 8 connections x 64 in flight", $"{publish.PerSecond:N0}/s, {ratio:F2} of the verify limit (target {IngestTarget})");
        Line("",
            $"p50 {publish.Latencies.At(0.5):F1} ms, p99 {publish.Latencies.At(0.99):F1} ms, {publish.CpuMicroseconds:F0} us of relay CPU "
                + $"an event, {publish.Accepted:N0} accepted");

        // Disk and load by turns here too, after a thousand that nobody measures: a relay that has just been started has not compiled this way yet.
        PublishLoad.Run(peer, [.. Events.GroupEvents(1000, 10).Select(Events.EventFrame)], 1, 1);
        var single = new List<(double Disk, PublishLoad.Result Result)>();
        for (var turn = 0; turn < 30; turn++)
        {
            var disk = Limits.Fsync(peer.Directory, 50).TotalMilliseconds;
            single.Add((disk, PublishLoad.Run(peer, [.. Events.GroupEvents(100, 10).Select(Events.EventFrame)], 1, 1)));
        }

        var one = single.OrderBy(s => s.Result.Latencies.At(0.5) / s.Disk).ElementAt(single.Count / 2);
        Line("one connection, one event at a time",
            $"{one.Result.PerSecond:N0}/s, p50 {one.Result.Latencies.At(0.5):F2} ms ({one.Result.Latencies.At(0.5) / one.Disk:F2} x the disk's "
                + $"{one.Disk:F2} ms, target {SingleTarget}), p99 {one.Result.Latencies.At(0.99):F2} ms");

        var duplicates = PublishLoad.Run(peer, frames, 8, 64);
        Line("duplicates answered", $"{duplicates.PerSecond:N0}/s, {duplicates.CpuMicroseconds:F0} us of relay CPU each");
        var forged = PublishLoad.Run(peer, [.. Events.GroupEvents(Math.Min(10_000, events.Length), 10).Select(Events.Forge).Select(Events.EventFrame)], 8, 64);
        Line("bad signatures refused", $"{forged.PerSecond:N0}/s, {forged.PerSecond / verifies:F2} of the verify limit, {forged.Accepted} accepted");
        return ratio >= IngestTarget && rounds.TrueForAll(r => r.Result.Accepted == share) && forged.Accepted == 0;
    }

    private static void FanOut(Peer peer, int subscribers)
    {
        var group = new string(subscribers == 100 ? 'a' : 'b', 64);
        using (var all = new FanOutLoad(peer, subscribers, group))
        {
            all.Saturate(20);
            var (perSecond, cpu) = all.Saturate(200_000 / subscribers);
            Line($"fan-out to {subscribers:N0}, saturated", $"{perSecond:N0} deliveries/s, {cpu:F1} us of relay CPU each");
        }

        using var sample = new FanOutLoad(peer, subscribers, group, readEvery: 20);
        var calm = sample.Calm(60, TimeSpan.FromMilliseconds(20));
        Line($"fan-out to {subscribers:N0}, calm, every 20th timed", $"p50 {calm.At(0.5):F2} ms, p99 {calm.At(0.99):F2} ms from the publisher's send");
    }

    private static bool RunStorms(Settings settings)
    {
        var passed = settings.Shape is not null || RunStorm(settings.Connections);
        foreach (var shape in Shape.Names.Where(name => settings.Shape is null || settings.Shape == name))
        {
            passed &= RunShape(shape);
        }

        return passed;
    }

    // A relay of its own with the limits that an operator gets, for each; loopback addresses are counted as others are.
    private static bool RunShape(string shape)
    {
        Console.WriteLine($"\nstorm of one client: {shape}");
        using var peer = new OwnRelay { HasDefaultLimits = true, ExtraSettings = ["--Relay:LimitLoopback=true"] };
        if (shape == "vanish")
        {
            var corpus = Path.GetTempFileName();
            MassVanish.WriteCorpus(corpus);
            peer.Import(corpus);
            File.Delete(corpus);
        }

        peer.Start();
        using var flood = new FloodProcess(peer.EndPoint, shape);
        var result = ShapeStorm.Run(peer.EndPoint, peer.Directory, shape, flood, TimeSpan.FromSeconds(ShapeSeconds), () => peer.ResidentBytes);
        var (quiet, storm) = (result.Quiet.Whole.At(0.99), result.Storm.Whole.At(0.99));
        Line("honest round, p99 (published, delivered, read back)", $"{quiet:F1} ms quiet, {storm:F1} ms in the storm, {result.Slowdown:F2} x (target 2)");
        Parts("OK", r => r.Ok);
        Parts("delivered", r => r.Live);
        Parts("query", r => r.Query);
        Parts("newcomer's first query", r => r.Newcomer);
        Parts("limit: write 4 KB and wait for the disk", r => r.Disk);
        var grown = (result.BytesPeak - result.BytesBefore) / 1_048_576;
        var refused = result.Storm.Refused + result.Quiet.Refused;
        Line(
            $"memory, {flood.Rank}, {result.HostileActs:N0} hostile acts, {refused} honest refused",
            $"{result.BytesBefore / 1_048_576:N0} MB before, {result.BytesPeak / 1_048_576:N0} MB at most, {grown:N0} MB more (target {ShapeMegabytes})");
        return peer.IsAlive && refused == 0 && result.Slowdown <= 2 && grown <= ShapeMegabytes;

        void Parts(string name, Func<HonestRounds, Latencies> part)
        {
            var (before, meanwhile) = (part(result.Quiet), part(result.Storm));
            Line(
                $"  {name}",
                $"p50 {before.At(0.5):F1} -> {meanwhile.At(0.5):F1} ms, p99 {before.At(0.99):F1} -> {meanwhile.At(0.99):F1} ms, "
                    + $"at most {meanwhile.At(1):F1} ms");
        }
    }

    // A relay of its own, which counts loopback addresses as it would others, and whose pings nobody has to answer.
    private static bool RunStorm(int connections)
    {
        Console.WriteLine("\nstorm");
        using var peer = new OwnRelay { ExtraSettings = ["--Relay:LimitLoopback=true", "--Relay:PingInterval=00:05:00"] };
        peer.Start();
        var before = peer.ResidentBytes;
        using var flood = new FloodProcess(peer.EndPoint);
        using var storm = new Storm(peer.EndPoint, StormSize.Full with { Idle = connections }, flood, peer.Directory);
        var result = storm.Run();
        var grown = peer.ResidentBytes - before;
        Line($"{result.IdleOpen:N0} idle, {StormSize.Full.SlowReaders} slow readers, {StormSize.Full.HalfOpen} half-open, four floods, {flood.Rank}",
            $"{result.HostileActs:N0} hostile acts, memory grew by {grown / 1_048_576:N0} MB");
        Line("honest OK",
            $"p50 {result.Quiet.At(0.5):F1} ms quiet, {result.Storm.At(0.5):F1} ms in the storm; {result.Unanswered} refused, {result.IdleLost} idle lost");
        var slowdown = result.Storm.At(0.99) / result.Quiet.At(0.99);
        Line("honest OK, p99", $"{result.Quiet.At(0.99):F1} ms quiet, {result.Storm.At(0.99):F1} ms in the storm, {slowdown:F2} x (target 2)");
        Line("honest OK in the storm's first second", $"p50 {result.Onset.At(0.5):F1} ms, at most {result.Onset.At(1):F1} ms");
        Line("limit: write 4 KB and wait for the disk, p99",
            $"{result.QuietDisk.At(0.99):F1} ms quiet, {result.StormDisk.At(0.99):F1} ms in the storm, "
                + $"{result.StormDisk.At(0.99) / result.QuietDisk.At(0.99):F2} x");
        return peer.IsAlive && result.Unanswered == 0 && result.IdleLost == 0 && slowdown <= 2;
    }

    private static bool Idle(Peer peer, int connections)
    {
        var (opened, each, rate) = IdleLoad.Run(peer, connections);
        Line($"idle connections with a subscription, {opened:N0} open", $"{each / 1024:F1} KB each (target {IdleTargetBytes / 1024:F0}), {rate:N0} opened/s");
        if (opened < connections)
        {
            Line("", $"{connections:N0} were asked for; the file limit ended it");
        }

        return each <= IdleTargetBytes;
    }

    private static void Queries(Peer peer, Corpus corpus, double seconds)
    {
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var author = corpus.Author(0).PublicKey;
        var key = corpus.Author(0);
        (string Name, Func<int, string> Filter, bool Authenticates)[] queries =
        [
            ("#h, limit 100", i => $"{{\"kinds\":[445],\"#h\":[\"{corpus.Groups[i % corpus.Groups.Length]}\"],\"limit\":100}}", false),
            ("#h since, catch-up", i => $"{{\"kinds\":[445],\"#h\":[\"{corpus.Groups[i % corpus.Groups.Length]}\"],\"since\":{now - (28 * 86400)}}}", false),
            ("20 ids", i =>
                $"{{\"ids\":[{string.Join(',', Enumerable.Range(0, 20).Select(k => $"\"{corpus.Ids[((i * 7919) + (k * 104_729)) % corpus.Ids.Count]}\""))}]}}",
                    false),
            ("author and kinds", i => $"{{\"authors\":[\"{corpus.Author(i).PublicKey}\"],\"kinds\":[1,7]}}", false),
            ("#p of gift wraps since", _ => $"{{\"kinds\":[1059],\"#p\":[\"{author}\"],\"since\":{now - (29 * 86400)},\"limit\":15}}", true),
            ("no match", i => $"{{\"kinds\":[445],\"#h\":[\"{i:x64}\"]}}", false),
        ];

        // All of them once before any is measured: the first would else be measured while code is still compiled and pages are first read.
        foreach (var query in queries)
        {
            QueryLoad.Run(peer, 4, seconds / 2, query.Filter, query.Authenticates ? key : null);
        }

        foreach (var query in queries)
        {
            var eight = QueryLoad.Run(peer, 8, seconds, query.Filter, query.Authenticates ? key : null);
            var one = QueryLoad.Run(peer, 1, seconds / 2, query.Filter, query.Authenticates ? key : null);
            Line($"query {query.Name}", eight.Refused
                ? "refused"
                : $"{eight.PerSecond:N0}/s of {eight.EventsPerAnswer:F0} events, p99 {eight.Latencies.At(0.99):F1} ms, {eight.CpuMicroseconds:F0} us of relay "
                    + $"CPU; one connection {one.PerSecond:N0}/s");
        }
    }

    private static void Line(string name, string value) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {name,-52} {value}"));
}
