using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Marmot.Benchmarks.RelayLoad;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.Protocol.Encoding;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Benchmarks.Scale;

/// <summary>Claims a second and the way of a message between replicas: in the process, on Redis, on PostgreSQL.</summary>
internal static class ClusterRounds
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);

    public static async Task ClaimsAsync(PostgresServer postgres, RedisServer redis, bool quick)
    {
        ScaleBenchmark.Title("claims/s, each of new work");
        var seconds = quick ? 1.0 : 3.0;
        var database = await postgres.CreateDatabaseAsync();
        (string Name, IClaimLedger Ledger)[] ledgers =
        [
            ("Redis", new RedisLedger(new RedisEndpoint("127.0.0.1", redis.Port), "bench", NullLogger.Instance)),
            ("PostgreSQL", new PostgresLedger(database, NullLogger.Instance)),
        ];
        foreach (var (name, ledger) in ledgers)
        {
            await using (ledger)
            {
                await UntilAsync(() => ledger.IsConnected);
                foreach (var callers in new[] { 1, 64 })
                {
                    await ClaimAsync(ledger, callers, 0.3);
                    var (perSecond, latencies) = await ClaimAsync(ledger, callers, seconds);
                    ScaleBenchmark.Row($"{name}, {callers} caller{(callers > 1 ? "s" : "")}", perSecond, "claims/s", null, "", Times(latencies));
                }
            }
        }
    }

    public static async Task BusAsync(PostgresServer postgres, RedisServer redis, bool quick)
    {
        ScaleBenchmark.Title("messages of 1 KB from one replica to another");
        var database = await postgres.CreateDatabaseAsync();
        var hub = new InProcessHub();
        var endpoint = new RedisEndpoint("127.0.0.1", redis.Port);
        (string Name, Func<IClusterBus> Join)[] buses =
        [
            ("in the process", () => new InProcessBus(hub)),
            ("Redis", () => new RedisBus(endpoint, "bench", NullLogger.Instance)),
            ("PostgreSQL", () => new PostgresBus(database, NullLogger.Instance)),
        ];
        foreach (var (name, join) in buses)
        {
            await using var from = join();
            await using var to = join();
            var ear = new Ear();
            to.Subscribe("bench", ear);
            await UntilAsync(() => from.IsConnected && to.IsConnected && ear.Gaps > 0);
            var message = RandomNumberGenerator.GetBytes(1024);
            var paced = new Latencies();
            for (var i = 0; i < (quick ? 200 : 1000); i++)
            {
                var wanted = ear.Count + 1;
                var sent = Stopwatch.GetTimestamp();
                from.Publish("bench", message);
                await UntilAsync(() => ear.Count >= wanted);
                paced.Add(Stopwatch.GetTimestamp() - sent);
                Thread.Sleep(1);
            }

            var flood = quick ? 5000 : 8000; // below every bus's queue: what is dropped would not be counted
            var start = ear.Count;
            var started = Stopwatch.GetTimestamp();
            for (var i = 0; i < flood; i++)
            {
                from.Publish("bench", message);
            }

            await UntilAsync(() => ear.Count >= start + flood);
            ScaleBenchmark.Row(name, flood / Stopwatch.GetElapsedTime(started).TotalSeconds, "messages/s", null, "", "one at a time " + Times(paced));
        }
    }

    private static async Task<(double PerSecond, Latencies Latencies)> ClaimAsync(IClaimLedger ledger, int callers, double seconds)
    {
        var started = Stopwatch.GetTimestamp();
        var all = await Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(async () =>
        {
            var latencies = new Latencies();
            while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds)
            {
                var asked = Stopwatch.GetTimestamp();
                var answer = await ledger.ClaimAsync(new Bytes32(RandomNumberGenerator.GetBytes(32)), new Bytes32(RandomNumberGenerator.GetBytes(32)), Lease,
                    CancellationToken.None);
                latencies.Add(Stopwatch.GetTimestamp() - asked);
                if (answer != ClaimAnswer.Owned)
                {
                    throw new InvalidOperationException("new work is nobody else's");
                }
            }

            return latencies;
        })));
        var together = new Latencies();
        Array.ForEach(all, together.AddAll);
        return (together.Count / Stopwatch.GetElapsedTime(started).TotalSeconds, together);
    }

    private static string Times(Latencies latencies) =>
        string.Create(CultureInfo.InvariantCulture, $"p50 {latencies.At(0.5):N3} ms, p99 {latencies.At(0.99):N3} ms");

    private static async Task UntilAsync(Func<bool> condition)
    {
        var started = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(started).TotalSeconds > 60)
            {
                throw new TimeoutException();
            }

            await Task.Yield();
        }
    }

    private sealed class Ear : IClusterListener
    {
        private int _count;
        private int _gaps;

        public int Count => Volatile.Read(ref _count);

        public int Gaps => Volatile.Read(ref _gaps);

        public void OnMessage(ReadOnlyMemory<byte> message) => Interlocked.Increment(ref _count);

        public void OnGap() => Interlocked.Increment(ref _gaps);
    }
}
