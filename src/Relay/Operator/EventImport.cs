using Marmot.Protocol.Events;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Reads JSON lines into a store; every event is verified, on all cores. The clock window of live group events does not apply.</summary>
internal static class EventImport
{
    private const int BatchSize = 1000;

    public readonly record struct Result(long Stored, long Duplicates, long Refused);

    public static async Task<Result> RunAsync(IEventStore store, Stream input, Action<long>? progress = null, CancellationToken cancel = default)
    {
        var result = default(Result);
        using var reader = new StreamReader(input);
        var writing = Task.FromResult(result);
        while (true)
        {
            var lines = new List<string>(BatchSize);
            while (lines.Count < BatchSize && await reader.ReadLineAsync(cancel) is { } line)
            {
                if (line.Length > 0)
                {
                    lines.Add(line);
                }
            }

            // One batch is written while the next is read and verified.
            var records = new EventRecord?[lines.Count];
            Parallel.For(0, lines.Count, i => records[i] = TryRead(System.Text.Encoding.UTF8.GetBytes(lines[i])));
            result = await writing;
            progress?.Invoke(result.Stored + result.Duplicates + result.Refused);
            if (lines.Count == 0)
            {
                return result;
            }

            writing = Task.Run(() => WriteAsync(store, records, result, cancel), cancel);
        }
    }

    private static async Task<Result> WriteAsync(IEventStore store, EventRecord?[] records, Result before, CancellationToken cancel)
    {
        var batch = records.Where(r => r is not null).Select(r => new EventWrite(r!)).ToList();
        await store.WriteAsync(batch, cancel);
        var stored = batch.Count(w => w.Verdict == StoreVerdict.Stored);
        var known = batch.Count(w => w.Verdict is StoreVerdict.Duplicate or StoreVerdict.Superseded);
        return new Result(before.Stored + stored, before.Duplicates + known, before.Refused + records.Length - stored - known);
    }

    /// <summary>Null for what is no event, ephemeral, or not signed by its author.</summary>
    public static EventRecord? TryRead(ReadOnlySpan<byte> json) =>
        NostrEventReader.TryRead(json, out var view, out _)
            && !EventKinds.IsEphemeral(view.Kind)
            && EventVerifier.TryVerify(view, out _)
                ? EventRecord.Create(view, vanishesHere: view.Kind == EventKinds.Vanish && RelayIdentity.NamesAllRelays(view))
                : null;
}
