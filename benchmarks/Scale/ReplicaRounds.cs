using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Benchmarks.RelayLoad;
using Marmot.TestKit.Servers;
using Npgsql;

namespace Marmot.Benchmarks.Scale;

/// <summary>Ingest, fan-out and queries: embedded, one replica on PostgreSQL, two of them, and two with Redis between them.</summary>
internal sealed class ReplicaRounds(PostgresServer postgres, RedisServer redis, bool quick)
{
    private const int Connections = 8;
    private const int InFlight = 64;

    /// <summary>OKs a second of nostream on two cores as measured when this was written, for machines that have no nostream.</summary>
    private const double KnownNostream = 641;

    private readonly int _events = quick ? 4000 : 20_000;

    public async Task IngestAsync()
    {
        ScaleBenchmark.Title($"ingest, kind 445 of 1 KB, {Connections} connections x {InFlight} in flight, durable OK/s");
        var frames = Events.GroupEvents(_events, 200).Select(Events.EventFrame).ToArray();
        double embedded;
        using (var relay = Start([]))
        {
            embedded = Ingest(frames, relay).PerSecond;
            ScaleBenchmark.Row("embedded", embedded, "events/s");
            ScaleBenchmark.Row("  on disk, an event", DiskBytes(relay.Directory) / (double)frames.Length, "bytes");
        }

        using var nostream = await Nostream.FindAsync(postgres, redis);
        double peer;
        if (nostream is not null)
        {
            nostream.Start();
            (peer, var p50, var p99) = Ingest(frames[..(_events / 10)], nostream);
            ScaleBenchmark.Row("nostream, PostgreSQL and Redis, 2 workers", peer, "events/s", embedded, "embedded", Text(p50, p99));
            nostream.Stop();
        }
        else
        {
            peer = KnownNostream;
            ScaleBenchmark.Row("nostream, known from another run, not measured", peer, "events/s");
        }

        foreach (var (name, count, settings) in await ShapesAsync())
        {
            var relays = Enumerable.Range(0, count).Select(_ => Start(settings)).ToArray();
            var (perSecond, p50, p99) = Ingest(frames, relays);
            ScaleBenchmark.Row(name, perSecond, "events/s", embedded, "embedded",
                Text(p50, p99) + string.Create(CultureInfo.InvariantCulture, $", {perSecond / peer:N1} x nostream"));
            var single = frames.Length / 40;
            var one = PublishLoad.Run(relays[0], Events.GroupEvents(single, 10).Select(Events.EventFrame).ToArray(), 1, 1);
            ScaleBenchmark.Row("  one at a time", one.PerSecond, "events/s", null, "",
                string.Create(CultureInfo.InvariantCulture, $"p50 {one.Latencies.At(0.5):N2} ms"));
            Array.ForEach(relays, relay => relay.Dispose());
            if (count == 1)
            {
                ScaleBenchmark.Row("  on disk, an event",
                    await DatabaseBytesAsync(settings[0]["--Storage:Postgres=".Length..]) / (frames.Length + single), "bytes");
            }
        }
    }

    public async Task FanOutAsync()
    {
        const int Subscribers = 100;
        var events = quick ? 300 : 1500;
        ScaleBenchmark.Title($"fan-out to {Subscribers} subscribers of one group, saturated, deliveries/s; and calm, from send to delivery");
        double embedded;
        using (var relay = Start([]))
        {
            embedded = Deliver("embedded, same process", relay, relay, Subscribers, events, null);
        }

        foreach (var (name, count, settings) in await ShapesAsync())
        {
            using var first = Start(settings);
            using var second = count > 1 ? Start(settings) : null;
            Deliver(count > 1 ? name + ", published on the other" : name, first, second ?? first, Subscribers, events, embedded);
        }
    }

    public async Task QueriesAsync()
    {
        var seconds = quick ? 1.5 : 4;
        ScaleBenchmark.Title("queries to EOSE, 8 connections, queries/s");
        var groups = Enumerable.Range(0, 40).Select(_ => RandomNumberGenerator.GetHexString(64, lowercase: true)).ToArray();
        var events = groups.SelectMany(group => Events.GroupEvents(_events / groups.Length, 1, group)).ToArray();
        var frames = events.Select(Events.EventFrame).ToArray();
        var few = Enumerable.Range(0, events.Length).Where(i => i % (_events / groups.Length) < 100).ToArray(); // of each group; what nostream is given
        var ids = few.Select(i => JsonDocument.Parse(events[i]).RootElement.GetProperty("id").GetString()).ToArray();
        (string Name, Func<int, string> Filter)[] shapes =
        [
            ("#h limit 100", i => $"{{\"kinds\":[445],\"#h\":[\"{groups[i % groups.Length]}\"],\"limit\":100}}"),
            ("20 ids", i => $"{{\"ids\":[{string.Join(',', Enumerable.Range(0, 20).Select(n => $"\"{ids[((i * 20) + n) % ids.Length]}\""))}]}}"),
            ("nothing matches", i => $"{{\"#h\":[\"{i:x64}\"]}}"),
        ];
        var embedded = new double[shapes.Length];
        using (var relay = Start([]))
        {
            PublishLoad.Run(relay, frames, Connections, InFlight);
            for (var s = 0; s < shapes.Length; s++)
            {
                embedded[s] = QueryLoad.Run(relay, Connections, seconds, shapes[s].Filter).PerSecond;
                ScaleBenchmark.Row($"embedded, {shapes[s].Name}", embedded[s], "queries/s");
            }
        }

        if (await Nostream.FindAsync(postgres, redis) is { } nostream)
        {
            using (nostream)
            {
                nostream.Start();
                PublishLoad.Run(nostream, [.. few.Select(i => frames[i])], Connections, InFlight);
                for (var s = 0; s < shapes.Length; s++)
                {
                    var theirs = QueryLoad.Run(nostream, Connections, seconds, shapes[s].Filter);
                    ScaleBenchmark.Row($"nostream, {shapes[s].Name}", theirs.PerSecond, "queries/s", embedded[s], "embedded", P50(theirs.Latencies));
                }
            }
        }

        var database = await postgres.CreateDatabaseAsync();
        using var first = Start([$"--Storage:Postgres={database}"]);
        using var second = Start([$"--Storage:Postgres={database}"]);
        PublishLoad.Run(first, frames, Connections, InFlight);
        for (var s = 0; s < shapes.Length; s++)
        {
            var one = QueryLoad.Run(first, Connections, seconds, shapes[s].Filter);
            ScaleBenchmark.Row($"PostgreSQL, 1 replica, {shapes[s].Name}", one.PerSecond, "queries/s", embedded[s], "embedded", P50(one.Latencies));
            var shape = shapes[s].Filter;
            var both = await Task.WhenAll(new[] { first, second }.Select(relay => Task.Run(() => QueryLoad.Run(relay, Connections / 2, seconds, shape))));
            ScaleBenchmark.Row($"PostgreSQL, 2 replicas, {shapes[s].Name}", both.Sum(r => r.PerSecond), "queries/s", embedded[s], "embedded",
                P50(both[0].Latencies));
        }
    }

    private async Task<List<(string Name, int Count, string[] Settings)>> ShapesAsync() =>
    [
        ("PostgreSQL, 1 replica", 1, [$"--Storage:Postgres={await postgres.CreateDatabaseAsync()}"]),
        ("PostgreSQL, 2 replicas", 2, [$"--Storage:Postgres={await postgres.CreateDatabaseAsync()}"]),
        ("PostgreSQL and Redis, 2 replicas", 2,
            [
                $"--Storage:Postgres={await postgres.CreateDatabaseAsync()}", $"--Cluster:Redis={redis.Endpoint}",
                $"--Cluster:Prefix=bench{Random.Shared.Next(1_000_000)}"
            ]),
    ];

    private static string Text(double p50, double p99) => string.Create(CultureInfo.InvariantCulture, $"OK p50 {p50:N1} ms, p99 {p99:N1} ms");

    // Blocks, not lengths: the log's files are sparse.
    private static double DiskBytes(string folder)
    {
        using var du = Process.Start(new ProcessStartInfo("du", ["-s", "--block-size=1", folder]) { RedirectStandardOutput = true })!;
        return double.Parse(du.StandardOutput.ReadToEnd().Split('\t')[0], CultureInfo.InvariantCulture);
    }

    // Tables and indexes, without the write-ahead log.
    private static async Task<double> DatabaseBytesAsync(string database)
    {
        await using var source = NpgsqlDataSource.Create(database);
        await using var ask =
            source.CreateCommand(
                "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c WHERE c.relnamespace = 'relay'::regnamespace AND c.relkind = 'r'");
        return (long)(await ask.ExecuteScalarAsync())!;
    }

    private static OwnRelay Start(string[] settings)
    {
        var relay = new OwnRelay { ExtraSettings = settings };
        relay.Start();
        return relay;
    }

    private static (double PerSecond, double P50, double P99) Ingest(byte[][] frames, params Peer[] relays)
    {
        var started = Stopwatch.GetTimestamp();
        var results = relays.Select((relay, r) => Task.Run(() =>
            PublishLoad.Run(relay, [.. frames.Where((_, i) => i % relays.Length == r)], Connections / relays.Length, InFlight))).ToArray();
        Task.WaitAll(results);
        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        if (results.Sum(r => r.Result.Accepted) != frames.Length)
        {
            throw new InvalidOperationException("events were refused");
        }

        var all = new Latencies();
        Array.ForEach(results, r => all.AddAll(r.Result.Latencies));
        return (frames.Length / elapsed, all.At(0.5), all.At(0.99));
    }

    private static double Deliver(string name, OwnRelay listenOn, OwnRelay publishOn, int subscribers, int events, double? embedded)
    {
        var group = RandomNumberGenerator.GetHexString(64, lowercase: true);
        using var load = new CrossLoad(listenOn, publishOn, subscribers, group);
        load.Saturate(20);
        var perSecond = load.Saturate(events);
        var calm = load.Calm(40);
        ScaleBenchmark.Row(name, perSecond, "deliveries/s", embedded, "embedded",
            string.Create(CultureInfo.InvariantCulture, $"calm p50 {calm.At(0.5):N2} ms, p99 {calm.At(0.99):N2} ms"));
        return perSecond;
    }

    private static string P50(Latencies latencies) => string.Create(CultureInfo.InvariantCulture, $"p50 {latencies.At(0.5):N2} ms");
}
