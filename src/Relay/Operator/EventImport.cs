using System.Diagnostics;
using System.Globalization;
using System.Text;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Reads JSON lines into a store; every event is verified, on all cores.</summary>
internal static class EventImport
{
    private const int BatchSize = 4000;

    public readonly record struct Result(long Stored, long Duplicates, long Refused);

    /// <param name="store">Where they go.</param>
    /// <param name="input">The lines.</param>
    /// <param name="rules">What is taken; null for the default settings.</param>
    /// <param name="refusals">Takes the reasons for the rest.</param>
    /// <param name="progress">Takes how far it is, after each batch.</param>
    /// <param name="cancel">Gives it up; what was stored stays.</param>
    public static async Task<Result> RunAsync(
        IEventStore store, Stream input, ImportRules? rules = null, Refusals? refusals = null, Action<string>? progress = null,
        CancellationToken cancel = default)
    {
        rules ??= ImportRules.Default;
        refusals ??= new Refusals();
        var result = default(Result);
        var started = Stopwatch.GetTimestamp();
        var number = 0L;
        using var reader = new StreamReader(input);
        var writing = Task.FromResult(result);
        while (true)
        {
            var lines = new List<Line>(BatchSize);
            while (lines.Count < BatchSize && await reader.ReadLineAsync(cancel) is { } text)
            {
                number++;
                if (text.Length > 0)
                {
                    lines.Add(new Line(number, text));
                }
            }

            // One batch is written while the next is read and verified.
            Parallel.ForEach(lines, line => line.Record = rules.TryRead(Encoding.UTF8.GetBytes(line.Text), out line.Reason));
            result = await writing;
            var done = result.Stored + result.Duplicates + result.Refused;
            progress?.Invoke(
                string.Create(CultureInfo.InvariantCulture, $"{done:N0} lines, {done / Math.Max(0.001, Stopwatch.GetElapsedTime(started).TotalSeconds):N0}/s"));
            if (lines.Count == 0)
            {
                return result;
            }

            writing = Task.Run(() => WriteAsync(store, lines, refusals, result, cancel), cancel);
        }
    }

    private static async Task<Result> WriteAsync(IEventStore store, List<Line> lines, Refusals refusals, Result before, CancellationToken cancel)
    {
        var batch = new List<EventWrite>(lines.Count);
        foreach (var line in lines)
        {
            if (line.Record is { } record)
            {
                line.Write = new EventWrite(record);
                batch.Add(line.Write);
            }
        }

        await store.WriteAsync(batch, cancel);
        long stored = 0, known = 0;
        foreach (var line in lines)
        {
            var reason = line.Write is { } write ? ImportRules.Describe(write.Verdict) : line.Reason;
            stored += line.Write is { Verdict: StoreVerdict.Stored } ? 1 : 0;
            known += line.Write is { Verdict: StoreVerdict.Duplicate or StoreVerdict.Superseded } ? 1 : 0;
            if (reason.Length > 0)
            {
                await refusals.AddAsync(string.Create(CultureInfo.InvariantCulture, $"line {line.Number}"), reason);
            }
        }

        return new Result(before.Stored + stored, before.Duplicates + known, before.Refused + lines.Count - stored - known);
    }

    private sealed class Line(long number, string text)
    {
        public string Reason = "";

        public long Number { get; } = number;

        public string Text { get; } = text;

        public EventRecord? Record { get; set; }

        public EventWrite? Write { get; set; }
    }
}
