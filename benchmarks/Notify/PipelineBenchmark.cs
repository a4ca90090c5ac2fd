using System.Diagnostics;
using Marmot.Hosting;
using Marmot.NotifyServer;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Benchmarks.Notify;

/// <summary>Triggers a second through gate, unwrap, decrypt and dispatch into a sink, on one and on two cores, beside the curve operations alone in
/// C.</summary>
/// <remarks>One core: CPU time of the whole process, so that queues, lanes and the collector count and other work on the machine does not. Two cores: the wall
/// clock. Both sides alternate, each round gives one ratio, and the medians are shown: the machine's speed changes from second to second, its ratio
/// hardly.</remarks>
internal sealed class PipelineBenchmark : IDisposable
{
    private const int UnwrapOperations = 4; // two signatures, two shared points
    private const int OperationsPerRound = 2_000; // about a tenth of a second
    private readonly SecretKey _key = SecretKey.Generate();

    public void Dispose() => _key.Dispose();

    public bool Run(int rounds, string only = "")
    {
        Console.WriteLine(
            $"Trigger pipeline: wrap JSON in, accepted by a sink; {rounds} rounds, medians; the bound is libsecp256k1 in C for the same operations");
        Console.WriteLine(
            $"{"dialect",-16}{"tokens",7}{"triggers/s",12}{"tokens/s",11}{"bound/s",10}{"ratio",8}{"quartiles",14}{"target",8}   two cores: "
                + $"{"triggers/s",10}{"bound/s",10}{"ratio",8}");
        var holds = true;
        (TokenDialect Dialect, int Tokens, double Target)[] cases =
        [
            (TokenDialect.Mip05Short, 1, 0.8), (TokenDialect.Mip05Short, 10, 0.8), (TokenDialect.Mip05Short, 32, 0.8), (TokenDialect.Mip05Short, 76, 0.8),
            (TokenDialect.Mip05Long, 1, 0.75), (TokenDialect.Mip05Long, 10, 0.65), (TokenDialect.Mip05Long, 32, 0.55),
            (TokenDialect.MarmotPushV1, 1, 0.75), (TokenDialect.MarmotPushV1, 10, 0.65), (TokenDialect.MarmotPushV1, 32, 0.55),
        ];
        foreach (var (dialect, tokens, target) in cases)
        {
            if (only.Length > 0 && only != $"{dialect.Label()}:{tokens}")
            {
                continue;
            }

            var set = new TriggerSet(_key, dialect, tokens, count: Math.Max(40, OperationsPerRound / (tokens + UnwrapOperations)));
            using var c = CurveLoop.TryStart(set.Records, out var missing);
            using var second = CurveLoop.TryStart(set.Records, out _);
            if (c is null || second is null)
            {
                Console.WriteLine("the bound is not measured: " + missing);
                return false;
            }

            holds &= Measure(set, target, rounds, c, second);
        }

        return holds;
    }

    private bool Measure(TriggerSet set, double target, int rounds, CurveLoop c, CurveLoop second)
    {
        var (one, ratio, bound) = (new List<double>(), new List<double>(), new List<double>());
        var (two, ratioOfTwo, boundOfTwo) = (new List<double>(), new List<double>(), new List<double>());
        for (var warm = Stopwatch.StartNew(); warm.Elapsed < TimeSpan.FromSeconds(2);)
        {
            Process(set, workers: 2); // until the JIT has settled: its work is not the pipeline's
        }

        c.Run();
        second.Run();
        for (var i = 0; i < rounds; i++)
        {
            var before = c.Run().Cpu;
            var (cpu, _) = Process(set, workers: 1);
            var limit = (before + c.Run().Cpu) / 2.0;
            c.Begin();
            second.Begin();
            var limitOfTwo = Math.Max(c.End().Wall, second.End().Wall) / 2.0; // two sets were done in that time
            var (_, wall) = Process(set, workers: 2);
            one.Add(cpu);
            bound.Add(limit);
            ratio.Add(limit / cpu);
            two.Add(wall);
            boundOfTwo.Add(limitOfTwo);
            ratioOfTwo.Add(limitOfTwo / wall);
        }

        var count = set.Wraps.Length * 1e9;
        Console.WriteLine(
            $"{set.Dialect.Label(),-16}{set.Tokens,7}{count / Median(one),12:N0}{count * set.Tokens / Median(one),11:N0}{count / Median(bound),10:N0}"
            + $"{Median(ratio),8:F2}{$"{Part(ratio, 0.25):F2}-{Part(ratio, 0.75):F2}",14}{target,8:F2}   "
            + $"{"",11}{count / Median(two),10:N0}{count / Median(boundOfTwo),10:N0}{Median(ratioOfTwo),8:F2}");
        return Median(ratio) >= target;
    }

    /// <summary>All triggers once through fresh caches; nanoseconds of process CPU and of wall time until the sink has taken the last token.</summary>
    private (double Cpu, double Wall) Process(TriggerSet set, int workers)
    {
        var options = new NotifyOptions { CoalescingWindow = TimeSpan.Zero, QueueCapacity = 1_000_000, LimiterCapacity = 16_384 };
        using var metrics = new NotifyMetrics(TimeProvider.System);
        using var sink = new Sink(set.Wraps.Length * set.Tokens);
        var lane = new PushLane("bench", sink, options.QueueCapacity, options.Concurrency, metrics, TimeProvider.System);
        var app = new NotifyApp("bench", [_key], lane, null);
        var context = new TriggerPipelineContext(
            options,
            new KeyRing([app]),
            new SeenEvents(100_000),
            new ReplayCache(100_000, TimeSpan.FromMinutes(5), TimeProvider.System),
            new DeviceGate(options, TimeProvider.System),
            new Canaries(metrics, TimeProvider.System),
            metrics,
            TimeProvider.System);
        var gate = new TriggerGate(context.Keys, context.Seen, options.MaxEventBytes, acceptEphemeral: false);
        var pipelines = Enumerable.Range(0, workers).Select(_ => new TriggerPipeline(context)).ToArray();
        GC.Collect();
        var started = Stopwatch.GetTimestamp();
        var cpu = System.Diagnostics.Process.GetCurrentProcess().TotalProcessorTime;
        var threads = pipelines.Select((pipeline, place) => new Thread(() =>
        {
            for (var i = place; i < set.Wraps.Length; i += workers)
            {
                var json = set.Wraps[i];
                if (!NostrEventReader.TryRead(json, out var wrap, out _) || gate.Check(wrap, live: true) != EventOutcome.Queued)
                {
                    throw new InvalidOperationException("a trigger of the benchmark did not pass the gate");
                }

                var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(json.Length);
                json.CopyTo(buffer, 0);
                using var item = new IntakeItem(buffer, json.Length, 0, TimeProvider.System.GetUptime());
                var outcome = pipeline.ProcessAsync(item, static _ => { }, CancellationToken.None).AsTask().GetAwaiter().GetResult();
                if (outcome != EventOutcome.Done)
                {
                    throw new InvalidOperationException("a trigger of the benchmark was " + outcome);
                }
            }
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        sink.Done.Wait();
        var used = (System.Diagnostics.Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalNanoseconds;
        var elapsed = Stopwatch.GetElapsedTime(started).TotalNanoseconds;
        lane.DrainAsync(CancellationToken.None).GetAwaiter().GetResult();
        Array.ForEach(pipelines, pipeline => pipeline.Dispose());
        return (used, elapsed);
    }

    private static double Median(List<double> values) => Part(values, 0.5);

    private static double Part(List<double> values, double part)
    {
        var sorted = values.Order().ToArray();
        return sorted[(int)((sorted.Length - 1) * part)];
    }

    /// <summary>Takes every push at once.</summary>
    private sealed class Sink(int expected) : IPushProvider
    {
        private int _taken;

        public ManualResetEventSlim Done { get; } = new();

        public string Name => "sink";

        public int RepeatsAfterTimeout => 0;

        public bool IsPlausible(ReadOnlySpan<byte> deviceToken) => true;

        public ValueTask<PushVerdict> SendAsync(PushJob job, CancellationToken cancellationToken)
        {
            if (Interlocked.Increment(ref _taken) == expected)
            {
                Done.Set();
            }

            return new ValueTask<PushVerdict>(PushVerdict.Accepted);
        }

        public void Dispose() => Done.Dispose();
    }
}
