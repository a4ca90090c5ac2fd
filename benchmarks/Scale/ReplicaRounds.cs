using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Marmot.Benchmarks.RelayLoad;
using Marmot.TestKit.Servers;

namespace Marmot.Benchmarks.Scale;

/// <summary>Ingest, fan-out and queries: embedded, one replica on PostgreSQL, two of them, and two with Redis between them.</summary>
internal sealed class ReplicaRounds(PostgresServer postgres, RedisServer redis, bool quick)
{
    private const int Connections = 8;
    private const int InFlight = 64;
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
        }

        var beside = await IngestNostreamAsync(frames);
        foreach (var (name, count, settings) in await ShapesAsync())
        {
            var relays = Enumerable.Range(0, count).Select(_ => Start(settings)).ToArray();
            var (perSecond, p50, p99) = Ingest(frames, relays);
            ScaleBenchmark.Row(name, perSecond, "events/s", embedded, "embedded", string.Create(CultureInfo.InvariantCulture, $"OK p50 {p50:N1} ms, p99 {p99:N1} ms")
                + (beside is { } nostream ? string.Create(CultureInfo.InvariantCulture, $", {perSecond / nostream:N1} x nostream") : ""));
            var single = frames.Length / 40;
            var one = PublishLoad.Run(relays[0], Events.GroupEvents(single, 10).Select(Events.EventFrame).ToArray(), 1, 1);
            ScaleBenchmark.Row("  one at a time", one.PerSecond, "events/s", null, "", string.Create(CultureInfo.InvariantCulture, $"p50 {one.Latencies.At(0.5):N2} ms"));
            Array.ForEach(relays, relay => relay.Dispose());
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
        var frames = groups.SelectMany(group => Events.GroupEvents(_events / groups.Length, 1, group)).Select(Events.EventFrame).ToArray();
        (string Name, Func<int, string> Filter)[] shapes =
        [
            ("#h limit 100", i => $"{{\"kinds\":[445],\"#h\":[\"{groups[i % groups.Length]}\"],\"limit\":100}}"),
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
            ScaleBenchmark.Row($"PostgreSQL, 2 replicas, {shapes[s].Name}", both.Sum(r => r.PerSecond), "queries/s", embedded[s], "embedded", P50(both[0].Latencies));
        }
    }

    // A tenth of the events: it is that much slower.
    private async Task<double?> IngestNostreamAsync(byte[][] frames)
    {
        if (Nostream.Folder is not { } folder)
        {
            Console.WriteLine("  nostream is not here: NOSTREAM names no folder of a built checkout");
            return null;
        }

        using var relay = new Nostream(folder, await postgres.CreateDatabaseAsync(), redis.Port);
        relay.Start();
        var (perSecond, p50, p99) = Ingest(frames[..(frames.Length / 10)], relay);
        ScaleBenchmark.Row("nostream, same PostgreSQL", perSecond, "events/s", null, "", string.Create(CultureInfo.InvariantCulture, $"OK p50 {p50:N1} ms, p99 {p99:N1} ms"));
        return perSecond;
    }

    private async Task<List<(string Name, int Count, string[] Settings)>> ShapesAsync() =>
    [
        ("PostgreSQL, 1 replica", 1, [$"--Storage:Postgres={await postgres.CreateDatabaseAsync()}"]),
        ("PostgreSQL, 2 replicas", 2, [$"--Storage:Postgres={await postgres.CreateDatabaseAsync()}"]),
        ("PostgreSQL and Redis, 2 replicas", 2, [$"--Storage:Postgres={await postgres.CreateDatabaseAsync()}", $"--Cluster:Redis={redis.Endpoint}", $"--Cluster:Name=bench{Random.Shared.Next(1_000_000)}"]),
    ];

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
        ScaleBenchmark.Row(name, perSecond, "deliveries/s", embedded, "embedded", string.Create(CultureInfo.InvariantCulture, $"calm p50 {calm.At(0.5):N2} ms, p99 {calm.At(0.99):N2} ms"));
        return perSecond;
    }

    private static string P50(Latencies latencies) => string.Create(CultureInfo.InvariantCulture, $"p50 {latencies.At(0.5):N2} ms");
}
